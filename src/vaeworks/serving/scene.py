"""The scene that the explorer shows: the codes of items, the planes that they are seen in, and what colours them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.evaluation.figures import hidden
from vaeworks.latents import LabelledLatents
from vaeworks.model import AudioSchema, TableSchema, TextSchema
from vaeworks.objectives import kl_per_dimension
from vaeworks.runs import Model

__all__ = ["NEIGHBOURLY", "Channel", "Dimension", "Method", "Scene", "drawn"]

Floats = NDArray[np.float32]
Method = Literal["pca", "tsne"]

NEIGHBOURLY = 2000
"""Items that t-SNE is given at most: it takes a few seconds of one core for these, and minutes for ten times as many."""
SCORED_SECONDS = 20.0
"""How long log p(x) is computed for the colours of a map."""
_SAMPLES, _PART, _DRAWS = 50, 100, 8
_MEASURED = 1000
"""Items that the KL of each dimension is measured on."""
_COLUMNS = 40


@dataclass(frozen=True)
class Dimension:
    """One coordinate of the code, as a slider shows it."""

    index: int
    nats: float | None
    """What it tells of items, the mean over them: see ``measure``. None for a plain autoencoder."""
    low: float
    high: float
    """What nearly all codes lie between: 0.1 % and 99.9 % of the aggregated posterior, and a tenth more."""
    mean: float
    spread: float
    """Standard deviation of the posterior means."""


@dataclass(frozen=True)
class Channel:
    """Something that items can be coloured by."""

    name: str
    kind: Literal["class", "number"]
    values: Floats
    """(N,) numbers, or numbers of ``classes``; NaN where unknown."""
    classes: tuple[str, ...] = ()
    unit: str = ""


@dataclass
class Scene:
    """Items of a model as the explorer shows them; what takes long is computed once, when it is first asked for."""

    model: Model
    items: Items
    codes: Floats
    """(N, D) posterior means."""
    dimensions: tuple[Dimension, ...]
    """In order of their KL, the largest first."""
    centre: Floats
    axes: Floats
    """The plane of the two principal components: centre (D,) and axes (2, D), orthonormal; of two-dimensional codes the plane itself."""
    explained: tuple[float, float]
    """The share of the codes' variance along each axis."""
    channels: tuple[Channel, ...]
    measure: Literal["kl", "information", "spread"]
    """What dimensions are in order of: KL(q(z_i | x) || p(z_i)); where q or p does not factorise, the information of x and z_i as if both were normal,
    log(Var z_i / E Var(z_i | x)) / 2; of a plain autoencoder the spread of codes."""
    _planes: dict[str, Floats] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        n = len(self.codes)
        self.log_px: Floats = np.full(n, np.nan, dtype=np.float32)
        """log p(x) in nats (N,) as far as it is known."""
        self._unscored = torch.randperm(n, generator=torch.Generator().manual_seed(0))

    @classmethod
    def of(cls, model: Model, items: Items, *, seed: int = 0) -> Scene:
        """The scene of ``items`` under ``model``; VaeworksError where there are none."""
        if not len(items):
            raise VaeworksError("there are no items to explore: give data with at least one")
        codes = model.encode(items).float().cpu().numpy()
        measure, nats = _told(model, items[:_MEASURED], codes.shape[1], seed)
        low, high = np.quantile(codes, [0.001, 0.999], axis=0)
        margin = 0.1 * (high - low) + 1e-3
        order = np.argsort(-(codes.std(0) if nats is None else nats), kind="stable")
        dimensions = tuple(
            Dimension(
                int(i),
                None if nats is None else float(nats[i]),
                float(low[i] - margin[i]),
                float(high[i] + margin[i]),
                float(codes[:, i].mean()),
                float(codes[:, i].std()),
            )
            for i in order
        )
        centre, axes, explained = _principal(codes)
        return cls(model, items, codes, dimensions, centre, axes, explained, tuple(_channels(model, items)), measure)

    @property
    def size(self) -> int:
        """D."""
        return int(self.codes.shape[1])

    @property
    def methods(self) -> tuple[Method, ...]:
        """How the codes can be seen in a plane."""
        return ("pca",) if self.size <= 2 or len(self.codes) < 10 else ("pca", "tsne")

    def plane(self, method: Method) -> Floats:
        """Where each item lies in the plane, (N, 2): NaN where it is left out."""
        with self._lock:
            if method not in self._planes:
                self._planes[method] = self._tsne() if method == "tsne" else np.asarray((self.codes - self.centre) @ self.axes.T, dtype=np.float32)
            return self._planes[method]

    def score(self, seconds: float = SCORED_SECONDS) -> Floats:
        """log p(x) in nats of as many items, in mixed order, as ``seconds`` allow, (N,): NaN of others."""
        end = time.monotonic() + seconds
        while self.score_some() and time.monotonic() < end:
            pass
        return self.log_px

    def score_some(self) -> bool:
        """log p(x) of the next hundred items; False where there are no more. VaeworksError for a plain autoencoder."""
        part, self._unscored = self._unscored[:_PART], self._unscored[_PART:]
        if len(part):
            part = part.sort().values
            self.log_px[part.numpy()] = self.model.log_prob(self.items[part], _SAMPLES).value.float().cpu().numpy()
        return bool(len(self._unscored))

    def facts(self) -> dict[str, Any]:
        """What the page needs to know before anything else, JSON-ready."""
        latents = self.model.vae.latents
        return {
            "count": len(self.codes),
            "dimensions": [vars(d) for d in self.dimensions],
            "measure": self.measure,
            "centre": self.centre.tolist(),
            "axes": self.axes.tolist(),
            "explained": self.explained,
            "methods": self.methods,
            "exact": self.size <= 2,
            "classes_in_code": latents.classes if isinstance(latents, LabelledLatents) else 0,
            "levels": self._levels(),
            "channels": [{"name": c.name, "kind": c.kind, "classes": c.classes, "unit": c.unit} for c in self.channels],
            "log_px": not self.model.point,
            "log_px_samples": _SAMPLES,
            "column_means": dict(zip(self.model.schema.columns, self.model.schema.column_means, strict=True)),
        }

    def _levels(self) -> list[str]:
        """A name for each coordinate of the code."""
        latents = self.model.vae.latents
        lower = getattr(latents, "lower_size", 0)
        if lower:
            return [f"z2.{i}" for i in range(self.size - lower)] + [f"z1.{i}" for i in range(lower)]
        if isinstance(latents, LabelledLatents):
            return [f"y.{name}" for name in self.model.schema.classes] + [f"z{i}" for i in range(self.size - latents.classes)]
        return [f"z{i}" for i in range(self.size)]

    def _tsne(self) -> Floats:
        """t-SNE of at most ``NEIGHBOURLY`` items (van der Maaten & Hinton 2008), scaled to the codes' units."""
        from sklearn.manifold import TSNE

        n = len(self.codes)
        chosen = np.sort(np.random.default_rng(0).permutation(n)[:NEIGHBOURLY])
        found = TSNE(perplexity=min(30.0, max(2.0, (len(chosen) - 1) / 3)), init="pca", random_state=0, n_jobs=1).fit_transform(self.codes[chosen])
        plane = np.full((n, 2), np.nan, dtype=np.float32)
        plane[chosen] = (found - found.mean(0)) / max(float(found.std()), 1e-9) * 2
        return plane


def drawn(n: int, most: int) -> torch.Tensor:
    """``most`` of n numbers at random, in order."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].sort().values


def _principal(codes: Floats) -> tuple[Floats, Floats, tuple[float, float]]:
    """Centre (D,), two orthonormal axes (2, D) and the share of the variance along each; of codes with D <= 2 the coordinates themselves."""
    size = codes.shape[1]
    variance = codes.var(0).astype(np.float64)
    total = max(float(variance.sum()), 1e-300)
    if size <= 2:
        axes = np.eye(2, size, dtype=np.float32)  # of one dimension the second axis is zero
        shares = [*(variance / total).tolist(), 0.0][:2]
        return np.zeros(size, np.float32), axes, (shares[0], shares[1])
    centre = codes.mean(0)
    centred = (codes - centre).astype(np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(codes))
    axes = vectors[:, ::-1][:, :2].T
    axes *= np.sign(axes[np.arange(2), np.abs(axes).argmax(1)])[:, None]  # the decomposition leaves the signs open
    return centre, np.ascontiguousarray(axes, dtype=np.float32), (float(values[-1] / total), float(values[-2] / total))


@torch.inference_mode()
def _told(model: Model, items: Items, size: int, seed: int) -> tuple[Literal["kl", "information", "spread"], NDArray[np.float64] | None]:
    """What each coordinate of the code tells of items, (D,), and how it is measured: see ``Scene.measure``."""
    if model.point:
        return "spread", None
    latents = model.vae.latents
    kl: list[torch.Tensor] = []
    within, squares, means = [], [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch in hidden(items, model.schema).batches(model.schema, 250, torch.Generator().manual_seed(seed)):
            drawn = latents.infer(model.vae, batch.to(model.device), _DRAWS)
            z = latents.code(drawn).double()
            within.append(z.var(0).sum(0))
            squares.append(z.square().mean(0).sum(0))
            means.append(z.mean(0).sum(0))
            try:
                levels = [kl_per_dimension(level).flatten(0, -2).double().mean(0) * len(batch) for level in drawn]
            except NotImplementedError:
                levels = []
            if isinstance(latents, LabelledLatents) and levels:  # the label is one coordinate, written as many
                levels[0] = levels[0].expand(latents.classes) / latents.classes
            kl.append(torch.cat([torch.zeros(0, dtype=torch.float64), *(level.cpu() for level in levels)]))
    n = len(items)
    if all(len(part) == size for part in kl):
        return "kl", torch.stack(kl).sum(0).div(n).numpy()
    noise, second, mean = (torch.stack(parts).sum(0).cpu() / n for parts in (within, squares, means))
    return "information", (0.5 * torch.log((second - mean.square()).clamp_min(1e-12) / noise.clamp_min(1e-12))).clamp_min(0).numpy()


def _channels(model: Model, items: Items) -> list[Channel]:
    """What items can be coloured by, beside log p(x)."""
    schema, found = model.schema, []
    if items.labels is not None and bool((items.labels >= 0).any()):
        labels = items.labels.float()
        found.append(Channel("label", "class", labels.where(labels >= 0, torch.nan).numpy().astype(np.float32), schema.classes))
    if isinstance(schema, TableSchema):
        raw = schema.raw(schema.to_x(items.values)).astype(np.float64)
        if items.observed is not None:
            raw = np.where(items.observed.numpy(), raw, np.nan)
        for j, column in enumerate(schema.modelled[:_COLUMNS]):
            kind: Literal["class", "number"] = "class" if column.categories else "number"
            found.append(Channel(column.name, kind, raw[:, j].astype(np.float32), column.categories))
    elif items.lengths is not None:
        seconds = isinstance(schema, AudioSchema)
        lengths = items.lengths.float() / schema.rate if isinstance(schema, AudioSchema) else items.lengths.float() - 1
        unit = "s" if seconds else schema.unit if isinstance(schema, TextSchema) else ""
        found.append(Channel("length", "number", lengths.numpy().astype(np.float32), unit=unit))
    return found
