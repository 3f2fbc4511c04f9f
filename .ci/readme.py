"""Run what a Markdown file shows, in the repository's root and in order: each line of its ```sh blocks that starts with `vae`, and its ```python blocks.

Text and sounds that only the reader has are made up here, and trained on for some seconds where the reader is shown minutes.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ABSENT = ("photos/",)  # data that only the reader has, and that nothing stands in for
SECONDS = 20


def stand_ins() -> None:
    """names.txt, words of syllables, and spoken/, tones in two folders, where they are not there."""
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


def shortened(line: str) -> str:
    """The same command with seconds in place of the reader's minutes."""
    return re.sub(r"--max-minutes \S+", f"--max-minutes {SECONDS / 60:.2f}", line)


def main(path: str) -> None:
    """Run the commands and the code in ``path``; stop at the first that fails."""
    stand_ins()
    binaries = Path(".venv/bin").resolve()
    environment = os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"}
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", Path(path).read_text("utf-8"), re.S):
        if language == "python":
            commands = [[str(binaries / "python"), "-W", "error", "-c", block]]
        else:
            lines = [shortened(line.split(" #")[0].strip()) for line in block.splitlines()]
            commands = [shlex.split(line) for line in lines if line.startswith("vae ") and not any(word in line for word in ABSENT)]
        for command in commands:
            print("$", shlex.join(command)[:120].replace("\n", " "), flush=True)
            subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main(sys.argv[1])
