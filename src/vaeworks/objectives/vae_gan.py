"""VAE-GAN."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks import MLP, ConvEncoder
from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of, side_by_side
from vaeworks.objectives.listener import Listener
from vaeworks.objectives.opponents import contest, held, met
from vaeworks.objectives.schedules import Schedule
from vaeworks.objectives.spectral import spectral_distance
from vaeworks.trace import Batch, Trace

__all__ = ["VAEGAN"]

SHORTEST = 64
"""Samples of a waveform that is listened to; a shorter one is read number by number."""


class VAEGAN(Objective):
    """KL + similarity |f(x) - f(x')|^2 / 2 + strength (-log D(x')) - likelihood log p(x | z) + spectral distance, x' = E[x | z], f the features by which D tells x from x'.

    Larsen et al. 2016, arXiv:1512.09300.

    similarity: weight of the distance of features. strength: weight of deceit. likelihood: weight of log p(x | z); 0, as in the paper, leaves the reconstruction to the features.
    features: their number. hidden: the layers before them, after convolutions where items are images or spectrograms of at least 8 x 8, or waveforms, of which D hears magnitudes.
    spectral: nats per unit of the STFT distance of waveforms, as of ``spectral-elbo``; 0 leaves it out. The schedule multiplies similarity and strength.

    The paper's discriminator also sees samples of the prior; this one judges reconstructions. ``terms["feature_distance"]`` and ``terms["deceit"]`` are no densities.
    Missing coordinates count as reconstructed; where a sound has ended both are at zero.
    """

    stationary = False

    def __init__(
        self,
        *,
        similarity: Annotated[float, Field(ge=0)] = 1.0,
        strength: Annotated[float, Field(ge=0)] = 1.0,
        likelihood: Annotated[float, Field(ge=0)] = 1.0,
        features: Annotated[int, Field(gt=0)] = 64,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (128,),
        spectral: Annotated[float, Field(ge=0)] = 0.0,
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.similarity, self.strength, self.likelihood = similarity, strength, likelihood
        self.features, self.hidden, self.spectral, self.analytic = features, hidden, spectral, analytic
        self.discriminator: nn.Sequential | None = None

    def settle(self, trace: Trace, count: int) -> None:
        shape = tuple(trace.x.event_shape)
        if len(shape) == 2 and shape[-1] >= SHORTEST:
            seen: nn.Module = Listener(shape, self.features, hidden=self.hidden)
        else:
            network = ConvEncoder if len(shape) == 3 and min(shape[1:]) >= 8 else MLP
            seen = network(shape, (self.features,), hidden=self.hidden, activation="leaky-relu")
        self.discriminator = nn.Sequential(seen, MLP((self.features,), (1,), hidden=()))

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        judge = met(self.discriminator, self)
        assert isinstance(judge, nn.Sequential)
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        x, mean = (t.masked_fill(trace.x.mean.isnan(), 0) for t in side_by_side(trace, batch))
        seen, imagined = held(judge[0], x), held(judge[0], mean)
        distance = (seen - imagined).square().sum(-1) / 2
        deceit = F.softplus(-held(judge[1], imagined).squeeze(-1))
        adversarial = self.similarity * distance.mean() + self.strength * deceit.mean()
        value = kl.mean() - self.likelihood * log_likelihood.mean() + weight * adversarial
        terms = bound_terms(log_likelihood, kl) | {"feature_distance": distance.detach(), "deceit": deceit.detach()}
        if self.spectral:
            apart = spectral_distance(trace, batch, (64, 256, 1024))
            value = value + self.spectral * apart.mean()
            terms["spectral_distance"] = apart.detach()
        return Loss(value, terms, contest(judge, x, mean))
