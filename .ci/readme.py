"""Run what a Markdown file shows, in the repository's root and in order: each line of its ```sh blocks that starts with `vae`, and its ```python blocks.

Text, sounds and a table that only the reader has are made up here, and trained on for some seconds where the reader is shown minutes.
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
