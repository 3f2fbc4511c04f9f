"""Posteriors bent by a flow of many parameters, conditioned on the item."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions import FlowKind, make_flow
from vaeworks.posteriors.base import Posterior, scale_of

__all__ = ["IAFPosterior", "MAFPosterior", "SplinePosterior"]


class _FlowPosterior(Posterior):
    """q(z | x): z = mean + scale * f(u; context), u ~ N(0, I), with mean, log scale and context from the features; before training it is nearly the diagonal normal.

    transforms: maps that f is made of.
    hidden: widths of each map's conditioner network.
    context: features that f is conditioned on, beside mean and scale.
    """

    kind: ClassVar[FlowKind]

    def __init__(
        self,
        latent_size: int,
        *,
        transforms: Annotated[int, Field(gt=0)] = 2,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64, 64),
        context: Annotated[int, Field(ge=0)] = 16,
    ):
        super().__init__(latent_size)
        self.context = context
        self.flow = make_flow(self.kind, latent_size, context, transforms=transforms, hidden=hidden)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_size + self.context,)

    def forward(self, features: Tensor) -> Distribution:
        mean, log_scale, context = features.tensor_split((self.latent_size, 2 * self.latent_size), -1)
        return self.flow(context, mean, scale_of(log_scale))


class IAFPosterior(_FlowPosterior):
    """Inverse autoregressive flow (Kingma et al. 2016, arXiv:1606.04934): as quick to draw from as a diagonal normal; a density elsewhere than at the draw takes D passes a transform."""

    kind = "iaf"


class MAFPosterior(_FlowPosterior):
    """Masked autoregressive flow (Papamakarios et al. 2017, arXiv:1705.07057): its density is quick anywhere, and each draw takes D passes a transform."""

    kind = "maf"


class SplinePosterior(_FlowPosterior):
    """Rational-quadratic coupling splines (Durkan et al. 2019, arXiv:1906.04032): quick both ways, several modes; linear beyond five scales from the mean."""

    kind = "spline"
