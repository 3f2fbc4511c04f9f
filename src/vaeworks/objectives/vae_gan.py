"""VAE-GAN."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks import MLP, ConvEncoder
from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of, side_by_side
from vaeworks.objectives.opponents import contest, held, met
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["VAEGAN"]


class VAEGAN(Objective):
    """KL + similarity |f(x) - f(x')|^2 / 2 + strength (-log D(x')) - likelihood log p(x | z), x' = E[x | z], f the features by which D tells x from x'.

    Larsen et al. 2016, arXiv:1512.09300.

    similarity: weight of the distance of features. strength: weight of deceit. likelihood: weight of log p(x | z); 0, as in the paper, leaves the reconstruction to the features.
    features: their number. hidden: the layers before them, after convolutions where items are images of at least 8 x 8. The schedule multiplies similarity and strength.

    The paper's discriminator also sees samples of the prior; this one judges reconstructions. ``terms["feature_distance"]`` and ``terms["deceit"]`` are no densities.
    Missing coordinates count as reconstructed.
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
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.similarity, self.strength, self.likelihood = similarity, strength, likelihood
        self.features, self.hidden, self.analytic = features, hidden, analytic
        self.discriminator: nn.Sequential | None = None

    def settle(self, trace: Trace, count: int) -> None:
        shape = tuple(trace.x.event_shape)
        network = ConvEncoder if len(shape) == 3 and min(shape[1:]) >= 8 else MLP
        seen = network(shape, (self.features,), hidden=self.hidden, activation="leaky-relu")
        self.discriminator = nn.Sequential(seen, MLP((self.features,), (1,), hidden=()))

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        judge = met(self.discriminator, self)
        assert isinstance(judge, nn.Sequential)
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        x, mean = side_by_side(trace, batch)
        seen, imagined = held(judge[0], x), held(judge[0], mean)
        distance = (seen - imagined).square().sum(-1) / 2
        deceit = F.softplus(-held(judge[1], imagined).squeeze(-1))
        adversarial = self.similarity * distance.mean() + self.strength * deceit.mean()
        value = kl.mean() - self.likelihood * log_likelihood.mean() + weight * adversarial
        terms = bound_terms(log_likelihood, kl) | {"feature_distance": distance.detach(), "deceit": deceit.detach()}
        return Loss(value, terms, contest(judge, x, mean))
