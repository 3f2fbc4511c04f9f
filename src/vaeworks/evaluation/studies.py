"""What can be measured beside the ordinary figures, by name: each study takes a model and held-out items, or says why it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.distributions import PointMass
from vaeworks.errors import DataError, VaeworksError
from vaeworks.evaluation.annealed import annealed_log_prob, bidirectional
from vaeworks.evaluation.disentanglement import disentanglement
from vaeworks.evaluation.figures import Figure, Figures, hidden, mean_figure, posterior_means
from vaeworks.evaluation.gaps import ROWS, gaps
from vaeworks.evaluation.importance import log_prob
from vaeworks.evaluation.information import information
from vaeworks.evaluation.probes import linear_probe, nearest_neighbours
from vaeworks.evaluation.samples import PIXELS, classifier_features, compare_samples
from vaeworks.evaluation.tables import comparable, default_target, kinds_of, synthetic_rows, table_figures
from vaeworks.latents import FlatLatents
from vaeworks.model import VAE, Schema, TableSchema
from vaeworks.trace import Batch

__all__ = ["STUDIES", "Setting", "Study", "further"]

Advance = Callable[[int], None]
Counter = Callable[[str, int], AbstractContextManager[Advance]]

ANNEALED, GAPS, INFORMATION, SAMPLED, CODES = 20, 100, 2000, 2000, 10_000
"""The most items that each study looks at."""
CHAINS, STEPS = 16, 500
"""Annealed chains an item, and steps of Adam for the best posterior of an item."""
ROWS_COMPARED, SCORED = 50_000, 2000
"""Rows of each part of a table that samples are compared with, and that log p(x) is asked of."""
LEAST = 20
"""Fewer items say nothing of codes or samples."""


def _quiet(_label: str, _total: int) -> AbstractContextManager[Advance]:
    """No progress bar."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class Setting:
    """A model, and what it is measured with."""

    vae: VAE
    schema: Schema
    items: Items
    """Held-out items."""
    learned: Items | None = None
    """Training items, for what learns from codes; None: half of ``items`` stands for them."""
    samples: int = 1000
    """Importance samples an item."""
    temperatures: int = 1000
    """Temperatures that chains are annealed over."""
    target: str | None = None
    """The column of a table that a learner foretells; None: chosen."""
    seed: int = 0
    device: torch.device | str = "cpu"
    counter: Counter = _quiet
    """Progress: called with a label and a total, it gives the function that advances it."""

    def x(self, items: Items) -> Batch:
        """The items as a batch on the CPU, known labels hidden where the model can do without."""
        return hidden(items, self.schema).batch(self.schema, slice(None), torch.Generator().manual_seed(self.seed))

    def batch(self, most: int) -> Batch:
        """The first ``most`` items on the device."""
        return self.x(self.items[:most]).to(self.device)

    def codes(self, items: Items) -> Tensor:
        """Posterior means (N, D)."""
        return posterior_means(self.vae, hidden(items, self.schema), self.schema, device=self.device, seed=self.seed)

    def halves(self, most: int) -> tuple[Items, Items]:
        """Items to learn from and items to test on, at most so many of each, mixed by the seed."""
        generator = torch.Generator().manual_seed(self.seed)
        mixed = [items[torch.randperm(len(items), generator=generator)] for items in (self.items, self.learned) if items is not None]
        test, learned = mixed if len(mixed) == 2 else (mixed[0][len(mixed[0]) // 2 :], mixed[0][: len(mixed[0]) // 2])
        return learned[:most], test[:most]


@dataclass(frozen=True)
class Study:
    """Something to measure."""

    measure: Callable[[Setting], Figures]
    """Raises DataError for items that will not do, NotImplementedError for parts that it is not written for."""
    refusal: Callable[[Setting], str]
    """Why it cannot be done, and what would mend it; "" where it can."""


def further(setting: Setting, names: Iterable[str], *, strict: bool = True) -> Figures:
    """The figures of the studies ``names``, one after another, each drawn from its own stream of the seed.

    What cannot be done is refused before anything is measured, with a VaeworksError; or, unless ``strict``, left out with a warning that says why.
    """
    names = list(names)
    refused = {name: reason for name in names if (reason := STUDIES[name].refusal(setting))}
    if strict and refused:
        raise VaeworksError("; ".join(f"{name} cannot be measured: {reason}" for name, reason in refused.items()))
    total = Figures({}, {})
    for name in (name for name in names if name not in refused):
        setting.vae.eval()
        torch.manual_seed(setting.seed)
        try:
            total = total.joined(STUDIES[name].measure(setting))
        except (DataError, NotImplementedError) as error:
            refused[name] = str(error)
            if strict:
                raise VaeworksError(f"{name} cannot be measured: {error}") from error
    return total.joined(Figures({}, {}, tuple(f"{name} was not measured: {reason}" for name, reason in refused.items())))


def _annealed(setting: Setting) -> Figures:
    """log p(x) by annealed importance sampling beside importance sampling of the same items, and the sandwich of items that the model draws."""
    batch, n = setting.batch(ANNEALED), min(ANNEALED, len(setting.items))
    weighted = log_prob(setting.vae, batch, setting.samples)
    with setting.counter("annealing", setting.temperatures) as advance:
        annealed = annealed_log_prob(setting.vae, batch, chains=CHAINS, steps=setting.temperatures, progress=advance)
    with setting.counter("annealing from both sides", 2 * setting.temperatures) as advance:
        sandwich = bidirectional(setting.vae, n, chains=CHAINS, steps=setting.temperatures, context=batch.context, progress=advance)
    how = f"{n} items, {CHAINS} chains, {setting.temperatures} temperatures"
    error = float(annealed.standard_error.square().sum().sqrt()) / n
    return Figures(
        {
            "annealed_log_px": mean_figure(annealed.value, "nats", f"log p(x) by annealed importance sampling: a lower bound; {how}"),
            "annealed_monte_carlo_error": Figure(error, "nats", meaning="the part of its error due to finite chains"),
            "importance_log_px": mean_figure(
                weighted.value, "nats", f"log p(x) of the same {n} items by importance sampling, {setting.samples} samples"
            ),
            "annealed_gain": mean_figure(annealed.value - weighted.value, "nats", "their difference: above 0 where importance sampling misses mass"),
            "sandwich_gap": mean_figure(
                sandwich.upper - sandwich.lower,
                "nats",
                f"upper less lower bound on log p(x) of {n} items drawn from the model: how far annealing can be off",
            ),
        },
        {"annealed_acceptance": round(annealed.acceptance, 3)},
    )


def _gaps(setting: Setting) -> Figures:
    batch = setting.batch(GAPS)
    passes = math.ceil(setting.samples / max(1, ROWS // len(batch)))
    with setting.counter("optimising posteriors", STEPS + 2 * passes) as advance:
        found = gaps(setting.vae, batch, samples=setting.samples, steps=STEPS, progress=advance)
    how = f"{len(batch)} items, {STEPS} steps of Adam each"
    return Figures(
        {
            "inference_gap": mean_figure(found.inference, "nats", "log p(x) - ELBO: the sum of the next two"),
            "approximation_gap": mean_figure(
                found.approximation, "nats", f"log p(x) - ELBO of the best q of the family: what the family costs; {how}"
            ),
            "amortisation_gap": mean_figure(found.amortisation, "nats", "ELBO of the best q - ELBO: what it costs that one encoder serves all items"),
        },
        {},
    )


def _information(setting: Setting) -> Figures:
    found = information(
        setting.vae, hidden(setting.items, setting.schema), setting.schema, most=INFORMATION, seed=setting.seed, device=setting.device
    )
    most = f"at most log {found.items} = {math.log(found.items):.2f}"
    return Figures(
        {
            "mutual_information": Figure(found.mutual_information, "nats", found.standard_error, f"I_q(x; z) over {found.items} items, {most}"),
            "aggregate_kl": Figure(found.aggregate_kl, "nats", found.standard_error, "KL(q(z) || p(z)): what sampling from the prior misses"),
        },
        {},
    )


def _probes(setting: Setting) -> Figures:
    (train, labels), (test, test_labels) = (_known(items) for items in setting.halves(CODES))
    codes, test_codes = setting.codes(train), setting.codes(test)
    figures = {}
    for name, probe in (("linear_probe", linear_probe), ("nearest_neighbours", nearest_neighbours)):
        try:
            found = probe(codes, labels, test_codes, test_labels)
        except ValueError as error:
            raise DataError(str(error)) from error
        figures[name] = Figure(
            found.accuracy, "accuracy", found.standard_error, f"labels read off codes by {found.protocol}; chance {found.chance:.3f}"
        )
    return Figures(figures, {})


def _known(items: Items) -> tuple[Items, Tensor]:
    """The items that have a label, and their labels."""
    labels = torch.full((len(items),), -1) if items.labels is None else items.labels
    index = (labels >= 0).nonzero()[:, 0]
    return items[index], labels[index]


def _samples(setting: Setting) -> Figures:
    """What the model draws against held-out items, as their kind is compared."""
    return _rows(setting) if isinstance(setting.schema, TableSchema) else _drawn_pictures(setting)


def _rows(setting: Setting) -> Figures:
    """Drawn rows, as many as were learned from, against those and held-out ones: shapes, trends, what a learner gets from them, and what they and log p(x) give away."""
    schema = setting.schema
    assert isinstance(schema, TableSchema)
    learned, held_out = setting.halves(ROWS_COMPARED)
    batches = [setting.x(items) for items in (learned, held_out)]
    train, test = (comparable(schema, batch.x, batch.observed) for batch in batches)
    drawn = synthetic_rows(setting.vae, schema, len(learned), context=batches[0].context, seed=setting.seed, device=setting.device)
    few = [setting.x(items[:SCORED]).to(setting.device) for items in (learned, held_out)]
    torch.manual_seed(setting.seed)
    scores = [log_prob(setting.vae, batch, min(setting.samples, 100)).value.cpu() for batch in few]
    target = default_target(schema) if setting.target is None else setting.target
    return table_figures(train, test, drawn, kinds_of(schema), target=target, scores=(scores[0], scores[1]), seed=setting.seed)


def _drawn_pictures(setting: Setting) -> Figures:
    """Items that the model draws against held-out ones: as draws where x is black and white; as means of p(x | z), as ``vae sample`` shows them, where it is not."""
    learned, held_out = setting.halves(SAMPLED)
    real, features = setting.x(held_out), PIXELS
    known, labels = _known(learned)
    if len(known) >= LEAST:
        features = classifier_features(setting.x(known).x, labels, name=f"{len(known)} labelled items", seed=setting.seed)
    binary, generated = setting.schema.x_levels == 2, []
    with torch.inference_mode():
        context = None if real.context is None else real.context.to(setting.device)
        for start in range(0, len(real), 500):
            here = slice(start, start + 500)
            p = setting.vae.generate(len(real.x[here]), None if context is None else context[here])
            generated.append((p.sample() if binary else p.mean.clamp(0, 1)).cpu())
    scores = compare_samples(real.x, torch.cat(generated), features)
    pr, dc = scores.precision_recall, scores.density_coverage
    floor = "" if scores.frechet_floor is None else f"; {scores.frechet_floor:.3g} between the halves of the real items"
    return Figures(
        {
            "frechet": Figure(
                scores.frechet,
                "squared distance",
                meaning=f"Frechet distance of {scores.generated} samples to {scores.real} items in features{floor}",
            ),
            "precision": Figure(pr.precision, "share", meaning=f"samples that look real: as near to an item as its neighbour {pr.k}"),
            "recall": Figure(pr.recall, "share", meaning=f"items that samples do not forget: as near to a sample as its neighbour {pr.k}"),
            "density": Figure(
                dc.density, "ratio", meaning=f"neighbourhoods of items that a sample lies in, over {dc.k}: 1 where the distributions agree"
            ),
            "coverage": Figure(dc.coverage, "share", meaning=f"items with a sample nearby: {dc.expected_coverage:.3f} where the distributions agree"),
        },
        {"features": scores.features, "samples_are": "draws of p(x | z)" if binary else "means of p(x | z)"},
    )


def _disentanglement(setting: Setting) -> Figures:
    """Six scores; a factor that the labels repeat is taken for one whose values have no order."""
    items = setting.items[:CODES]
    assert items.factors is not None
    changing = [k for k in range(items.factors.shape[1]) if (items.factors[:, k] != items.factors[0, k]).any()]
    factors = items.factors[:, changing]
    try:
        found = disentanglement(setting.codes(items), factors, categorical=_categorical(factors, items.labels), seed=setting.seed)
    except ValueError as error:
        raise DataError(str(error)) from error
    known = items.factor_names or tuple(map(str, range(items.factors.shape[1])))
    names = ", ".join(known[k] for k in changing)
    chance = f"{found.chance:.2f} where codes know nothing"
    scores = {
        "mig": (found.mig, f"mutual information gap, mean over the factors {names}; {found.items} items"),
        "dci_disentanglement": (found.dci.disentanglement, f"each dimension about one factor, by {found.dci.predictor}"),
        "dci_completeness": (found.dci.completeness, "each factor in one dimension"),
        "dci_informativeness": (found.dci.informativeness, "factors foretold by codes"),
        "sap": (found.sap, "separated attribute predictability"),
        "modularity": (found.modularity, "each dimension about one factor, by mutual information"),
        "factor_vae_score": (found.factor_vae, f"FactorVAE's vote; {chance}"),
        "beta_vae_score": (found.beta_vae, f"beta-VAE's vote; {chance}"),
    }
    return Figures({name: Figure(value, "score", meaning=meaning) for name, (value, meaning) in scores.items()}, {})


def _categorical(factors: Tensor, labels: Tensor | None) -> Collection[int]:
    """The factors that say what the labels say: as many pairs of values as values of either."""
    if labels is None:
        return ()

    def repeats(column: Tensor) -> bool:
        pairs = len(torch.stack([column, labels], 1).unique(dim=0))
        return pairs == len(column.unique()) == len(labels.unique())

    return tuple(k for k in range(factors.shape[1]) if repeats(factors[:, k]))


def _flat(setting: Setting) -> str:
    """Why not, for what asks for the density of one latent vector."""
    if not isinstance(setting.vae.latents, FlatLatents):
        return f"it is written for one latent vector, not for {type(setting.vae.latents).__name__}: train one with --set latents.kind=flat"
    with torch.inference_mode():
        q = setting.vae.latents.infer(setting.vae, setting.batch(1), 1)[0].q
    return "a plain autoencoder has no density: train a VAE recipe" if isinstance(q, PointMass) else ""


def _of_all_space(setting: Setting) -> str:
    if setting.vae.prior.space != "flat":
        return f"chains move on all of R^D, and {type(setting.vae.prior).__name__} does not live there: train with --set prior.kind=standard-normal"
    return _flat(setting)


def _several_samples(setting: Setting) -> str:
    return "--samples 1 gives no standard error: at least 2 are needed" if setting.samples < 2 else _flat(setting)


def _labelled(setting: Setting) -> str:
    labels = setting.items.labels
    known = 0 if labels is None else int((labels >= 0).sum())
    return (
        ""
        if known >= LEAST
        else f"it needs labels, and {known} of {len(setting.items)} items have one: sort pictures into folders named after classes"
    )


def _many(setting: Setting) -> str:
    return "" if len(setting.items) >= 2 * LEAST else f"{len(setting.items)} items are too few: give {2 * LEAST} or more"


def _comparable(setting: Setting) -> str:
    schema = setting.schema
    if schema.kind not in {"image", "table"}:
        return f"it compares pictures or rows, and the items are {schema.kind}"
    if isinstance(schema, TableSchema) and setting.target not in {None, *(column.name for column in schema.modelled)}:
        return f"--target {setting.target!r} is no column that is modelled: choose one of {', '.join(column.name for column in schema.modelled[:30])}"
    return _many(setting)


def _with_factors(setting: Setting) -> str:
    if setting.items.factors is None:
        return "it needs items whose factors of variation are known: use sprites, or an .npz with factors (N, F) beside x"
    return _many(setting)


STUDIES: dict[str, Study] = {
    "information": Study(_information, _flat),
    "probes": Study(_probes, _labelled),
    "sample-quality": Study(_samples, _comparable),
    "disentanglement": Study(_disentanglement, _with_factors),
    "gaps": Study(_gaps, _several_samples),
    "annealed": Study(_annealed, _of_all_space),
}
"""By name, the quick ones first."""
