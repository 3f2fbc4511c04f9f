"""Published figures, each under its paper's protocol: train, measure, and write the row into docs/results.md.

    python benchmarks/published.py burda --data-dir DIR                          # the whole protocol: hours on a CPU, minutes on a GPU
    python benchmarks/published.py iwae-50 --data-dir DIR --max-minutes 30       # stop after half an hour; the same command goes on from there
    python benchmarks/published.py iwae-50 --data-dir DIR --minutes 30 --items 500   # the schedule shortened to half an hour, 500 test items scored
    python benchmarks/published.py --table                                       # write the rows again from runs/published/*/result.json

Writes runs/published/NAME/result.json and the section "Published figures" of docs/results.md. A run that was stopped, by --max-minutes or with Ctrl-C, measures what it has, says at which
step it stopped, and goes on there when it is called again with the same settings. --set changes any knob.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vaeworks.data import Data, Options, open_data
from vaeworks.data.sprites import FACTORS, render
from vaeworks.evaluation import annealed_log_prob, classifier_features, disentanglement, evaluate, frechet
from vaeworks.files import replace_file
from vaeworks.recipes import build_objective, build_trainer, build_vae, conditioned
from vaeworks.runs import Model, fit_prior, plan_recipe
from vaeworks.trace import Batch
from vaeworks.training import Progress, choose_device

RESULTS = Path(__file__).parents[1] / "docs/results.md"
BEGIN, END = "<!-- published figures: begin -->", "<!-- published figures: end -->"
ANNEALED, CHAINS, TEMPERATURES = 100, 16, 1000
"""Test items, chains and temperatures of annealed importance sampling (Wu et al. 2017 take 10,000 temperatures)."""
PICTURES = 10_000
"""Real and generated pictures that a Frechet distance is made of."""
COMPONENTS = 100
"""Of the mixture fitted to codes; its normals are diagonal, where Ghosh et al. 2020 take ten of full covariance."""


@dataclass(frozen=True)
class Trained:
    """A model, what it learned from, and how much of the test set to spend on it."""

    model: Model
    data: Data
    items: int | None
    samples: int
    seed: int


Figures = dict[str, Any]
"""``headline``, a number, with ``standard_error`` (None where there is none), ``unit`` and ``told``, what it was measured with; beside them whatever else is worth keeping."""


def likelihood(trained: Trained) -> Figures:
    """Test negative log-likelihood by importance sampling."""
    model, items = trained.model, trained.data.test[: trained.items]
    found = evaluate(model.vae, items, model.schema, samples=trained.samples, seed=trained.seed, device=model.device)
    log_px, error = found.figures["log_px"], found.figures["monte_carlo_error"].value
    told = f"{len(items)} test items, {trained.samples} importance samples (Monte Carlo error {error:.2g})"
    return {"headline": -log_px.value, "standard_error": log_px.standard_error, "unit": "nats", "told": told, **found.to_json()}


def confirmed_likelihood(trained: Trained) -> Figures:
    """The same, and annealed importance sampling beside importance sampling on the first test items: the difference is what the latter misses."""
    found, model = likelihood(trained), trained.model
    some = trained.data.test[: min(ANNEALED, trained.items or ANNEALED)]
    few = -likelihood(replace(trained, items=len(some)))["headline"]
    batch = some.batch(model.schema, slice(None), torch.Generator().manual_seed(trained.seed)).to(model.device)
    torch.manual_seed(trained.seed)
    annealed = annealed_log_prob(model.vae, batch, chains=CHAINS, steps=TEMPERATURES)
    gain, error = float(annealed.value.mean()) - few, float(annealed.standard_error.square().sum().sqrt()) / len(some)
    told = f"{found['told']}; on {len(some)} items AIS ({CHAINS} chains, {TEMPERATURES} temperatures) finds {gain:+.2f} ± {error:.2f} nats more"
    return found | {"told": told, "annealed": {"items": len(some), "gain": gain, "monte_carlo_error": error, "acceptance": annealed.acceptance}}


def generation(trained: Trained) -> Figures:
    """How many times nearer to real pictures, by Frechet distance, samples of a mixture fitted to the codes are than samples of N(0, I)."""
    model, data = trained.model, trained.data
    labels = data.train.labels
    assert labels is not None
    train = data.train.batch(data.schema, slice(0, 20_000))
    features = classifier_features(train.x, labels[:20_000], name=f"training items of {data.schema.source}", seed=0)
    real = features(data.test[: trained.items or PICTURES].batch(data.schema, slice(None)).x)
    fitted = fit_prior(model, data.train, data.validation, kind="gmm", overrides=[f"prior.components={COMPONENTS}"], seed=trained.seed).model
    plain, mixture = (frechet(real, features(each.sample(len(real), seed=trained.seed))) for each in (model, fitted))
    told = f"Frechet distance {plain:.1f} from N(0, I), {mixture:.1f} from a mixture of {COMPONENTS}; {len(real)} pictures each, {features.name}"
    return {
        "headline": plain / mixture,
        "standard_error": None,
        "unit": "times nearer",
        "told": told,
        "frechet": {"normal": plain, "mixture": mixture},
    }


def disentangled(trained: Trained) -> Figures:
    """Mutual information gap of the posterior means of sprites whose factors are drawn uniformly."""
    model, n = trained.model, trained.items or 10_000
    generator = torch.Generator().manual_seed(trained.seed)
    factors = torch.stack([torch.randint(size, (n,), generator=generator) for size in FACTORS.values()], 1)
    with torch.inference_mode():
        codes = [
            model.vae.latents.means(model.vae, piece).cpu()
            for piece in (_pictures(model, rows) for rows in factors.split(500))
        ]  # fmt: skip
    scores = disentanglement(torch.cat(codes), factors, categorical=(0,), seed=trained.seed)
    others = {"factor_vae": scores.factor_vae, "beta_vae": scores.beta_vae, "sap": scores.sap, "modularity": scores.modularity}
    others |= {"dci_disentanglement": scores.dci.disentanglement, "dci_completeness": scores.dci.completeness}
    return {"headline": scores.mig, "standard_error": None, "unit": "MIG", "told": f"{n} pictures, factors uniform, 20 bins", "scores": others}


def _pictures(model: Model, factors: torch.Tensor) -> Batch:
    return Batch(model.schema.to_x(torch.from_numpy(render(factors.numpy())))).to(model.device)


@dataclass(frozen=True)
class Protocol:
    """What a paper did, as a recipe and settings."""

    recipe: str
    published: str
    """The figure, as the paper gives it."""
    source: str
    """Author, year, arXiv number."""
    settings: tuple[str, ...]
    measure: Callable[[Trained], Figures] = likelihood
    data: str = "mnist-binarized:dynamic"
    validation: float | None = 2000 / 60000
    samples: int = 5000
    seeds: int = 1
    """Trainings, of which the median is told."""


TRAINING = ("training.batch_size=100", "training.patience=1")
BURDA = (*TRAINING, "training.epochs=400", "training.learning_rate=1e-3")
"""400 epochs with a falling rate in place of 3280 at batch 20 under a staircase: a CPU's share of the paper's training."""
TOMCZAK = (*TRAINING, "training.epochs=400", "training.learning_rate=5e-4", "objective.schedule.kind=linear", "objective.schedule.fraction=0.25")
"""Their rate and batch, and their warm-up of 100 epochs."""

PROTOCOLS: dict[str, Protocol] = {
    "burda": Protocol("burda", "86.76", "Burda et al. 2016, arXiv:1509.00519", BURDA),
    "iwae-50": Protocol("burda", "84.78", "Burda et al. 2016, arXiv:1509.00519", (*BURDA, "objective.kind=iwae", "objective.samples=50")),
    "dreg-50": Protocol(
        "burda", "84.32", "Tucker et al. 2019, arXiv:1810.04152", (*BURDA, "objective.kind=iwae", "objective.samples=50", "objective.gradient=dreg")
    ),
    "vamp": Protocol("vamp", "82.43", "Tomczak & Welling 2018, arXiv:1705.07120", TOMCZAK),
    "hvae-vamp": Protocol("hvae-vamp", "81.56", "Tomczak & Welling 2018, arXiv:1705.07120", (*TOMCZAK, "latents.hidden=[300]")),
    "resnet-realnvp": Protocol(
        "resnet-realnvp",
        "78.49",
        "Xu et al. 2019, arXiv:1905.13452",
        (*TRAINING, "training.epochs=400", "training.learning_rate=1e-3", "latent_size=40", "encoder.blocks=2", "decoder.blocks=2"),
        measure=confirmed_likelihood,
        samples=1000,
    ),
    "rae-gmm": Protocol(
        "rae-l2",
        "at least 2",
        "the direction of Ghosh et al. 2020, arXiv:1903.12436, whose distances are of Inception's features",
        (*TRAINING, "training.epochs=100", "training.learning_rate=1e-3", "likelihood.kind=gaussian", "likelihood.scale_kind=fixed", "likelihood.scale=0.3"),
        measure=generation,
        data="mnist",
    ),
    "beta-tcvae": Protocol(
        "beta-tc-vae",
        "above 0.3",
        "Chen et al. 2018, arXiv:1802.04942: 0.45 on dSprites",
        (*TRAINING, "training.epochs=60", "training.learning_rate=1e-3", "latent_size=10", "objective.beta=6", "encoder.hidden=[400, 400]", "decoder.hidden=[400, 400]"),
        measure=disentangled,
        data="sprites",
        validation=0.05,
        seeds=5,
    ),
}  # fmt: skip


def measure(
    name: str, settings: list[str], data: Data, *, folder: Path, samples: int, items: int | None = None, max_minutes: float | None = None, seed: int = 0,
    device: str = "auto", stop_minutes: float | None = None, figures: Callable[[Trained], Figures] = likelihood,
) -> dict[str, Any]:  # fmt: skip
    """Train recipe ``name`` with ``settings`` on ``data`` and measure it on the first ``items`` test items: what docs/results.md needs to know, also in ``folder``.

    ``max_minutes`` shortens the plan and its schedule to fit; ``stop_minutes`` stops there, as Ctrl-C does, to go on another time. A call in vain, of a run that is finished, trains nothing.
    """
    file, where = folder / "result.json", choose_device(device)
    before = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if before and (before["recipe"], before["set"], before["seed"]) != (name, settings, seed):
        sys.exit(
            f"{folder} holds a run with other settings ({' '.join(before['set'])}, seed {before['seed']}): repeat them to go on, or choose another --out"
        )
    recipe = plan_recipe(data.schema, name, settings)[0]
    data = replace(data, schema=conditioned(recipe, data.schema))
    torch.manual_seed(seed)
    vae, trainer = build_vae(recipe, data.schema), build_trainer(recipe)
    began, clock = time.process_time(), Stopwatch(stop_minutes)
    history = trainer.fit(
        vae, build_objective(recipe), data, folder=folder, device=where, seed=seed, resume=True, max_minutes=max_minutes, progress=clock,
    )  # fmt: skip
    trained = (time.process_time() - began) / 60 + before.get("training_cpu_minutes", 0.0)
    epoch = len(data.train) // min(trainer.batch_size * trainer.accumulate, len(data.train))
    planned = trainer.planned_epochs(epoch, data.schema.dimensions) * epoch
    began = time.process_time()
    found = figures(Trained(Model(vae, data.schema, recipe, device=where), data, items, samples, seed))
    result = {
        "recipe": name,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{hardware(where)}, torch {torch.__version__}",
        "seed": seed,
        "set": settings,
        "steps": history.steps,
        "planned_steps": planned,
        "ended": history.ended,
        "max_minutes": max_minutes,
        "training_minutes": round(history.seconds / 60, 2),
        "training_cpu_minutes": round(trained, 2),
        "total_cpu_minutes": round((time.process_time() - began) / 60 + trained, 2),
        **found,
    }
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(file, json.dumps(result, indent=2).encode())
    return result


class Stopwatch:
    """Training's progress, told on one line; after ``minutes`` it interrupts training as Ctrl-C does."""

    def __init__(self, minutes: float | None):
        self.minutes, self.began = minutes, time.monotonic()

    def __call__(self, p: Progress) -> None:
        print(f"\r{p.step}/{p.steps} {p.items_per_second:.0f} items/s, best {p.best:.3f}", end="", flush=True)
        if self.minutes is not None and time.monotonic() - self.began > 60 * self.minutes and p.step < p.steps:
            self.minutes = None
            signal.raise_signal(signal.SIGINT)


def hardware(device: torch.device) -> str:
    """What trained, for people to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor() or platform.machine()
    )
    threads = torch.get_num_threads()
    return f"{model}, {threads} thread{'s' * (threads > 1)} of {os.cpu_count()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).is_file() else []


def reproduce(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figure of protocol ``name``, the median over its seeds where there are several; also in ``arguments.out``/name/result.json."""
    protocol, settings = PROTOCOLS[name], [*PROTOCOLS[name].settings, *arguments.set]
    folder, runs = arguments.out / name, []
    for seed in range(arguments.seed, arguments.seed + protocol.seeds):
        data = open_data(protocol.data, options=Options(data_dir=arguments.data_dir, seed=arguments.seed, validation=protocol.validation))
        if not runs:
            print("\n".join(data.notes), flush=True)
        runs.append(
            measure(
                protocol.recipe, settings, data, folder=folder if protocol.seeds == 1 else folder / f"seed-{seed}", samples=arguments.samples or protocol.samples,
                items=arguments.items, max_minutes=arguments.minutes, stop_minutes=arguments.max_minutes, seed=seed, device=arguments.device, figures=protocol.measure,
            )
        )  # fmt: skip
        print(f"\n{name}, seed {seed}: {runs[-1]['headline']:.3f} {runs[-1]['unit']}", flush=True)
    result = runs[0]
    if len(runs) > 1:
        values = [run["headline"] for run in runs]
        totals = {key: round(sum(run[key] for run in runs), 2) for key in ("training_cpu_minutes", "total_cpu_minutes", "steps", "planned_steps")}
        told = f"{runs[0]['told']}; median of seeds {', '.join(f'{value:.2f}' for value in values)}"
        result = {**runs[0], **totals, "headline": median(values), "told": told, "seed": f"{arguments.seed} .. {seed}"}
    result = result | {"protocol_name": name, "published": protocol.published, "source": protocol.source, "data_name": protocol.data}
    replace_file(folder / "result.json", json.dumps(result, indent=2).encode())
    return result


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    error = "" if result["standard_error"] is None else f" ± {result['standard_error']:.2f}"
    done, planned = result["steps"], result["planned_steps"]
    stopped = "" if done >= planned else f"; **stopped at step {done} of {planned}**"
    if stopped and result["max_minutes"] is not None and result["ended"] == "finished":
        stopped = f"; **schedule shortened to {done} of {planned} steps**"
    changed = [text for text in result["set"] if text not in PROTOCOLS[result["protocol_name"]].settings]
    protocol = f"{result['told']}{stopped}" + (f"; --set {' '.join(changed)}" if changed else "")
    cells = (
        result["protocol_name"], f"{result['recipe']}, {result['data_name']}", f"{result['published']} ({result['source']})", f"{result['headline']:.2f}{error} {result['unit']}",
        protocol, f"{result['date']}, {result['hardware']}, seed {result['seed']}", f"{result['total_cpu_minutes']:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def section(page: Path, begin: str, end: str) -> tuple[str, str, str]:
    """``page`` in three: up to and with the marker ``begin``, what stands between, from the marker ``end`` on."""
    before, found, rest = page.read_text("utf-8").partition(begin)
    inside, ended, after = rest.partition(end)
    if not found or not ended:
        sys.exit(f"{page} lacks the markers {begin} and {end}, between which the figures go: put them back")
    return before + begin, inside, end + after


def write_section(text: str, begin: str, end: str, page: Path = RESULTS) -> None:
    """Put ``text`` between two markers of the page of results."""
    before, _, after = section(page, begin, end)
    replace_file(page, f"{before}\n\n{text}\n\n{after}".encode())


def write_table(out: Path, page: Path = RESULTS) -> None:
    """The section of ``page`` between its two markers: a row for every result in ``out``; rows of what was measured elsewhere stay as they are."""
    _, inside, _ = section(page, BEGIN, END)
    rows = {line.split("|")[1].strip(): line for line in inside.splitlines() if line.startswith("| ") and line.split("|")[1].strip() in PROTOCOLS}
    for name in PROTOCOLS:
        file = out / name / "result.json"
        if file.is_file():
            result = json.loads(file.read_text("utf-8"))
            if "protocol_name" in result:
                rows[name] = row(result)
    head = ["| name | recipe, data | published | ours | protocol | date, hardware, seed | CPU minutes |", "|---|---|---|---|---|---|---|"]
    lines = [*head, *(rows[name] for name in PROTOCOLS if name in rows)] if rows else ["Not measured yet."]
    write_section("\n".join(lines), BEGIN, END, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*PROTOCOLS, []], metavar="NAME", help=", ".join(PROTOCOLS))
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/published"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; auto takes a GPU where there is one")
    parser.add_argument("--set", action="append", default=[], help="override a knob of the recipe")
    parser.add_argument("--max-minutes", type=float, help="stop a training after so many minutes; the same command goes on from there")
    parser.add_argument("--minutes", type=float, help="shorten a training, and its schedule, to fit")
    parser.add_argument("--items", type=int, help="test items to score (all by default)")
    parser.add_argument("--samples", type=int, help="importance samples (the protocol's own by default)")
    parser.add_argument("--table", action="store_true", help="only write the table of docs/results.md again")
    arguments = parser.parse_args()
    if not arguments.names and not arguments.table:
        parser.error(f"name one or more of {', '.join(PROTOCOLS)}, or --table")
    for name in arguments.names:
        result = reproduce(name, arguments)
        print("\n" + row(result), flush=True)
        write_table(arguments.out)
    if arguments.table:
        write_table(arguments.out)


if __name__ == "__main__":
    main()
