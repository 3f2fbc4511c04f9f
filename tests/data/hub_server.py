"""A stand-in for the hub on this machine: one data set of Parquet files, one that is gated, and no other."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves ``files`` as the data set org/made; ``asked`` are the requests that came."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files = files
        self.asked: list[str] = []
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # no connection outlives the server
    server: Hub

    def log_message(self, *_: Any) -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def answer(self, code: int, body: Any = b"", **headers: str) -> None:
        held = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(held)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(held)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "/org/gated" in path:
            return self.answer(403, {}, X_Error_Code="GatedRepo", X_Error_Message="Access to dataset org/gated is restricted")
        if "/org/made" not in path:
            return self.answer(404, {}, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        if "/revision/nope" in path:
            return self.answer(404, {}, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id: nope")
        if "/resolve/" in path:
            return self.file(path.split("/resolve/")[1].partition("/")[2])
        rest = path.removeprefix("/api/datasets/org/made")
        if rest.startswith("/tree"):
            entries = [{"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()} for n, d in self.server.files.items()]
            inside = rest.endswith("/data")
            return self.answer(200, entries if inside else [{"type": "directory", "path": "data", "oid": SHA}])
        siblings = [{"rfilename": name} for name in self.server.files]
        return self.answer(200, {"id": "org/made", "sha": SHA, "private": False, "gated": False, "disabled": False, "tags": [], "siblings": siblings})

    def file(self, name: str) -> None:
        data = self.server.files.get(name)
        if data is None:
            return self.answer(404, {}, X_Error_Code="EntryNotFound", X_Repo_Commit=SHA)
        told = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X_Repo_Commit": SHA, "Accept_Ranges": "bytes"}
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last or len(data)), len(data) - 1)
            return self.answer(206, data[int(first) : end + 1], Content_Range=f"bytes {first}-{end}/{len(data)}", **told)
        return self.answer(200, data, **told)
