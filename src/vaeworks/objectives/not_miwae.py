"""The importance-weighted bound where what is missing depends on what it would have been."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.distributions import Observable
from vaeworks.objectives.base import Loss, Objective
from vaeworks.objectives.iwae import Weights, log_mean_exp
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["MissingProcess", "NotMIWAE"]


class MissingProcess(nn.Module):
    """p(s | x) = product over coordinates of Bernoulli(s_j; sigmoid(a_j x_j + b_j)), s_j = 1 where x_j is seen; with ``linear``, of every coordinate upon all: sigmoid((A x)_j + b_j).

    At zero, where it starts, what is missing tells nothing. Weights and biases are ten times the parameters, since an optimiser's steps have a fixed size and they have far to go.
    """

    def __init__(self, size: int, *, linear: bool):
        super().__init__()
        self.tenth_of_weight = nn.Parameter(torch.zeros(size, size) if linear else torch.zeros(size))
        self.tenth_of_bias = nn.Parameter(torch.zeros(size))

    @property
    def weight(self) -> Tensor:
        """a (X,), or A (X, X), per unit of x."""
        return 10 * self.tenth_of_weight

    @property
    def bias(self) -> Tensor:
        """b, (X,)."""
        return 10 * self.tenth_of_bias

    def forward(self, x: Tensor, seen: Tensor, *, held: bool = False) -> Tensor:
        """log p(s | x) in nats, (K, B), for x (K, B, X) and ``seen`` (B, X) bool; ``held``: the parameters out of reach of the gradient."""
        weight, bias = (part.detach() if held else part for part in (self.weight, self.bias))
        logits = (x @ weight.T if weight.dim() == 2 else x * weight) + bias
        return -F.softplus(torch.where(seen, -logits, logits)).sum(-1)


class NotMIWAE(Objective):
    """log 1/K sum_k p(x_seen | z_k) p(s | x_seen, x_missing,k) p(z_k) / q(z_k | x_seen) <= log p(x_seen, s), x_missing,k ~ p(x | z_k): for values that hide themselves.

    Ipsen et al. 2021, arXiv:2006.12871.

    samples: K. process: ``self-masking``, each coordinate's chance to be seen depends on its own value; ``linear``, on all values. Its parameters are learned beside the model's.
    beta: weight of log p(z) - log q(z | x) in log w; 1 is the bound. The schedule multiplies it.

    The gradient passes through a missing value where p(x | z) has one to give (normals), and is otherwise the score's, weighed as z is: consistent as K grows. Categories count as
    their numbers. ``terms["not-miwae"]`` is the bound on log p(x_seen, s), ``terms["iwae"]`` and ``terms["elbo"]`` the bounds on log p(x_seen), all unweighted.
    """

    def __init__(
        self,
        *,
        samples: Annotated[int, Field(gt=0)] = 20,
        process: Literal["self-masking", "linear"] = "self-masking",
        beta: Annotated[float, Field(ge=0)] = 1.0,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.kind, self.beta = process, beta
        self.process: MissingProcess | None = None

    def settle(self, trace: Trace, count: int) -> None:
        size = math.prod(trace.x.event_shape)
        if self.kind == "linear" and size > 4096:
            raise ValueError(f"process = 'linear' has a weight for every pair of the {size} coordinates: use process = 'self-masking'")
        self.process = MissingProcess(size, linear=self.kind == "linear")

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        if self.process is None:
            raise ValueError("NotMIWAE does not know the shape of its items yet: call settle(trace, count) first, as training does")
        if not batch.x.is_floating_point():
            raise ValueError("what is missing of text has no value that its absence could depend on: use objective.kind = 'miwae'")
        parts = Weights(trace, batch, self.beta * weight)
        seen = torch.ones_like(batch.x, dtype=torch.bool) if batch.observed is None else batch.observed
        x, log_ratio = _completed(trace, batch, seen)
        x, flat = x.flatten(2), seen.flatten(1)
        log_s = self.process(x, flat, held=True) + log_ratio
        log_w = parts.log_w + log_s
        own = self.process(x.detach(), flat)
        opponent = -(log_w.detach().softmax(0) * own).sum(0).mean()  # its gradient is the bound's
        terms = parts.terms()
        return Loss(-log_mean_exp(log_w).mean(), terms | {"not-miwae": log_mean_exp(terms["elbo"] + log_s.detach())}, opponent)


def _completed(trace: Trace, batch: Batch, seen: Tensor) -> tuple[Tensor, Tensor | float]:
    """x (K, B, *event) with a draw of what is missing, and a term of value zero and the gradient of the draw's log-probability, (K, B), where the draw has none of its own."""
    if bool(seen.all()):
        return batch.x.expand(*trace.latents[0].z.shape[:1], *batch.x.shape), 0.0
    p = trace.x.rest(batch.x, seen) if isinstance(trace.x, Observable) else trace.x
    if p.has_rsample:
        return torch.where(seen, batch.x, p.rsample().to(batch.x.dtype)), 0.0
    if not isinstance(p, Observable):
        raise ValueError(f"{type(p).__name__} can be drawn neither with a gradient nor in part: use another likelihood")
    drawn = p.sample()
    log_p = p.marginal(~seen).log_prob(drawn)
    return torch.where(seen, batch.x, drawn.to(batch.x.dtype)), log_p - log_p.detach()
