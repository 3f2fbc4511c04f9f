"""Learning from a few labels and many items without."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.distributions import OneHotCategorical

from vaeworks.latents import LabelPosterior
from vaeworks.objectives.base import Loss, Objective, analytic_kl, bound_terms, kl_of
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["SemiSupervised"]


class SemiSupervised(Objective):
    """The bound on log p(x, y) of items whose label is known, that on log p(x) of the others, and alpha times the cross-entropy of q(y | x) (Kingma et al. 2014, arXiv:1406.5298).

    log p(x) >= sum_y q(y | x) (E[log p(x | y, z)] - KL(q(z | x, y) || p(z))) - KL(q(y | x) || p(y)), summed over the classes exactly. The schedule multiplies the KLs.

    alpha: weight of the cross-entropy, averaged over labelled items, beside bounds that are averaged over all items; the paper's alpha over N, hence its 0.1.
    samples: z drawn per item and class.

    ``labelled`` is the share of the training items whose label is known, where batches hold more of them than that: bounds are then averaged apart and weighed by it, so that a
    gradient has the mean that it would have over all items. None: batches are like the data.

    ``terms["elbo"]`` is the unweighted bound, on log p(x, y) where y is known. For latents without a label all this is the ELBO.
    """

    def __init__(self, *, alpha: Annotated[float, Field(ge=0)] = 0.1, samples: Annotated[int, Field(gt=0)] = 1, schedule: Schedule | None = None):
        super().__init__(samples, schedule)
        self.alpha = alpha

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, label = trace.log_likelihood(batch), trace.latents[0].q
        if not isinstance(label, LabelPosterior):
            kl = kl_of(trace)
            return Loss(weight * kl.mean() - log_likelihood.mean(), bound_terms(log_likelihood, kl))
        named, code = trace.latents
        assert isinstance(named.p, OneHotCategorical)
        share, closed = label.share(named.z), analytic_kl(code)
        log_likelihood = (share * log_likelihood).sum(0)
        kl = label.divergence(named.p) + (share * (-code.log_ratio() if closed is None else closed)).sum(0)
        loss, known = weight * kl - log_likelihood, label.known.to(kl)
        bound = loss.mean() if self.labelled is None else self.labelled * _mean(loss, known) + (1 - self.labelled) * _mean(loss, 1 - known)
        cross_entropy = _mean(label.cross_entropy(), known)
        terms = bound_terms(log_likelihood, kl)
        if self.training:
            terms["cross_entropy"] = cross_entropy.detach().expand(len(batch))
        return Loss(bound + self.alpha * cross_entropy, terms)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of ``values`` (B,) over the items of weight one in ``where`` (B,); 0 where there are none."""
    mean: Tensor = (values * where).sum() / where.sum().clamp_min(1)
    return mean
