"""Backgrounds: what items cost to tell without knowing what they show, so that a model's surprise at an item can be told from the item's complexity."""

from __future__ import annotations

import copy
import io
import math
import zlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import ArtifactError
from vaeworks.evaluation.streams import item_batches
from vaeworks.model import VAE, AudioSchema, ImageSchema, Schema, TextSchema

__all__ = ["Background", "Compressor", "Frequencies", "Independent", "fit_background", "restore_background"]

STEPS = 300
"""Steps of Adam that fit an ``Independent``."""
NUMBERS = 500_000
"""Coordinates in one of them."""


class Background(ABC):
    """A model of items that knows nothing of how their coordinates belong together. What it learned is a few tensors, its ``state``."""

    kind: ClassVar[str]
    meaning: ClassVar[str]
    """What it is, for people."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Tensors by name."""

    @abstractmethod
    def log_prob(self, items: Items, schema: Schema, seed: int) -> Tensor:
        """log p(x) of every item in nats, (N,) float64 on the CPU; dynamic binarisation as scores with ``seed`` see it."""


class Compressor(Background):
    """-log 2 times the bits of each item in a lossless code: the shorter of PNG and zlib for pictures, FLAC for sounds (Serra et al. 2020, arXiv:1909.11480)."""

    kind = "compressor"
    meaning = "-log 2 times the bits of a lossless compressor (PNG or zlib, FLAC)"

    def state(self) -> dict[str, Tensor]:
        return {}

    def log_prob(self, items: Items, schema: Schema, seed: int) -> Tensor:
        if isinstance(schema, AudioSchema):
            lengths = [items.values.shape[-1]] * len(items) if items.lengths is None else items.lengths.tolist()
            sizes = [_flac_bytes(wave[0, :n], schema.rate) for wave, n in zip(items.values.cpu().numpy(), lengths, strict=True)]
        else:
            sizes = [_picture_bytes(x) for batch in item_batches(items, schema, 500, seed) for x in _levels(batch.x, batch.observed, schema.x_levels)]
        return torch.tensor(sizes, dtype=torch.float64) * (-8 * math.log(2))


class Frequencies(Background):
    """Tokens independent of each other, each as frequent as among the training items, half a token added to every count (Krichevsky & Trofimov 1981)."""

    kind = "frequencies"
    meaning = "tokens drawn independently, as frequent as in the training items"

    def __init__(self, log_probs: Tensor):
        self.log_probs = log_probs

    @classmethod
    def fit(cls, train: Items, schema: TextSchema) -> Self:
        """Counted among the tokens of ``train``, END being one."""
        counts = torch.bincount(train.values[_own(train)].long().cpu(), minlength=schema.vocabulary).double() + 0.5
        return cls((counts / counts.sum()).log())

    def state(self) -> dict[str, Tensor]:
        return {"log_probs": self.log_probs}

    def log_prob(self, items: Items, schema: Schema, seed: int) -> Tensor:
        return self.log_probs[items.values.long().cpu()].masked_fill(~_own(items).cpu(), 0).sum(-1)


class Independent(Background):
    """The model's own likelihood at one and the same features for all items, which are fitted to the training items: coordinates independent of each other, measured as the model's are."""

    kind = "independent"
    meaning = "the model's likelihood without z: every coordinate drawn independently, as in the training items"

    def __init__(self, likelihood: torch.nn.Module, features: Tensor):
        self.likelihood, self.features = likelihood, features

    @classmethod
    def fit(cls, vae: VAE, train: Items, schema: Schema, seed: int) -> Self:
        """Adam from features of zero, the scales that the likelihood shares among items learned with them."""
        likelihood: Any = _likelihood_of(vae).train()
        generator = torch.Generator().manual_seed(seed)
        size = max(16, min(1000, len(train), NUMBERS // schema.dimensions))
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            features = torch.zeros(likelihood.parameter_shape, requires_grad=True)
            fitted = [features, *likelihood.requires_grad_(True).parameters()]
            optimizer = torch.optim.Adam(fitted, lr=0.1)
            for step in range(STEPS):
                optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / STEPS))
                batch = train.batch(schema, torch.randint(len(train), (size,), generator=generator), generator).to("cpu")
                p = likelihood(features.expand(len(batch), *features.shape))
                loss = -(p if batch.observed is None else p.marginal(batch.observed)).log_prob(batch.x).mean() / schema.dimensions
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return cls(likelihood.eval().requires_grad_(False), features.detach())

    @classmethod
    def restore(cls, state: dict[str, Tensor], vae: VAE) -> Self:
        """The one whose ``state`` was stored beside ``vae``."""
        likelihood = _likelihood_of(vae).eval().requires_grad_(False)
        likelihood.load_state_dict({name.removeprefix("likelihood."): t for name, t in state.items() if name != "features"})
        return cls(likelihood, state["features"])

    def state(self) -> dict[str, Tensor]:
        return {"features": self.features} | {f"likelihood.{name}": t for name, t in self.likelihood.state_dict().items()}

    @torch.no_grad()
    def log_prob(self, items: Items, schema: Schema, seed: int) -> Tensor:
        parts = []
        for batch in item_batches(items, schema, 500, seed):
            p = self.likelihood(self.features.expand(len(batch), *self.features.shape))
            parts.append((p if batch.observed is None else p.marginal(batch.observed.cpu())).log_prob(batch.x.cpu()).double())
        return torch.cat(parts)


def fit_background(vae: VAE, train: Items | None, schema: Schema, *, seed: int = 0) -> Background | None:
    """The background that suits the kind of data, fitted to the items that ``vae`` learned from; None where they are needed and not known.

    Pictures and sounds are compressed, tokens have frequencies; of anything else the coordinates are independent under the model's own likelihood.
    """
    if isinstance(schema, ImageSchema | AudioSchema):
        return Compressor()
    if train is None or not len(train):
        return None
    return Frequencies.fit(train, schema) if isinstance(schema, TextSchema) else Independent.fit(vae, train, schema, seed)


def restore_background(kind: str, state: dict[str, Tensor], vae: VAE) -> Background:
    """The background of a kind from its stored state; ArtifactError where it cannot be."""
    try:
        if kind == Compressor.kind:
            return Compressor()
        if kind == Frequencies.kind:
            return Frequencies(state["log_probs"])
        if kind == Independent.kind:
            return Independent.restore(state, vae)
    except (KeyError, RuntimeError) as error:
        raise ArtifactError(f"the stored background model ({kind}) cannot be read: {error}; train again, or remove the file") from error
    raise ArtifactError(f"a background model {kind!r} is none that this version knows: it was written by a newer one")


def _likelihood_of(vae: VAE) -> torch.nn.Module:
    """A copy of the decoder's likelihood, on the CPU."""
    decoder: Any = vae.decoder
    with torch.inference_mode(False):
        copied: torch.nn.Module = copy.deepcopy(decoder.likelihood).cpu()
    return copied


def _own(items: Items) -> Tensor:
    """(N, L) bool, which stored values are an item's own and observed."""
    place = torch.arange(items.values.shape[-1], device=items.values.device)
    lengths = torch.full((len(items),), len(place), device=place.device) if items.lengths is None else items.lengths.to(place.device)
    own = place < lengths[:, None]
    return own if items.observed is None else own & items.observed.to(place.device)


def _levels(x: Tensor, observed: Tensor | None, levels: int) -> NDArray[np.uint8]:
    """x (B, C, H, W) in [0, 1] as bytes: its own levels, or 256 where it is real; 0 where nothing is observed."""
    x = x if observed is None else x.masked_fill(~observed, 0)
    top = 255 if levels in {0, 2} else min(levels, 256) - 1  # black and white as such, for PNG to take one bit each
    found: NDArray[np.uint8] = (x.clamp(0, 1) * top).round().to(torch.uint8).cpu().numpy()
    return found


def _picture_bytes(pixels: NDArray[np.uint8]) -> int:
    """Length of the shortest code of (C, H, W) bytes."""
    from PIL import Image

    sizes = [len(zlib.compress(pixels.tobytes(), 9))]
    if pixels.shape[0] in {1, 3, 4}:
        image = Image.fromarray(pixels[0] if pixels.shape[0] == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        if set(np.unique(pixels)) <= {0, 255} and pixels.shape[0] == 1:
            image = image.convert("1", dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", compress_level=9)
        sizes.append(buffer.tell())
    return min(sizes)


def _flac_bytes(wave: NDArray[np.int16], rate: int) -> int:
    """Length of (T,) int16 samples as FLAC; of zlib where that is shorter."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format="FLAC", subtype="PCM_16")
    return min(buffer.tell(), len(zlib.compress(wave.tobytes(), 9)))
