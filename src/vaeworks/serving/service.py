"""Service: what the model can do, for many who ask at the same time. Each verb is one job, or a few, of the thread that has the model."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation import item_batches
from vaeworks.evaluation.figures import hidden
from vaeworks.serving.batching import Batcher
from vaeworks.serving.faults import Refusal
from vaeworks.serving.metrics import Metrics
from vaeworks.serving.settings import Settings
from vaeworks.serving.wire import bearable, check_servable

if TYPE_CHECKING:
    from vaeworks.runs import Imputation, Model, Scores
    from vaeworks.runs.filling import Missing

__all__ = ["Service", "joined"]

T = TypeVar("T")
_TALKERS = 4
"""Threads that read and write items."""


class Service:
    """A model that many use at once. Its verbs speak Items and tensors; ``aside`` is for what reads and writes them."""

    def __init__(self, model: Model, settings: Settings, metrics: Metrics):
        check_servable(model.schema)
        self.model, self.settings, self.metrics = model, settings, metrics
        self.batcher = Batcher(settings.batch, metrics)
        self._talkers = ThreadPoolExecutor(_TALKERS, "wire")
        self.ready = False

    async def start(self) -> None:
        """Begin to answer."""
        self.batcher.start()
        self.ready = True

    async def stop(self) -> None:
        """End; what was accepted has been answered by then."""
        self.ready = False
        await self.batcher.stop()
        self._talkers.shutdown(wait=True)

    async def aside(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """``function`` in a thread beside the model's: reading and writing of items."""
        return await asyncio.get_running_loop().run_in_executor(self._talkers, lambda: function(*arguments, **named))

    async def alone(self, kind: str, function: Callable[[Callable[[], None]], T], size: int = 1) -> T:
        """``function`` in the model's thread, shared with nobody: of what is drawn from torch's global generator. It is given a check that ends it where nobody waits."""
        result: T = await self.batcher.do((kind, object()), lambda _, check: [function(check)], None, size)
        return result

    async def encode(self, items: Items) -> Tensor:
        """The posterior means (N, D)."""
        codes: Tensor = await self.batcher.do("encode", self._encode, items, len(items))
        if not bool(codes.isfinite().all()):
            raise Refusal(422, "the code of an item is not finite: it is too far from all that training had", "items")
        return codes

    async def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """x (N, *shape) at codes (N, D)."""
        size = self.model.vae.latents.code_size
        if z.shape[1] != size:
            raise Refusal(422, f"codes of this model have {size} numbers, and these have {z.shape[1]}", "codes")
        x: Tensor = await self.batcher.do(("decode", context is None), self._decode, (z, context), len(z))
        return x

    async def reconstruct(self, items: Items) -> Tensor:
        """x (N, *shape) at the items' posterior means."""
        return await self.decode(await self.encode(items), items.conditions(self.model.schema))

    async def interpolate(self, ends: Items, n: int) -> Tensor:
        """x (n, *shape) on the straight line from the first of two items to the second."""
        codes, contexts = await self.encode(ends), ends.conditions(self.model.schema)
        share = torch.linspace(0, 1, n).unsqueeze(1)
        return await self.decode(torch.lerp(codes[0], codes[1], share), None if contexts is None else torch.lerp(contexts[0], contexts[1], share))

    async def sample(
        self, n: int, *, seed: int | None = None, temperature: float = 1.0, given: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, int]:
        """n items drawn from the model, x (n, *shape), and the seed that gives them again.

        Codes are drawn by the seed; where items are means at these, requests share the decoder, and where they are drawn as well each is a call of its own.
        """
        seed = secrets.randbits(53) if seed is None else seed
        model = self.model
        if model.schema.drawn:
            return await self.alone("sample", lambda _: model.sample(n, temperature=temperature, seed=seed, given=given), n), seed
        context = bearable(model.context(n, given))
        z: Tensor = await self.batcher.do("draw", self._draw, (n, seed, context, temperature), n)
        return await self.decode(z, context), seed

    async def score(self, items: Items, samples: int | None = None) -> Scores:
        """How probable, and how strange, each item is."""
        result: Scores = await self.batcher.do(("score", samples), self._score(samples), items, len(items))
        return result

    async def impute(self, missing: Sequence[Missing], *, draws: int, samples: int, seed: int) -> list[Imputation]:
        """Each item filled in by itself, so that its draws depend on it and the seed alone."""
        from vaeworks.runs.filling import impute

        def fill(check: Callable[[], None]) -> list[Imputation]:
            found = []
            for one in missing:
                check()
                found.append(impute(self.model, one, draws=draws, samples=samples, seed=seed, progress=lambda _: check()))
            return found

        return await self.alone("impute", fill, len(missing))

    @torch.inference_mode()
    def _encode(self, parts: Sequence[Items], check: Callable[[], None]) -> Sequence[Tensor]:
        """Pixels that are drawn anew come from a stream of each item's own, so that codes do not depend on what else is encoded."""
        model, items = self.model, joined(parts)
        batches = (batch.to(model.device) for batch in item_batches(hidden(items, model.schema), model.schema, 500, 0))
        codes = torch.cat([model.vae.latents.means(model.vae, batch).cpu() for batch in batches])
        return list(codes.split([len(part) for part in parts]))

    def _decode(self, parts: Sequence[tuple[Tensor, Tensor | None]], check: Callable[[], None]) -> Sequence[Tensor]:
        contexts = [context for _, context in parts if context is not None]
        x = self.model.decode(torch.cat([z for z, _ in parts]), torch.cat(contexts) if contexts else None)
        return list(x.split([len(z) for z, _ in parts]))

    @torch.inference_mode()
    def _draw(self, parts: Sequence[tuple[int, int, Tensor | None, float]], check: Callable[[], None]) -> Sequence[Tensor]:
        vae = self.model.vae
        drawn = []
        with torch.random.fork_rng(devices=[]):
            for n, seed, context, temperature in parts:
                torch.manual_seed(seed)
                drawn.append(vae.latents.generate(vae.prior, n, context, temperature).cpu())
        return drawn

    def _score(self, samples: int | None) -> Callable[[Sequence[Items], Callable[[], None]], Sequence[Scores]]:
        def call(parts: Sequence[Items], check: Callable[[], None]) -> Sequence[Scores]:
            whole = self.model.score(joined(parts), samples=samples, progress=lambda _: check())
            ends = torch.tensor([len(part) for part in parts]).cumsum(0).tolist()
            return [_part(whole, slice(end - len(part), end)) for part, end in zip(parts, ends, strict=True)]

        return call


def joined(parts: Sequence[Items]) -> Items:
    """Items of several requests, one after the other; where only some tell labels, or what is observed, the others' are unknown, or all there."""
    if len(parts) == 1:
        return parts[0]

    def all_of(name: str, otherwise: Callable[[Items], Tensor]) -> Tensor | None:
        held = [getattr(part, name) for part in parts]
        if all(tensor is None for tensor in held):
            return None
        return torch.cat([otherwise(part) if tensor is None else tensor for part, tensor in zip(parts, held, strict=True)])

    def absent(_: Items) -> Tensor:
        raise AssertionError("items of one model all have a length and a context, or none has")

    return Items(
        torch.cat([part.values for part in parts]),
        labels=all_of("labels", lambda part: torch.full((len(part),), -1)),
        observed=all_of("observed", lambda part: torch.ones_like(part.values, dtype=torch.bool)),
        context=all_of("context", absent),
        lengths=all_of("lengths", absent),
    )


def _part(scores: Scores, here: slice) -> Scores:
    """The scores of some items."""
    found = scores.log_prob
    names = ("value", "standard_error", "effective_sample_size", "elbo", "log_likelihood")
    return replace(
        scores,
        log_prob=replace(found, **{name: getattr(found, name)[here] for name in names}),
        values=scores.values[here],
        p_values=None if scores.p_values is None else scores.p_values[here],
    )
