"""Text: names, captions, molecules and a protein alignment, each trained, measured beside what it should beat, and written into docs/results.md.

    python benchmarks/texts.py names --data DIR --minutes 10
    python benchmarks/texts.py qm9 --data DIR --minutes 20 --rdkit-python env/bin/python     # an interpreter that has RDKit judges the molecules

DIR holds names.txt, multi30k/, qm9_smiles.txt and protein_msa/P53_HUMAN_b0.1.a2m. Minutes are of training, shared by the VAE and the same decoder without z, which takes as many steps.
Writes runs/texts/TASK/result.json, the run folder beside it, and the task's section of docs/results.md. --set changes any knob.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published import hardware, write_section
from torch import Tensor
from torch.nn import functional as F

from vaeworks.data import Items, Options
from vaeworks.evaluation import Figures
from vaeworks.files import replace_file
from vaeworks.model import TextSchema
from vaeworks.runs import Model
from vaeworks.runs.train import Run, train_run

DRAWS, MOLECULES_DRAWN = 5000, 10_000
"""Samples that shares are told of."""
COOL, COOLNESS = "samples, `--token-temperature 0.75`", 0.75
ORDER = 4
"""Characters that the n-gram model looks at: the one it tells and three before it."""


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    value: float
    unit: str = ""
    standard_error: float | None = None
    target: str = ""
    digits: int = 2

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.{self.digits}f}"
        return f"| {self.what} | {self.value:.{self.digits}f}{error}{'' if self.unit == '%' else ' '}{self.unit} | {self.target} |".replace(
            "  |", " |"
        )


@dataclass(frozen=True)
class Found:
    """The rows of a task, and text to read: paths, samples."""

    rows: list[Row]
    lines: list[str]


@dataclass(frozen=True)
class Ngrams:
    """Characters given the ``ORDER`` - 1 before them, interpolated as Witten & Bell 1991 do: p(c | h) = (n(h, c) + t(h) p(c | h')) / (n(h) + t(h)), t(h) kinds of characters after h."""

    counts: dict[str, Counter[str]]
    alphabet: str

    @classmethod
    def of(cls, strings: Sequence[str], alphabet: str) -> "Ngrams":
        """Counted in ``strings``; ``alphabet`` has every character that may come, the end's among them."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for string in strings:
            whole = BEGINNING * (ORDER - 1) + string + ENDING
            for i in range(ORDER - 1, len(whole)):
                for n in range(ORDER):
                    counts[whole[i - n : i]][whole[i]] += 1
        return cls(dict(counts), alphabet)

    def probability(self, character: str, history: str) -> float:
        """p(character | history)."""
        shorter = self.probability(character, history[1:]) if history else 1 / len(self.alphabet)
        seen = self.counts.get(history)
        return shorter if seen is None else (seen[character] + len(seen) * shorter) / (seen.total() + len(seen))

    def nll(self, string: str) -> float:
        """-log p(string and its end), in nats."""
        whole = BEGINNING * (ORDER - 1) + string + ENDING
        return -sum(math.log(self.probability(whole[i], whole[i - ORDER + 1 : i])) for i in range(ORDER - 1, len(whole)))


BEGINNING, ENDING = "\x02", "\x03"


def mean(values: Sequence[float]) -> tuple[float, float]:
    """And its standard error."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1) / math.sqrt(len(array)))


def share(of: int, among: int) -> tuple[float, float]:
    """In per cent, with its binomial standard error."""
    p = of / among
    return 100 * p, 100 * math.sqrt(p * (1 - p) / among)


def beside(figures: Figures) -> list[Row]:
    """What any model of text is told by: NLL beside the language model's, what z carries, and whether it is used."""
    f, told = figures.figures, figures.protocol

    def row(what: str, name: str, sign: float = 1, target: str = "", digits: int = 2) -> Row:
        unit = "" if f[name].unit == "perplexity" else f[name].unit
        return Row(what, sign * f[name].value, unit, f[name].standard_error, target, digits)

    size = float(f["active_units"].unit.split()[-1])
    rows = [row(f"NLL an item, {told['importance_samples']} importance samples", "log_px", -1)]
    if "over_language_model" in f:
        rows.append(row("NLL of the same decoder without z, exact", "language_model_log_px", -1))
        rows.append(row("NLL beyond it", "over_language_model_percent"))
        rows.append(row("perplexity of a word", "perplexity_per_word"))
        rows.append(row("the same without z", "language_model_perplexity_per_word"))
    return [
        *rows,
        row("bits of a character", "bits_per_character", digits=3),
        row("KL", "kl"),
        row(f"mutual information of items and codes, at most {math.log(told['items']):.2f}", "mutual_information"),
        Row("dimensions in use", 100 * f["active_units"].value / size, "%", None, "", 0),
        row(f"effective sample size of {told['importance_samples']}, median", "effective_sample_size", digits=0),
    ]


def names(run: Run, figures: Figures, arguments: argparse.Namespace) -> Found:
    """Are samples new, and does a model of held-out names take them for names?"""
    model, plain = run.model, without_z(run.model)
    train, validation, test = (set(texts(run, items)) for items in (run.data.train, run.data.validation, run.data.test))
    rows = beside(figures)
    drawn = {"samples": model.raw(model.sample(DRAWS, seed=arguments.seed)), "samples without z": plain.raw(plain.sample(DRAWS, seed=arguments.seed))}
    alphabet = "".join(sorted(set().union(*train, *validation, *test, *(set().union(*own) for own in drawn.values())) | {ENDING}))
    ngrams = Ngrams.of(sorted(test), alphabet)
    for history in list(ngrams.counts)[:2000]:
        assert abs(sum(ngrams.probability(c, history) for c in alphabet) - 1) < 1e-9, f"the n-gram model does not sum to one after {history!r}"
    for what, own in drawn.items():
        rows.append(Row(f"{what} that are no training name", *_unit(share(sum(s not in train for s in own), len(own))), digits=1))
        rows.append(Row(f"{what} that are distinct", *_unit(share(len(set(own)), len(own))), digits=1))
    for what, own in {"real names it has not seen": sorted(validation), **drawn}.items():
        value, error = mean([ngrams.nll(s) for s in own])
        rows.append(Row(f"NLL of {what} by an n-gram model of held-out names", value, "nats", error))
    return Found(rows, ["Samples: " + ", ".join(drawn["samples"][:24]) + ".", "", *paths(run, 3)])


def captions(run: Run, figures: Figures, arguments: argparse.Namespace) -> Found:
    """Does a code that carries much cost nothing?"""
    rows = beside(figures)
    targets = {"NLL beyond it": "at most 1%", "KL": "at least 8", "dimensions in use": "at least 90%"}
    rows = [Row(**{**asdict(row), "target": targets.get(row.what, "")}) for row in rows]
    return Found(rows, read_captions(run, arguments.seed))


def read_captions(run: Run, seed: int) -> list[str]:
    """Samples and paths."""
    lines = []
    for what, top_p in (("Samples:", 1.0), ("Samples at `--top-p 0.8`:", 0.8)):
        lines += [what, "", *(f"- {s}" for s in run.model.raw(run.model.sample(8, seed=seed, top_p=top_p))), ""]
    return [*lines, "Between two held-out captions:", "", *paths(run, 3)]


def molecules(run: Run, figures: Figures, arguments: argparse.Namespace) -> Found:
    """Are samples molecules, and does the code hold a molecule whole?"""
    model, seed = run.model, arguments.seed
    rows = beside(figures)
    known = set(canonical(arguments.rdkit_python, texts(run, run.data.train)))
    drawn = {
        COOL: model.sample(MOLECULES_DRAWN, seed=seed, token_temperature=COOLNESS),
        "samples at token temperature 1": model.sample(MOLECULES_DRAWN, seed=seed),
        "most probable strings of drawn codes": model.sample(MOLECULES_DRAWN, seed=seed, noise=False),
    }
    if model.language_model is not None:
        drawn["samples without z"] = without_z(model).sample(MOLECULES_DRAWN, seed=seed)
    for what, x in drawn.items():
        mine = canonical(arguments.rdkit_python, model.raw(x))
        valid = [s for s in mine if s]
        unique = set(valid)
        goal = "at least 95%" if what == COOL else ""
        rows.append(Row(f"{what} that are valid", *_unit(share(len(valid), len(mine))), target=goal, digits=1))
        rows.append(Row(f"{what}, unique among the valid", *_unit(share(len(unique), max(1, len(valid)))), target=goal, digits=1))
        rows.append(Row(f"{what}, new among the unique", *_unit(share(len(unique - known), max(1, len(unique)))), digits=1))
    items = run.data.test
    own, back = texts(run, items), model.raw(model.reconstruct(items))
    rows.append(
        Row("held-out molecules that come back exactly", *_unit(share(sum(a == b for a, b in zip(own, back, strict=True)), len(own))), target="at least 90%", digits=1)
    )  # fmt: skip
    return Found(rows, ["Samples: " + ", ".join(f"`{s}`" for s in model.raw(drawn[COOL][:16])) + ".", "", *paths(run, 3)])


def proteins(run: Run, figures: Figures, arguments: argparse.Namespace) -> Found:
    """How much does the code know beyond what each site tells by itself?"""
    schema, samples = run.data.schema, figures.protocol["importance_samples"]
    assert isinstance(schema, TextSchema)
    sites = schema.shape[0] - 1
    train, validation, test = (items.values[:, :sites].long() for items in (run.data.train, run.data.validation, run.data.test))
    counts = F.one_hot(train, schema.vocabulary).sum(0).double()[:, 2:]  # PAD and END stand nowhere
    smoothing, table = min(
        ((a, independent(counts, a)) for a in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)), key=lambda pair: -float(score(pair[1], validation).mean())
    )
    alone = score(table, test)
    log_px = run.model.log_prob(run.data.test, samples, seed=arguments.seed).value.double()
    ours, theirs, gain = (mean((-values / sites).tolist()) for values in (log_px, alone, alone - log_px))
    found = figures.figures
    rows = [
        Row(f"NLL a site, {samples} importance samples", ours[0], "nats", ours[1], "below independent sites", 4),
        Row(f"independent sites, {smoothing:g} added to each count (chosen on validation items)", theirs[0], "nats", theirs[1], "", 4),
        Row("gain", gain[0], "nats", gain[1], "", 4),
        Row("the same, a sequence", gain[0] * sites, "nats", gain[1] * sites, "", 1),
        Row("KL", found["kl"].value, "nats", found["kl"].standard_error),
        Row("dimensions in use", found["active_units"].value, found["active_units"].unit, digits=0),
        Row("effective sample size, median", found["effective_sample_size"].value, found["effective_sample_size"].unit, digits=0),
    ]  # fmt: skip
    return Found(
        rows,
        [
            f"{sites} sites. Relatives stand on both sides of the split, for both models: this tells how well a family is filled in, not how far beyond it a model reaches."
        ],
    )


def independent(counts: Tensor, smoothing: float) -> Tensor:
    """log p(letter) at each site, (L, V - 2)."""
    return ((counts + smoothing) / (counts + smoothing).sum(1, keepdim=True)).log()


def score(table: Tensor, x: Tensor) -> Tensor:
    """log p of sequences (N, L) under independent sites, (N,)."""
    assert bool((x >= 2).all()), "a sequence is shorter than the alignment"
    return table[torch.arange(len(table)), x - 2].sum(1)


def canonical(python: str, smiles: Sequence[str]) -> list[str]:
    """Each as RDKit writes it, "" where it is no molecule; '' alone is none."""
    script = (
        "import sys; from rdkit import Chem, RDLogger; RDLogger.DisableLog('rdApp.*')\n"
        "for line in sys.stdin:\n"
        "    m = Chem.MolFromSmiles(line.strip()) if line.strip() else None\n"
        "    print(Chem.MolToSmiles(m) if m is not None and m.GetNumAtoms() else '')\n"
    )
    done = subprocess.run([python, "-c", script], input="\n".join(smiles) + "\n", capture_output=True, text=True, check=True)
    found = done.stdout.split("\n")[:-1]
    assert len(found) == len(smiles), "RDKit answered other lines than it was asked"
    return found


def spread(items: Items, count: int) -> Items:
    """``count`` of the items, evenly spaced: a source may have an order, as molecules by size and relatives by nearness."""
    return items[torch.linspace(0, len(items) - 1, min(count, len(items))).round().long()]


def without_z(model: Model) -> Model:
    """The language model, as a model that can be drawn from."""
    assert model.language_model is not None
    return Model(model.language_model, model.schema, model.recipe, device=model.device)


def texts(run: Run, items: Items) -> list[str]:
    """Items as strings."""
    return run.data.schema.to_raw(run.data.schema.to_x(items.values))


def paths(run: Run, count: int) -> list[str]:
    """Interpolations between test items, a list each."""
    model, test, lines = run.model, run.data.test, []
    for i in range(count):
        path = model.raw(model.interpolate(test[2 * i : 2 * i + 1], test[2 * i + 1 : 2 * i + 2], 6))
        ends = texts(run, test[2 * i : 2 * i + 2])
        lines += [f"- **{ends[0]}** → {' → '.join(path)} → **{ends[1]}**"]
    return lines


def _unit(pair: tuple[float, float]) -> tuple[float, str, float]:
    return pair[0], "%", pair[1]


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and how it is measured."""

    title: str
    source: str
    measure: Callable[[Run, Figures, argparse.Namespace], Found]
    recipe: str = "text"
    settings: tuple[str, ...] = ()
    items: int = 1000
    samples: int = 200
    """Of importance sampling, for each of ``items`` test items."""
    language_model: bool = True


NAMES = ("encoder.width=128", "decoder.width=128", "objective.free_bits=0.15")
"""Fewer nats asked of a code where an item has 14 of them, not 54."""
MOLECULES = (
    "latent_size=56", "objective.free_bits=0.5", "encoder.kind=mlp", "encoder.hidden=[512, 512]", "decoder.width=128", "decoder.plan=32", "decoder.stray=0.6",
    "training.batch_size=128", "training.learning_rate=2e-3", "training.clip=20", "training.precision=float32",
)  # fmt: skip
"""A few nats more than the 20 of a molecule, so that it comes back as it was; an encoder that sees all positions at once, and is cheap for strings as short; a decoder that is
told what stands where, and that learns to write molecules at codes that are none's."""

TASKS = {
    "names": Task("Names", "names.txt", names, settings=NAMES),
    "captions": Task("English captions", "multi30k", captions, items=500, samples=500),
    "qm9": Task("Molecules", "qm9_smiles.txt", molecules, settings=MOLECULES, samples=100, language_model=False),
    "p53": Task(
        "A protein family",
        "protein_msa/P53_HUMAN_b0.1.a2m",
        proteins,
        "text-parallel",
        samples=200,
        language_model=False,
    ),
}


def reproduce(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, measure and keep."""
    task, folder, began = TASKS[name], arguments.out / name, time.process_time()
    recipe, settings = arguments.recipe or task.recipe, [*task.settings, *arguments.set]
    run = train_run(
        arguments.data / task.source, out=folder / "run", recipe=recipe, overrides=settings, options=Options(seed=arguments.seed), max_minutes=arguments.minutes,
        overwrite=True, seed=arguments.seed, device="cpu", language_model=task.language_model, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    trained = (time.process_time() - began) / 60
    test = spread(run.data.test, arguments.items or task.items)
    figures = run.model.evaluate(test, arguments.samples or task.samples, seed=arguments.seed)
    found = task.measure(replace(run, data=replace(run.data, test=test)), figures, arguments)
    result = {
        "task": name,
        "recipe": recipe,
        "set": settings,
        "seed": arguments.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{hardware(torch.device('cpu'))}, torch {torch.__version__}",
        "minutes": arguments.minutes,
        "steps": run.history.steps,
        "kept_step": run.history.best_step,
        "epochs": round(run.history.steps * run.model.recipe["training"]["batch_size"] / len(run.data.train), 1),
        "items": [len(run.data.train), len(run.data.validation), figures.protocol["items"]],
        "tokens": f"{figures.protocol['tokens']}, {run.data.schema.shape[0]} an item at most",
        "training_cpu_minutes": round(trained, 2),
        "total_cpu_minutes": round((time.process_time() - began) / 60, 2),
        "rows": [asdict(row) for row in found.rows],
        "lines": found.lines,
        **figures.to_json(),
    }
    replace_file(folder / "result.json", json.dumps(result, indent=2).encode())
    return result


def page(result: dict[str, Any]) -> str:
    """A task's section as Markdown."""
    train, validation, test = result["items"]
    seed = f" --seed {result['seed']}" if result["seed"] else ""
    lines = [
        f"### {TASKS[result['task']].title}",
        "",
        f"    python benchmarks/texts.py {result['task']} --data DIR --minutes {result['minutes']:g}{seed}{''.join(f' --set {s}' for s in _own(result))}",
        "",
        f"Recipe `{result['recipe']}`{', ' + ' '.join(result['set']) if result['set'] else ''}; seed {result['seed']}, {result['date']}, {result['hardware']};",
        f"{result['tokens']}; {train} training, {validation} validation and {test} test items; {result['steps']} steps, {result['epochs']:g} epochs, weights of step {result['kept_step']};"
        f" {result['total_cpu_minutes']:.1f} CPU minutes in all, of which {result['training_cpu_minutes']:.1f} in training and `vae train`'s own evaluation.",
        "",
        "| figure | value | target |",
        "|---|---|---|",
        *(str(Row(**row)) for row in result["rows"]),
        "",
        *result["lines"],
    ]
    return "\n".join(lines)


def _own(result: dict[str, Any]) -> list[str]:
    """Settings beyond the task's."""
    return [text for text in result["set"] if text not in TASKS[result["task"]].settings]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[*TASKS])
    parser.add_argument("--data", type=Path, required=True, help="folder of the four sources")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, VAE and language model together")
    parser.add_argument("--recipe", help="another recipe than the task's")
    parser.add_argument("--set", action="append", default=[], help="override a knob of the recipe")
    parser.add_argument("--items", type=int, help="test items scored")
    parser.add_argument("--samples", type=int, help="importance samples of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/texts"))
    parser.add_argument("--rdkit-python", default=sys.executable, help="a Python that has RDKit, for qm9")
    parser.add_argument("--no-page", action="store_true", help="leave docs/results.md as it is")
    arguments = parser.parse_args()
    if arguments.task == "qm9" and subprocess.run([arguments.rdkit_python, "-c", "import rdkit"], check=False, capture_output=True).returncode:
        raise SystemExit(
            f"{arguments.rdkit_python} has no RDKit: pip install rdkit into an environment, and name its interpreter with --rdkit-python"
        )
    result = reproduce(arguments.task, arguments)
    print("\n".join(str(Row(**row)) for row in result["rows"]), *result["lines"], sep="\n")
    if not arguments.no_page:
        begin, end = (f"<!-- text {arguments.task}: {what} -->" for what in ("begin", "end"))
        write_section(page(result), begin, end)


if __name__ == "__main__":
    main()
