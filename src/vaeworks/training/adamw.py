"""AdamW without ceremony."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.optim.adamw import adamw

__all__ = ["AdamW"]

EPSILON = 1e-8


class AdamW:
    """Adam with decoupled weight decay (Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101): torch's kernel and torch's numbers.

    ``torch.optim.AdamW`` takes as long around that kernel as in it where networks are small, 5% of a step of 784-200-200-50, and imports torch's compiler when it is made.
    """

    def __init__(self, parameters: Iterable[Tensor], *, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)):
        self.parameters = list(parameters)
        self.weight_decay, self.betas, self.learning_rate = weight_decay, betas, 0.0
        self.fused = all(p.device.type != "mps" for p in self.parameters)
        self.moments = {
            "exp_avg": [torch.zeros_like(p) for p in self.parameters],
            "exp_avg_sq": [torch.zeros_like(p) for p in self.parameters],
            "step": [torch.zeros((), dtype=torch.float32, device=p.device if self.fused else "cpu") for p in self.parameters],
        }

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have a gradient, at ``learning_rate``."""
        moving = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        parameters, means, squares, steps = ([each[i] for i in moving] for each in (self.parameters, *self.moments.values()))
        gradients = [p.grad for p in parameters if p.grad is not None]
        beta1, beta2 = self.betas
        if self.fused and moving:
            torch._foreach_add_(steps, 1)  # the kernel leaves counting to its caller
        update: Callable[..., None] = torch._fused_adamw_ if self.fused and moving else adamw
        update(
            parameters, gradients, means, squares, [], steps, lr=self.learning_rate, beta1=beta1, beta2=beta2, weight_decay=self.weight_decay,
            eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip

    def named_moments(self) -> Iterator[tuple[str, Tensor]]:
        """What a checkpoint must hold: moments and steps, by the parameter's place and their own name."""
        for name, tensors in self.moments.items():
            yield from ((f"{i}.{name}", tensor) for i, tensor in enumerate(tensors))
