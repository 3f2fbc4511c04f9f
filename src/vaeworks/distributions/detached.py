"""The same distribution with its parameters held fixed: gradients then reach only the point at which its density is taken."""

from __future__ import annotations

from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

__all__ = ["detached"]


def detached(q: Distribution) -> Distribution:
    """``q`` with parameters that no gradient reaches, as path-wise gradient estimators need it (Roeder et al. 2017, arXiv:1703.09194).

    A distribution of our own says how by a method ``detached``. Raises NotImplementedError where there is no such thing: a density known only at the points that were drawn.
    """
    if isinstance(q, Independent):
        return Independent(detached(q.base_dist), q.reinterpreted_batch_ndims, validate_args=False)
    if isinstance(q, Normal):
        return Normal(q.loc.detach(), q.scale.detach(), validate_args=False)
    if isinstance(q, LowRankMultivariateNormal):
        return LowRankMultivariateNormal(q.loc.detach(), q.cov_factor.detach(), q.cov_diag.detach(), validate_args=False)
    if isinstance(q, MultivariateNormal):
        return MultivariateNormal(q.loc.detach(), scale_tril=q.scale_tril.detach(), validate_args=False)
    own = getattr(q, "detached", None)
    if own is None:
        raise NotImplementedError(f"{type(q).__name__} cannot be held fixed: its density is not known apart from its parameters")
    fixed: Distribution = own()
    return fixed
