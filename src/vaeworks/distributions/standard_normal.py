"""The standard normal, told apart from other normals so that divergences to it can be short."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Normal, register_kl

__all__ = ["StandardNormal"]


class StandardNormal(Normal):
    """A normal whose ``loc`` is 0 and whose ``scale`` is 1 everywhere; both are handed over, so that a module can keep them where they are needed."""


@register_kl(Normal, StandardNormal)  # type: ignore[untyped-decorator]
def _kl_to_standard(q: Normal, _: StandardNormal) -> Tensor:
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s in nats: half as many operations as for any two normals."""
    return (q.scale.square().addcmul(q.loc, q.loc) - 1) / 2 - q.scale.log()
