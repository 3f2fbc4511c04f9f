"""The gallery: runs every command that it shows, on real data, and writes docs/gallery/ and docs/gallery.md.

    python docs/gallery.py --data DIR [--only NAME]...    # trains and draws: about half an hour of one core
    python docs/gallery.py --page                         # writes the page alone

DIR holds what the entries name: images/mnist, images/emojitwo_png64, text/names.txt, audio/fsdd, tables/penguins.csv. A training whose run is there already is not repeated.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ENTRIES", "Entry", "page"]

DOCS = Path(__file__).parent
FOLDER = DOCS / "gallery"
WIDEST, LINES, HEARD = 960, 14, 3


@dataclass(frozen=True)
class Entry:
    """What is shown: the commands, and of each picture or text file that they leave a caption and the rows or lines kept of it."""

    name: str
    title: str
    text: str
    commands: tuple[str, ...]
    shown: tuple[tuple[str, str], ...]
    """(file that the commands leave, caption)"""


SOURCES = {
    "mnist": "images/mnist",
    "emoji": "images/emojitwo_png64",
    "names.txt": "text/names.txt",
    "spoken": "audio/fsdd",
    "penguins.csv": "tables/penguins.csv",
}

ENTRIES = (
    Entry(
        "digits",
        "Handwritten digits, in seconds",
        "The 1797 digits of 8x8 pixels that ship with scikit-learn, and no option set.",
        (
            "vae train digits -o runs/digits",
            "vae sample runs/digits -n 64 -o digits-samples.png",
            "vae interpolate runs/digits 'digits[3]' 'digits[8]' -n 10 -o digits-path.png",
        ),
        (
            ("digits-samples.png", "Samples from the prior."),
            ("digits-path.png", "From one digit to another, through the codes between."),
            ("runs/digits/latent.png", "Where the held-out digits lie in the latent space, coloured by label."),
        ),
    ),
    Entry(
        "mnist",
        "MNIST, and what is missing of it",
        "60,000 pictures of 28x28, a fully connected network and twelve epochs: about a minute of one core."
        " The lower half of each picture is hidden and drawn again from p(missing | seen): different draws differ where the upper half leaves a choice.",
        (
            "vae train mnist --download --recipe mlp --epochs 12 -o runs/mnist",
            "vae sample runs/mnist -n 60 -o mnist-samples.png",
            "vae impute runs/mnist mnist --download --mask bottom --draws 4 --limit 12 -o mnist-filled.png",
            "vae fit-prior runs/mnist mnist --download --kind gmm -o runs/mnist-gmm",
            "vae sample runs/mnist-gmm -n 60 -o mnist-gmm-samples.png",
        ),
        (
            ("mnist-samples.png", "Samples from the standard normal prior."),
            (
                "mnist-gmm-samples.png",
                "Samples from a mixture fitted afterwards to the codes (`vae fit-prior`): the same decoder, fewer stray codes.",
            ),
            ("mnist-filled.png", "Pictures with their lower half hidden, and four ways to go on."),
        ),
    ),
    Entry(
        "sevens",
        "The digit asked for",
        "A conditional VAE draws what the label says.",
        (
            "vae train digits --recipe cvae -o runs/cvae",
            "vae sample runs/cvae -n 30 --given label=7 -o sevens.png",
        ),
        (("sevens.png", "Thirty sevens."),),
    ),
    Entry(
        "emoji",
        "A folder of one's own",
        "2022 emoji as PNG files in four colour modes ([EmojiTwo](https://emojitwo.github.io), CC BY 4.0)."
        " Few pictures of many kinds: reconstructions are blurred where the model is in doubt.",
        (
            "vae train emoji/ --size 32 --epochs 40 -o runs/emoji",
            "vae reconstruct runs/emoji emoji/ --limit 24 -o emoji-pairs.png",
            "vae sample runs/emoji -n 60 -o emoji-samples.png",
        ),
        (
            ("emoji-pairs.png", "Originals beside reconstructions."),
            (
                "emoji-samples.png",
                "Samples: colours and outlines of emoji, and no emoji. Forty epochs on two thousand pictures of so many kinds"
                " are too little; see [what mends it](diagnosis.md#prior-mismatch).",
            ),
        ),
    ),
    Entry(
        "names",
        "Names that nobody has",
        "32,033 first names, character by character.",
        (
            "vae train names.txt -o runs/names --epochs 5 --set encoder.width=128 --set decoder.width=128 --set objective.free_bits=0.15 --no-language-model",
            "vae sample runs/names -n 14 -o new-names.txt",
            "vae interpolate runs/names victoria hailey -o names-path.txt",
        ),
        (("new-names.txt", "New names."), ("names-path.txt", "From one name to another.")),
    ),
    Entry(
        "spoken",
        "Spoken digits",
        "3000 recordings of spoken digits (Free Spoken Digit Dataset, CC BY-SA 4.0), as log-mel spectrograms of unequal length, with the digit as context.",
        (
            "vae train spoken/ -o runs/spoken --labels-from '{label}_{speaker}_{take}' --set context=label --epochs 10",
            "vae reconstruct runs/spoken spoken/ --limit 6 -o spoken-pairs.png",
            "vae sample runs/spoken -n 12 --given label=7 -o sevens-spoken",
        ),
        (
            ("spoken-pairs.png", "Spectrograms of recordings beside their reconstructions."),
            ("sevens-spoken/sheet.png", "Twelve sevens that nobody spoke."),
            ("sevens-spoken/*.wav", "The first three of them."),
        ),
    ),
    Entry(
        "penguins",
        "Rows of a table",
        "344 penguins, seven columns, 19 empty cells (Palmer penguins, CC0).",
        (
            "vae train penguins.csv -o runs/penguins --epochs 100",
            "vae sample runs/penguins -n 6 --given species=Gentoo -o gentoo.csv",
            "vae impute runs/penguins penguins.csv -o penguins-filled.csv",
            "vae score runs/penguins penguins.csv --attribution -o penguins-scores.csv",
        ),
        (
            ("gentoo.csv", "New rows, given the species."),
            (
                "penguins-filled.csv",
                "The first rows of the table with the empty cells filled in (the fourth row was empty but for species and island).",
            ),
        ),
    ),
)


def _kept(path: str) -> list[str]:
    """The names under which a file, or the first files of a pattern, are kept in the gallery."""
    name = path.removeprefix("runs/").replace("/", "-")
    if "*" in name:
        return [name.replace("*", str(i)) for i in range(HEARD)]
    return [name if name.endswith(".png") else f"{name.split('.')[0]}.txt"]


def page() -> str:
    """docs/gallery.md, from the entries and the files that are kept of them."""
    parts = [
        "# Gallery",
        "",
        "Made by running the commands that are shown (`python docs/gallery.py --data DIR`), on two virtual cores without a GPU, of which each run had one thread,"
        " for a minute or two. Nothing was picked by hand.",
    ]
    for entry in ENTRIES:
        parts += ["", f"## {entry.title}", "", entry.text, "", "```console", *(f"$ {c}" for c in entry.commands), "```"]
        for file, caption in entry.shown:
            kept, *others = (FOLDER / name for name in _kept(file))
            if kept.suffix == ".png":
                alternative = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", caption).replace("`", "")
                parts += ["", f"![{alternative}](gallery/{kept.name}){{ .sheet }}", f"*{caption}*"]
            elif kept.suffix == ".wav":
                players = (f'<audio controls preload="none" src="gallery/{sound.name}"></audio>' for sound in (kept, *others))
                parts += ["", f"*{caption}*", "", *players]
            elif kept.is_file():
                parts += ["", f"*{caption}*", "", "```text", kept.read_text("utf-8").rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _run(entry: Entry, work: Path, data: Path) -> None:
    vae = [sys.executable, "-c", "from vaeworks.cli import main; main()"]
    for line in entry.commands:
        words = shlex.split(line)
        if words[1] in ("train", "fit-prior") and (work / words[words.index("-o") + 1] / "model.safetensors").is_file():
            continue
        if "--download" in words:
            at = words.index("--download")
            words[at : at + 1] = ["--data-dir", str(data / SOURCES["mnist"])]
        print("$", line, flush=True)
        subprocess.run([*vae, *words[1:]], cwd=work, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def _keep(entry: Entry, work: Path) -> None:
    from PIL import Image

    for file, _ in entry.shown:
        source, kept = work / file, FOLDER / _kept(file)[0]
        if "*" in file:
            for sound, name in zip(sorted(work.glob(file)), _kept(file), strict=False):
                shutil.copyfile(sound, FOLDER / name)
        elif kept.suffix == ".png":
            picture = Image.open(source).convert("RGB")
            if picture.width > WIDEST:
                picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
            picture.quantize(128, dither=Image.Dither.NONE).save(kept, optimize=True)
        else:
            lines = source.read_text("utf-8").splitlines()
            kept.write_text("\n".join(lines[:LINES]) + "\n", "utf-8")


def main() -> None:
    """Run the entries and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("runs/gallery"), help="where runs are left")
    parser.add_argument("--only", action="append", choices=[entry.name for entry in ENTRIES])
    parser.add_argument("--page", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    if not arguments.page:
        work = arguments.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        for name, place in SOURCES.items():
            if not (work / name).exists():
                (work / name).symlink_to((arguments.data / place).resolve())
        for entry in ENTRIES:
            if not arguments.only or entry.name in arguments.only:
                _run(entry, work, arguments.data.resolve())
                _keep(entry, work)
    (DOCS / "gallery.md").write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
