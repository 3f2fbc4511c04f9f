"""Models side by side on the same held-out items, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vaeworks.data import Items, Options, Source, open_data
from vaeworks.errors import VaeworksError
from vaeworks.evaluation import evaluate
from vaeworks.recipes import build_objective, build_trainer, build_vae
from vaeworks.runs.budget import evaluation_budget
from vaeworks.runs.model import Model
from vaeworks.runs.show import map_of, originals_of
from vaeworks.runs.train import plan_recipe
from vaeworks.training import choose_device

__all__ = ["Comparison", "Measured", "compare_recipes", "compare_runs", "figures_of", "show_comparison"]


@dataclass(frozen=True)
class Measured:
    """A figure of one contestant with its 95 % confidence interval: over seeds where there are several, else over items."""

    value: float
    half_width: float | None
    unit: str


@dataclass(frozen=True)
class Comparison:
    """name -> figure -> Measured, on the same items, and a model of each for pictures."""

    table: dict[str, dict[str, Measured]]
    protocol: dict[str, Any]
    models: dict[str, Model]
    items: Items

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        table = {
            name: {figure: {"value": m.value, "half_width_95": m.half_width, "unit": m.unit} for figure, m in figures.items()}
            for name, figures in self.table.items()
        }
        return {"table": table, "protocol": self.protocol}


def figures_of(model: Model, items: Items, samples: int, seed: int) -> dict[str, Measured]:
    """The figures that every kind of model has, and those of the bound where there is one."""
    with torch.random.fork_rng(devices=[]):
        figures = evaluate(model.vae, items, model.schema, samples=samples, seed=seed, device=model.device).figures
    measured = {
        name: Measured(f.value, None if f.standard_error is None else 1.96 * f.standard_error, f.unit)
        for name, f in figures.items()
        if name not in {"monte_carlo_error", "effective_sample_size"}
    }
    if model.schema.kind != "table":  # of rows, whose columns are measured in different things, it says nothing
        generator = torch.Generator().manual_seed(seed)
        x = torch.cat([batch.x for batch in items.batches(model.schema, 500, generator)])
        errors = (model.reconstruct(items) - x).square().flatten(1).mean(1)
        measured["reconstruction_mse"] = Measured(float(errors.mean()), 1.96 * float(errors.std()) / math.sqrt(len(errors)), "of x in [0, 1]")
    codes = model.encode(items)
    measured["code_norm"] = Measured(float(codes.square().mean().sqrt()), None, "root mean square per dimension; N(0, I) has 1")
    return measured


def compare_runs(
    models: dict[str, Model], source: Source | Items, *, samples: int | None = None, seed: int = 0, options: Options | None = None
) -> Comparison:
    """Trained models on the same held-out items; VaeworksError where they were trained on data of different form."""
    first, *others = models.items()
    for name, model in others:
        if replace(model.schema, mean=0, std=0, count=0, source="") != replace(first[1].schema, mean=0, std=0, count=0, source=""):
            raise VaeworksError(
                f"{name} and {first[0]} were trained on data of different form ({model.schema.shape} and {first[1].schema.shape}): nothing to compare"
            )
    items, budget = evaluation_budget(first[1].items(source, options), first[1].schema)
    samples = samples or budget
    table = {name: figures_of(model, items, samples, seed) for name, model in models.items()}
    protocol = {"items": len(items), "importance_samples": samples, "interval": "95 % over items", "data": first[1].schema.source}
    return Comparison(table, protocol, models, items)


def compare_recipes(
    source: Source,
    recipes: Sequence[str],
    *,
    seeds: int = 3,
    overrides: Iterable[str] = (),
    options: Options | None = None,
    max_minutes: float | None = None,
    samples: int | None = None,
    device: str = "auto",
    out: Path | None = None,
    say: Callable[[str], None] | None = None,
    progress: Callable[..., None] | None = None,
) -> Comparison:
    """Train every recipe ``seeds`` times on the same split and compare on its test items, with 95 % intervals over seeds."""
    if seeds < 1:
        raise VaeworksError(f"--seeds {seeds}: at least one training per recipe is needed")
    overrides, chosen = list(overrides), choose_device(device)
    data = open_data(source, options=options or Options())
    items, budget = evaluation_budget(data.test if len(data.test) else data.train, data.schema)
    samples = samples or budget
    plans = {name: plan_recipe(data.schema, name, overrides)[0] for name in recipes}  # every recipe is checked before the first one trains
    table, models = {}, {}
    for name, recipe in plans.items():
        runs = []
        for seed in range(seeds):
            if say is not None:
                say(f"{name}, seed {seed}")
            torch.manual_seed(seed)
            vae = build_vae(recipe, data.schema)
            build_trainer(recipe).fit(vae, build_objective(recipe), data, device=chosen, seed=seed, max_minutes=max_minutes, progress=progress)
            models[name] = Model(vae, data.schema, recipe, device=chosen)
            runs.append(figures_of(models[name], items, samples, 0))
            if out is not None:
                models[name].save(out / f"{name}-seed{seed}")
        table[name] = runs[0] if seeds == 1 else {figure: _over_seeds([run[figure] for run in runs]) for figure in runs[0]}
    interval = "95 % over seeds (Student's t)" if seeds > 1 else "95 % over items"
    protocol = {"items": len(items), "importance_samples": samples, "seeds": seeds, "interval": interval, "data": data.schema.source}
    return Comparison(table, protocol, models, items)


def _over_seeds(runs: list[Measured]) -> Measured:
    from scipy import stats

    values = torch.tensor([run.value for run in runs], dtype=torch.float64)
    return Measured(float(values.mean()), float(stats.t.ppf(0.975, len(runs) - 1)) * float(values.std()) / math.sqrt(len(runs)), runs[0].unit)


def show_comparison(comparison: Comparison, folder: Path, n: int = 10) -> None:
    """Samples from the prior, reconstructions and latent-NAME.png into ``folder``: a version, or a map, for each model."""
    from vaeworks.reporting import exhibit, save_png

    folder.mkdir(parents=True, exist_ok=True)
    models, items = comparison.models, comparison.items
    first = next(iter(models.values()))
    shown = items[:n]
    samples = exhibit(first.schema, {name: model.sample(n, seed=0) for name, model in models.items()})
    rebuilt = {"original": originals_of(first, shown)} | {name: model.reconstruct(shown) for name, model in models.items()}
    for name, shown_as in (("samples", samples), ("reconstructions", exhibit(first.schema, rebuilt))):
        shown_as.write(folder / f"{name}{shown_as.suffixes[0]}")
    short = [Path(name).name for name in models]
    for i, (name, model) in enumerate(zip(short, models.values(), strict=True)):
        save_png(map_of(model, items), folder / f"latent-{name if short.count(name) == 1 else f'{name}-{i}'}.png")
