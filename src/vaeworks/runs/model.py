"""Model: what users hold. A VAE with the schema of its data; it speaks pictures, the VAE speaks tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaeworks.data import Items, Options, Source, read_items
from vaeworks.errors import ArtifactError, DataError, VaeworksError
from vaeworks.evaluation import Figures, LogProb, evaluate, log_prob, posterior_means
from vaeworks.export import load_artifact, save_artifact
from vaeworks.model import VAE, Schema
from vaeworks.recipes import Recipe, build_vae, parse_recipe

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Model", "load"]


class Model:
    """A trained model: ``sample, reconstruct, encode, decode, interpolate, log_prob``.

    Wherever items are asked for, anything that ``vae train`` reads will do: a path, a built-in name, an array, a list of PIL images.
    Everything but ``sample`` is deterministic by default; ``sample`` is, given its seed.
    """

    def __init__(self, vae: VAE, schema: Schema, recipe: Recipe, *, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.vae, self.schema, self.recipe = vae.to(self.device).eval(), schema, recipe

    def items(self, source: Source | Items, options: Options | None = None) -> Items:
        """``source`` read in the form this model knows; DataError where it cannot be."""
        return source if isinstance(source, Items) else read_items(source, self.schema, options=options)

    def images(self, x: Tensor) -> list[Image]:
        """x (N, *shape) as PIL images."""
        return self.schema.to_images(x)

    @torch.inference_mode()
    def sample(
        self, n: int = 16, *, temperature: float = 1.0, seed: int | None = None, noise: bool = False, given: Mapping[str, str | int] | None = None
    ) -> Tensor:
        """n items drawn from the model, x (N, *shape) in [0, 1].

        z ~ p(z), its spread scaled by ``temperature``; x is the mean of p(x | z), or a draw from it with ``noise``. ``given``, such as {"label": "7"}, is what a conditional
        model draws for; without it the classes take turns.
        """
        if n < 1:
            raise VaeworksError(f"cannot draw {n} samples: ask for one or more")
        if temperature < 0:
            raise VaeworksError(f"temperature {temperature} is negative: 0 gives the prior's mean, 1 the prior itself")
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            context = self.context(n, given)
            z = self.vae.latents.generate(self.vae.prior, n, context, temperature)
            return self._decode(z, context, noise)

    def context(self, n: int, given: Mapping[str, str | int] | None = None) -> Tensor | None:
        """The context (n, C) that ``given`` names, each class in turn where it names none; None for an unconditional model. VaeworksError where it does not fit."""
        classes, given = self.schema.classes, dict(given or {})
        label = given.pop("label", None) if self.schema.context == "label" else None
        if given:
            able = "label=..." if self.schema.context == "label" else "nothing: train with --set context=label to choose labels"
            raise VaeworksError(f"cannot draw for {', '.join(f'{k}={v}' for k, v in given.items())}: this model can be given {able}")
        if label is not None and str(label) not in classes:
            raise VaeworksError(f"label={label} is no class of this model: choose one of {', '.join(classes)}")
        labels = torch.arange(n) % max(1, len(classes)) if label is None else torch.full((n,), classes.index(str(label)))
        context = self.schema.to_context(labels)
        return None if context is None else context.to(self.device)

    def encode(self, source: Source | Items) -> Tensor:
        """The posterior mean of every item, (N, D)."""
        return posterior_means(self.vae, self.items(source), self.schema, device=self.device)

    @torch.inference_mode()
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The mean of p(x | z) at codes (N, D): x (N, *shape) in [0, 1]; a conditional model also needs the ``context`` (N, C) of each."""
        size = self.vae.latents.code_size
        if z.dim() != 2 or z.shape[1] != size:
            raise DataError(f"codes of shape {tuple(z.shape)} do not fit this model: it takes (N, {size})")
        if not z.isfinite().all():
            raise DataError("the codes hold NaN or infinity: every coordinate must be a finite number")
        if self.schema.context != "none" and context is None:
            raise VaeworksError("this model is conditional: give each code its context, for example model.context(len(z), {'label': ...})")
        return self._decode(z.to(self.device, torch.float32), None if context is None else context.to(self.device), False)

    def reconstruct(self, source: Source | Items) -> Tensor:
        """The mean of p(x | z) at each item's posterior mean, (N, *shape)."""
        items = self.items(source)
        return self.decode(self.encode(items), self.schema.to_context(items.labels))

    @torch.inference_mode()
    def interpolate(self, a: Source | Items, b: Source | Items, n: int = 8) -> Tensor:
        """n items from the first of ``a`` to the first of ``b``, equal steps along the straight line between their codes: (n, *shape)."""
        if n < 2:
            raise VaeworksError(f"a path of {n} items has no two ends: ask for 2 or more")
        ends = [self.items(source)[:1] for source in (a, b)]
        codes, contexts = [self.encode(end) for end in ends], [self.schema.to_context(end.labels) for end in ends]
        share = torch.linspace(0, 1, n).unsqueeze(1)
        context = None if contexts[0] is None or contexts[1] is None else torch.lerp(contexts[0], contexts[1], share)
        return self.decode(torch.lerp(codes[0], codes[1], share), context)

    def log_prob(self, source: Source | Items, samples: int = 1000, *, seed: int = 0, progress: Callable[[int], None] | None = None) -> LogProb:
        """log p(x) of every item in nats, by importance sampling, with its standard error; VaeworksError for a plain autoencoder, which has none."""
        if self.recipe["posterior"]["kind"] == "point":
            raise VaeworksError("a plain autoencoder gives no log p(x): its posterior is a point without density; train a VAE recipe for scores")
        items = self.items(source)
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            batches = (batch.to(self.device) for batch in items.batches(self.schema, 500, generator))
            return log_prob(self.vae, batches, samples, progress=progress)

    def evaluate(self, source: Source | Items, samples: int = 1000, *, seed: int = 0, progress: Callable[[int], None] | None = None) -> Figures:
        """ELBO, log p(x), bits per dimension, KL and active units on ``source``, with their protocol."""
        with torch.random.fork_rng(devices=[]):
            return evaluate(self.vae, self.items(source), self.schema, samples=samples, seed=seed, device=self.device, progress=progress)

    def save(self, folder: str | Path) -> Path:
        """Write model.safetensors, schema.json and recipe.toml into ``folder``, each atomically."""
        return save_artifact(Path(folder), self.vae.state_dict(), self.schema, self.recipe.to_toml())

    def _decode(self, z: Tensor, context: Tensor | None, noise: bool) -> Tensor:
        parts = []
        for start in range(0, len(z), 500):
            here = slice(start, start + 500)
            p = self.vae.decoder(z[here]) if context is None else self.vae.decoder(z[here], context[here])
            parts.append((p.sample() if noise else p.mean).clamp(0, 1).cpu())
        return torch.cat(parts)


def load(folder: str | Path, *, device: torch.device | str = "cpu") -> Model:
    """The model in a run folder, or one that ``Model.save`` wrote. Reads tensors, JSON and TOML only: no code runs. ArtifactError where it is damaged."""
    state, schema, toml = load_artifact(Path(folder))
    recipe = parse_recipe(toml, str(Path(folder) / "recipe.toml"))
    vae = build_vae(recipe, schema)
    try:
        vae.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(
            f"{folder}: the weights do not fit the recipe beside them ({str(error).splitlines()[0]}); one of the files was replaced"
        ) from error
    return Model(vae, schema, recipe, device=device)
