"""Run the commands that a Markdown file shows: every line of its ```sh blocks that starts with `vae`, in the repository's root, in order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PLACEHOLDERS = ("photos/", "git clone")  # lines about data that only the reader has


def main(path: str) -> None:
    """Run the commands in ``path``; stop at the first that fails."""
    environment = os.environ | {"PATH": f"{Path('.venv/bin').resolve()}:{os.environ['PATH']}"}
    for block in re.findall(r"```sh\n(.*?)```", Path(path).read_text("utf-8"), re.S):
        for line in block.splitlines():
            command = line.split(" #")[0].strip()
            if command.startswith("vae ") and not any(word in command for word in PLACEHOLDERS):
                print(f"$ {command}", flush=True)
                subprocess.run(shlex.split(command), check=True, env=environment)


if __name__ == "__main__":
    main(sys.argv[1])
