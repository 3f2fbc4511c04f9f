"""The service under load, on loopback: requests a second with calls shared and not, side by side; whether any request is lost; resident memory over many requests.

    python benchmarks/service.py                                # a model of digits, trained for a moment
    python benchmarks/service.py runs/photos --requests 10000 --clients 64 --json service.json

A service is a process of its own with one thread for the model; clients are coroutines of this process, each of which asks again once it has its answer. Rounds of the two
services alternate, so that the machine's moods fall on both alike, and a ratio is the median over rounds of the ratio within a round.
"""

__all__ = ["Service", "load"]

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import httpx

SERVE = """
import sys, torch
from vaeworks.runs import load
from vaeworks.serving import Settings, create_app, run_server
torch.set_num_threads(1)
settings = Settings(batch=int(sys.argv[2]))
run_server(create_app(load(sys.argv[1]), settings=settings), settings, 0, ready=lambda url: print(url, flush=True))
"""
BATCH = 128


class Service:
    """A process that serves a run, with up to ``batch`` items in one call of the model."""

    def __init__(self, run: str, batch: int):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, run, str(batch)], stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    @property
    def memory(self) -> float:
        """Resident MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, of all threads: what others do on the machine hardly changes it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def batch_sizes(self) -> dict[str, float]:
        """Items of a call of the model, in the mean, by its kind."""
        told = dict(re.findall(r"^(vae_batch_items_\w+\{.*\}) (\S+)$", httpx.get(f"{self.url}/metrics").text, re.M))
        kinds = re.findall(r'count\{kind="(\w+)"', "\n".join(told))
        return {kind: float(told[f'vae_batch_items_sum{{kind="{kind}"}}']) / float(told[f'vae_batch_items_count{{kind="{kind}"}}']) for kind in kinds}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


async def asked(url: str) -> dict[str, dict[str, Any]]:
    """A request of each verb, made of the model's own samples."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        told = (await client.get("/v1/model")).json()
        given = {"label": told["classes"][0]} if told["context"] == "label" else None
        items = (await client.post("/v1/sample", json={"n": 2, "seed": 0, "given": given})).json()["items"]
        each = [told["classes"][0]] * 2 if given else None
    one = None if each is None else each[:1]
    bodies = {
        "sample": {"n": 1, "seed": 1, "given": given},
        "encode": {"items": items[:1], "given": one},
        "decode": {"codes": [[0.5] * told["latent_size"]], "given": given},
        "reconstruct": {"items": items[:1], "given": one},
        "interpolate": {"a": items[0], "b": items[1], "n": 4, "given": each},
        "score": {"items": items[:1], "samples": 20, "given": one},
    }
    return {verb: {key: value for key, value in body.items() if value is not None} for verb, body in bodies.items()}


async def load(url: str, bodies: dict[str, dict[str, Any]], requests: int, clients: int) -> tuple[float, Counter[str], list[float]]:
    """Seconds that so many requests took, their statuses, or what they were lost to, and the seconds of each."""
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    verbs = list(bodies.items())
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=clients)) as client:

        async def one(number: int) -> None:
            for i in range(number, requests, clients):
                verb, body = verbs[i % len(verbs)]
                began = time.perf_counter()
                try:
                    status = str((await client.post(f"/v1/{verb}", json=body)).status_code)
                except httpx.HTTPError as error:
                    status = repr(error)
                statuses[status] += 1
                seconds.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(clients)))
        return time.perf_counter() - began, statuses, seconds


def trained(folder: str) -> str:
    """A run of digits."""
    import vaeworks

    vaeworks.train("digits", overrides=["training.epochs=5"], out=folder, device="cpu")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="a run folder; a model of digits is trained otherwise")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=500, help="requests of a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or trained(f"{folder}/digits")
        shared, single = Service(run, BATCH), Service(run, 1)
        bodies = asyncio.run(asked(shared.url))
        rates: dict[str, list[tuple[float, float, float, float]]] = {}
        for verb, body in bodies.items():
            for service in (shared, single):
                asyncio.run(load(service.url, {verb: body}, options.clients, options.clients))
            for _ in range(options.rounds):
                before = [s.cpu for s in (shared, single)]
                both = [options.each / asyncio.run(load(s.url, {verb: body}, options.each, options.clients))[0] for s in (shared, single)]
                spent = [1000 * (s.cpu - b) / options.each for s, b in zip((shared, single), before, strict=True)]
                rates.setdefault(verb, []).append((both[0], both[1], spent[0], spent[1]))
        print(f"{options.clients} clients, requests a second, medians of {options.rounds} rounds of {options.each}")
        print(f"{'verb':<12} {'shared':>8} {'single':>8} {'ratio':>6}   CPU ms of the service for a request: {'shared':>8} {'single':>8}")
        table = {verb: [median(column) for column in zip(*((a, b, a / b, c, d) for a, b, c, d in r), strict=True)] for verb, r in rates.items()}
        for verb, (a, b, ratio, c, d) in table.items():
            print(f"{verb:<12} {a:8.0f} {b:8.0f} {ratio:6.2f}   {'':37} {c:8.2f} {d:8.2f}")
        memory = [shared.memory]
        statuses: Counter[str] = Counter()
        waited: list[float] = []
        took = 0.0
        for _ in range(10):
            part, told, seconds = asyncio.run(load(shared.url, bodies, options.requests // 10, options.clients))
            took, statuses = took + part, statuses + told
            waited += seconds
            memory.append(shared.memory)
        waited.sort()
        latency = [1000 * waited[int(share * (len(waited) - 1))] for share in (0.5, 0.99)]
        sizes = shared.batch_sizes()
        print(
            f"{sum(statuses.values())} requests of all verbs by {options.clients} clients: statuses {dict(statuses)}, {sum(statuses.values()) / took:.0f} a second,"
        )
        print(
            f"half within {latency[0]:.0f} ms, 99% within {latency[1]:.0f} ms; items of a call: {', '.join(f'{k} {v:.1f}' for k, v in sizes.items())}"
        )
        print("resident MB before, and after each tenth: " + " ".join(f"{m:.1f}" for m in memory))
        codes = shared.stop(), single.stop()
        print(f"exit codes after SIGTERM: {codes}")
    if options.json:
        figures = {
            "rates": table,
            "statuses": statuses,
            "per_second": sum(statuses.values()) / took,
            "latency_ms": latency,
            "memory_mb": memory,
            "batch": sizes,
        }
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
