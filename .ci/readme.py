"""Run what a Markdown file shows, in the repository's root and in order: each line of its ```sh blocks that starts with `vae`, and its ```python blocks."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ABSENT = ("photos/",)  # data that only the reader has


def main(path: str) -> None:
    """Run the commands and the code in ``path``; stop at the first that fails."""
    binaries = Path(".venv/bin").resolve()
    environment = os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"}
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", Path(path).read_text("utf-8"), re.S):
        if language == "python":
            commands = [[str(binaries / "python"), "-W", "error", "-c", block]]
        else:
            lines = [line.split(" #")[0].strip() for line in block.splitlines()]
            commands = [shlex.split(line) for line in lines if line.startswith("vae ") and not any(word in line for word in ABSENT)]
        for command in commands:
            print("$", shlex.join(command)[:120].replace("\n", " "), flush=True)
            subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main(sys.argv[1])
