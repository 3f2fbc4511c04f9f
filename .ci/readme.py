"""Run what Markdown files show, where one stands (or in a fresh folder) and in order: each line of their ```sh blocks that starts with `vae`, and their ```python blocks.

    python .ci/readme.py README.md
    python .ci/readme.py --seconds 5 --epochs 3 --fork --fresh docs

Of a folder all pages are run, in order of their names, quick starts first: others go on with their runs.
Text, sounds, pictures and a table that only the reader has are made up here, and trained on for some seconds where the
reader is shown minutes. What must not be run (servers, uploads) stands in ```console blocks.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

ABSENT = ("photos/",)  # data that only the reader has, and that nothing stands in for
OWN = (
    "results.md",
    "cli.md",
    "gallery.md",
    "from-the-formula-to-the-code.md",
)  # pages that another script writes, or whose code a test holds to its source
BLOCK = re.compile(r"^([ ]*)```(sh|python)\n(.*?)^\1```", re.S | re.M)


def stand_ins() -> None:
    """names.txt, words of syllables, spoken/, tones in two folders, and customers.csv, a table with empty cells, where they are not there."""
    import numpy as np
    import soundfile

    rng, rate = np.random.default_rng(0), 8000
    if not Path("names.txt").exists():
        syllables = ["an", "ber", "do", "eli", "na", "tra", "um"]
        Path("names.txt").write_text("\n".join("".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(400)))
    if not Path("spoken").exists():
        for i in range(80):
            folder, hertz = (("three", 300), ("seven", 900))[i % 2]
            Path("spoken", folder).mkdir(parents=True, exist_ok=True)
            seconds = np.arange(int(rate * rng.uniform(0.2, 0.4))) / rate
            soundfile.write(f"spoken/{folder}/{i}.wav", 0.5 * np.sin(2 * np.pi * hertz * rng.uniform(0.9, 1.1) * seconds), rate)

    if not Path("customers.csv").exists():
        cities, lines = ["Lyon", "Graz", "Porto"], ["id,city,age,visits,spent,member,since"]
        for i in range(600):
            city, age = rng.integers(3), int(rng.gamma(9, 4) + 18)
            visits = rng.poisson(2 + 3 * city)
            cells = [
                f"c{i:04}",
                cities[city],
                str(age),
                str(visits),
                f"{visits * rng.lognormal(2, 0.4):.2f}",
                ["no", "yes"][int(rng.random() < age / 100)],
            ]
            cells.append(str(np.datetime64("2020-01-01") + int(rng.integers(2000))))
            lines.append(",".join("" if j and rng.random() < 0.05 else cell for j, cell in enumerate(cells)))
        Path("customers.csv").write_text("\n".join(lines))


def shortened(line: str, seconds: float, epochs: int | None) -> str:
    """The same command with seconds in place of the reader's minutes, and no more than ``epochs``."""
    line = re.sub(r"--max-minutes \S+", f"--max-minutes {seconds / 60:.2f}", line)
    return line if epochs is None else re.sub(r"--epochs (\d+)", lambda m: f"--epochs {min(int(m[1]), epochs)}", line)


def commands(text: str, seconds: float, epochs: int | None, python: str = "python") -> Iterator[list[str]]:
    """What a page shows to be run, in its order."""
    for indent, language, block in BLOCK.findall(text):
        own = "\n".join(line.removeprefix(indent) for line in block.splitlines())
        if language == "python":
            yield [python, "-W", "error", "-c", own]
            continue
        for line in own.replace("\\\n", " ").splitlines():
            command = shortened(line.split(" #")[0].strip(), seconds, epochs)
            if command.startswith("vae ") and not any(word in command for word in ABSENT):
                yield shlex.split(command)


def pages(path: Path) -> list[Path]:
    """A file, or the pages of a folder; a page with its commands run elsewhere is left out."""
    if path.is_file():
        return [path]
    return sorted((page for page in path.rglob("*.md") if page.name not in OWN), key=lambda page: ("quick-start" not in page.parts, page))


def run(command: list[str], environment: dict[str, str]) -> None:
    """One command, as the reader gives it."""
    subprocess.run(command, check=True, env=environment)


def run_forked(command: list[str], _: dict[str, str]) -> None:
    """The same in a copy of this process, which has loaded what takes seconds to load: an interpreter of its own for every command would take most of the time."""
    import sklearn.decomposition  # noqa: F401
    import torch  # noqa: F401

    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _inside(command)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise subprocess.CalledProcessError(code, command)


def _inside(command: list[str]) -> int:
    """The exit code of a command that is run here."""
    import runpy
    import traceback
    import warnings

    try:
        if command[0] == "vae":
            from vaeworks.cli import main as vae

            sys.argv = command
            vae()
        else:
            warnings.simplefilter("error")
            with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
                script.write(command[-1])
                script.flush()
                runpy.run_path(script.name, run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def run_all(shown: list[tuple[Path, str]], arguments: argparse.Namespace, binaries: Path, environment: dict[str, str]) -> None:
    """Every command of the pages."""
    for page, text in shown:
        for command in commands(text, arguments.seconds, arguments.epochs, str(binaries / "python")):
            print(f"{page} $", shlex.join(command)[:120].replace("\n", " "), flush=True)
            start, before = time.monotonic(), os.times()
            (run_forked if arguments.fork else run)(command, environment)
            spent = os.times().children_user + os.times().children_system - before.children_user - before.children_system
            print(f"  {time.monotonic() - start:.1f} s, {spent:.1f} s of a processor", flush=True)


def main() -> None:
    """Run the commands and the code; stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="Markdown files, or folders of them")
    parser.add_argument("--seconds", type=float, default=20, help="in place of --max-minutes")
    parser.add_argument("--epochs", type=int, help="most epochs of a training")
    parser.add_argument("--fork", action="store_true", help="load torch once for all commands")
    parser.add_argument("--fresh", action="store_true", help="in a folder of its own, so that nothing lies there from before")
    arguments = parser.parse_args()
    shown = [(page, page.read_text("utf-8")) for path in arguments.paths for page in pages(path)]
    binaries = Path(".venv/bin").resolve()
    environment = os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"}
    folder = tempfile.TemporaryDirectory() if arguments.fresh else nullcontext()
    with folder as fresh:
        if fresh is not None:
            os.chdir(fresh)
        stand_ins()
        run_all(shown, arguments, binaries, environment)
        os.chdir(binaries)  # out of the folder, which goes


if __name__ == "__main__":
    main()
