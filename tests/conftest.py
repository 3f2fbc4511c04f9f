"""What tests of commands share: the command in this process, real processes of it that can be killed, and one trained run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# before torch counts the cores: steps this small are slower on several, and on a busy machine many times so; an empty string is as good as none
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or "1"

import torch

TRAINING = ("train", "digits", "--epochs", "20", "--device", "cpu", "--checkpoint-seconds", "0.2")
"""The command that made ``digits_run``."""
# A file belongs to a test suite that may run on a machine with a GPU and many cores; what is compared bit for bit is computed on one core of a CPU.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}

FORKS = """
import json, os, sys, traceback
import sklearn.datasets, torch, torch._dynamo
import vaeworks.runs
from vaeworks import cli
print("ready", flush=True)
for line in sys.stdin:
    arguments, log = json.loads(line)
    child = os.fork()
    if not child:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1), os.dup2(file, 2)
        sys.argv, code = ["vae", *arguments], 1
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture
def vae(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command in this process; an exception that it does not turn into an exit code is a defect, and fails the test."""
    from vaeworks.cli import main

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["vae", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        assert isinstance(code, int)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def training_command() -> tuple[str, ...]:
    return TRAINING


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder left by ``vae train digits`` in a process of its own. Read it; copy it before changing it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    command = [sys.executable, "-c", "from vaeworks.cli import main; main()", *TRAINING, "-o", str(folder), "--json"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder.parent / "stdout.json").write_text(done.stdout)
    (folder.parent / "stderr.txt").write_text(done.stderr)
    return folder


class Forks:
    """Processes of the command. Each is forked from one that has torch loaded already: it lives, and dies, as any other, but begins at once."""

    def __init__(self) -> None:
        self.parent = subprocess.Popen([sys.executable, "-c", FORKS], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def start(self, *arguments: object, log: Path) -> int:
        """The process id of ``vae arguments``; one at a time."""
        assert self.parent.stdin is not None
        self.parent.stdin.write(json.dumps([[str(a) for a in arguments], str(log)]) + "\n")
        self.parent.stdin.flush()
        return int(self._line())

    def until(self, process: int, seen: Callable[[], bool], log: Path) -> None:
        """Waits for something that the process does; fails where it ends before."""
        end = time.monotonic() + 120
        while not seen():
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                pytest.fail(f"ended too early, with {self.wait()}:\n{log.read_text()}")
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.002)

    def wait(self) -> int:
        """The exit code of the process that was started last; -9 where it was killed."""
        return int(self._line())

    def kill(self, process: int) -> int:
        """kill -9; returns the exit code, which is 0 where the process had ended before."""
        os.kill(process, signal.SIGKILL)
        return self.wait()

    def close(self) -> None:
        self.parent.communicate()

    def _line(self) -> str:
        assert self.parent.stdout is not None
        return self.parent.stdout.readline().strip()


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    processes = Forks()
    yield processes
    processes.close()


@pytest.fixture
def exact() -> Iterator[None]:
    """float64 throughout, and the same numbers in every run."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")  # while Playwright is there, no other event loop can run: it ends with the tests that want it
def chromium() -> Iterator[Any]:
    """Debian's browser, by Playwright."""
    api = pytest.importorskip("playwright.sync_api")
    path = Path("/usr/bin/chromium")
    if not path.is_file():
        pytest.skip(f"no browser at {path}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(path), args=["--no-sandbox"])
        yield browser
        browser.close()
