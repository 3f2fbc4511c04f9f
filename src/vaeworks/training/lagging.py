"""An encoder that lags behind its decoder: steps of its own, while that helps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from vaeworks.objectives.iwae import log_mean_exp
from vaeworks.trace import Latent

if TYPE_CHECKING:
    from vaeworks.training.loop import Loop

__all__ = ["catch_up", "information_within", "still_lags"]

LOOK_EVERY = 10
"""Inner steps between comparisons of their mean loss."""


def catch_up(loop: Loop, learning_rate: float, weight: float) -> int:
    """Steps of the encoder alone, on batches drawn from this epoch, until their loss falls no more, ``loop.knobs.aggressive`` at most; returns how many (He et al. 2019, arXiv:1901.05534).

    Early in training the decoder moves away from codes that tell little yet; an encoder at its optimum for the decoder of the moment is not left behind.
    """
    encoder = [p for p in loop.vae.encoder.parameters() if p.requires_grad]
    epoch, optimizer = loop.state.step // loop.epoch_steps, loop.optimizers["optimizer"]
    optimizer.learning_rate, before, recent = learning_rate, math.inf, 0.0
    for taken in range(1, loop.knobs.aggressive + 1):
        place = epoch * loop.epoch_steps + int(torch.randint(loop.epoch_steps, ()))
        value, _, _ = loop.loss(loop.order.at(place, loop.state.seed).chunk(loop.knobs.accumulate)[0], weight)
        value.backward(inputs=encoder)
        if torch.nn.utils.clip_grad_norm_(encoder, loop.knobs.clip).isfinite():
            optimizer.step()
        for p in encoder:
            p.grad = None
        recent += float(value.detach())
        if taken % LOOK_EVERY == 0:
            if not recent < before:
                return taken
            before, recent = recent, 0.0
    return loop.knobs.aggressive


@torch.no_grad()
def still_lags(loop: Loop) -> bool:
    """Whether the codes tell more about the first 500 validation items than when last asked: as long as they do, the encoder is caught up with. Draws from torch's global generator."""
    batch = next(iter(loop.validation.batches(loop.schema, 500, torch.Generator().manual_seed(loop.state.seed)))).to(loop.device)
    loop.vae.eval()
    told = sum(information_within(latent) for latent in loop.vae(batch, 1).latents)
    loop.vae.train()
    before, loop.state.information = loop.state.information, told
    return told > before


def information_within(latent: Latent) -> float:
    """I(x; z) in nats between the B items of a batch and one draw of z each, q(z) being the mean of their posteriors: at most log B.

    Where q is known at its own draws alone, or for each draw of a level above, the KL to the prior stands for it, which is never less.
    """
    if latent.q.batch_shape == latent.z.shape[1:2]:
        try:
            each = latent.q.log_prob(latent.z[0].unsqueeze(1))  # (B, B): every draw under every posterior
            return float((each.diagonal() - log_mean_exp(each, 1)).mean())
        except NotImplementedError:
            pass
    return float(-latent.log_ratio().mean())
