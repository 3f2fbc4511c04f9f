"""Normalising-flow priors."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.distributions.flows import Flow, FlowKind, make_flow
from vaeworks.priors.base import Prior
from vaeworks.trace import given

__all__ = ["FlowPrior", "IAFPrior", "MAFPrior", "RealNVPPrior", "SplinePrior"]


class FlowPrior(Prior):
    """p(z) = N(u; 0, I) |det du/dz|, z = f(u) with f learned, near the identity at the start; with a context f depends on it.

    transforms: how many follow each other. hidden: sizes of the hidden layers of each one's network.
    A temperature scales the noise u: at 0 every code is f(0), the image of the noise's mode.
    """

    kind: ClassVar[FlowKind]

    def __init__(
        self,
        latent_size: int,
        context_size: int = 0,
        *,
        transforms: Annotated[int, Field(gt=0)] = 4,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64, 64),
    ):
        super().__init__(latent_size, context_size)
        self.flow = make_flow(self.kind, latent_size, context_size, transforms=transforms, hidden=hidden)

    def forward(self, context: Tensor | None = None) -> Flow:
        return self.flow(given(context, self.context_size) if self.context_size else None)

    @torch.no_grad()
    def draw(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        p = self.forward(context)
        like = next(self.flow.parameters())
        u = torch.randn(*(p.batch_shape or (n,)), self.latent_size, dtype=like.dtype, device=like.device)
        z: Tensor = self.flow.bijection(temperature * u, p.context, True)[0]
        return z


class RealNVPPrior(FlowPrior):
    """Affine couplings: cheap to draw from and to evaluate (Dinh et al. 2017, arXiv:1605.08803)."""

    kind = "realnvp"


class MAFPrior(FlowPrior):
    """Masked autoregressive transforms: cheap to evaluate, D passes each to draw (Papamakarios et al. 2017, arXiv:1705.07057)."""

    kind = "maf"


class IAFPrior(FlowPrior):
    """Inverse autoregressive transforms: cheap to draw from, D passes each to evaluate (Kingma et al. 2016, arXiv:1606.04934)."""

    kind = "iaf"


class SplinePrior(FlowPrior):
    """Rational-quadratic spline couplings: the most flexible of the four (Durkan et al. 2019, arXiv:1906.04032). Outside (-5, 5) in each coordinate they are the identity."""

    kind = "spline"
