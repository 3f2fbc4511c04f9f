"""A finite mixture of distributions of one family."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal
from torch.utils.checkpoint import checkpoint

__all__ = ["Mixture"]

ROOM = 2**26
"""Numbers held at once where densities are taken component by component: those that autograd keeps of one piece, of which more are computed anew on the way back."""


class Mixture(Distribution):
    """p(z) = sum_k w_k p_k(z), with w = softmax(``logits``), batch shape () or (B,), event shape (D,).

    ``logits`` (K,) or (B, K); ``components``, one distribution of batch shape (K,) or (B K,), the components of an item side by side.

    Log densities of diagonal normals are the quadratic form z'P z / 2 - z'P m + m'P m / 2 of every component, as two matrix products in float64, where its cancellation
    costs nothing: N points cost N K memory, not N K D. Any other family is asked for as many points at a time as fit into memory; where that is more than once, what autograd needs of a
    piece is not kept but computed again on the way back, at the cost of one more density.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, logits: Tensor, components: Distribution):
        self.log_weights, self.components = logits.log_softmax(-1), components
        super().__init__(logits.shape[:-1], components.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp().unsqueeze(-1) * self._each(self.components.mean)).sum(-2)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.draw(sample_shape)

    def draw(self, sample_shape: torch.Size | tuple[int, ...] = (), temperature: float = 1.0) -> Tensor:
        """Samples whose deviation from the mean of their own component is scaled by ``temperature``: at 0 these means, each as often as it weighs."""
        with torch.no_grad():
            choice = Categorical(logits=self.log_weights, validate_args=False).sample(torch.Size(sample_shape))
            k = self.log_weights.shape[-1]
            index = (choice + k * torch.arange(math.prod(self.batch_shape), device=choice.device)).flatten() if self.batch_shape else choice.flatten()
            # The r-th time that a component is chosen takes its r-th sample: as many per component as the most popular one needs.
            order = index.argsort(stable=True)
            ordered = index[order]
            turn = torch.empty_like(index)
            turn[order] = torch.arange(len(index), device=index.device) - torch.searchsorted(ordered, ordered)
            z: Tensor = self.components.sample((int(turn.max()) + 1 if len(turn) else 0,))[turn, index]
            if temperature != 1:
                z = torch.lerp(self.components.mean[index], z, temperature)
            return z.view(*choice.shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        base = self.components.base_dist if isinstance(self.components, Independent) else None
        if isinstance(base, Normal) and value.device.type != "mps":  # which knows no float64
            each = self._quadratic(value.double(), self._each(base.loc.double()), self._each(base.scale.double()))
            log_p: Tensor = (each + self.log_weights).logsumexp(-1).to(value.dtype)
            return log_p
        return self._piecewise(value.expand(torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)))

    def _each(self, values: Tensor) -> Tensor:
        """(B K, ...) -> (B, K, ...)."""
        out: Tensor = values.unflatten(0, self.log_weights.shape)
        return out

    def _quadratic(self, z: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        """log N(z; m_k, diag(s_k^2)) for z (..., D) or (..., B, D) and m, s (K, D) or (B, K, D): (..., K)."""
        precision = scale.square().reciprocal()
        constant = -0.5 * (loc.square() * precision).sum(-1) - scale.log().sum(-1) - 0.5 * loc.shape[-1] * math.log(2 * math.pi)
        product = "...d,kd->...k" if loc.dim() == 2 else "...bd,bkd->...bk"
        return constant + torch.einsum(product, z, loc * precision) - 0.5 * torch.einsum(product, z.square(), precision)

    def _piecewise(self, z: Tensor) -> Tensor:
        """log p(z) of components of any family at z (..., *batch_shape, D): (..., *batch_shape)."""
        kept = getattr(self.components, "kept", 4)  # per number of a code; 4 is what torch's normals of full covariance keep
        size = max(1, ROOM // (self.log_weights.numel() * z.shape[-1] * kept))
        pieces = z.reshape(-1, *self.batch_shape, 1, z.shape[-1]).split(size)
        if len(pieces) > 1 and torch.is_grad_enabled():
            sums = [checkpoint(self._among, piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces]
        else:
            sums = [self._among(piece) for piece in pieces]
        return torch.cat(sums).view(z.shape[:-1])

    def _among(self, piece: Tensor) -> Tensor:
        """log p(z) for z (n, *batch_shape, 1, D): (n, *batch_shape)."""
        shape = self.log_weights.shape
        each: Tensor = self.components.log_prob(piece.expand(-1, *shape, -1).flatten(1, -2))
        log_p: Tensor = (each.unflatten(1, shape) + self.log_weights).logsumexp(-1)
        return log_p
