"""The committed rate: no features bring the KL below it, and it is as good as reached."""

import pytest
import scipy.optimize
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vaeworks.posteriors import CommittedNormalPosterior


@pytest.mark.parametrize("rate", [0.01, 0.5, 8.0, 300.0])
@pytest.mark.parametrize("size", [1, 32])
def test_the_kl_never_falls_below_the_rate(exact: None, rate: float, size: int) -> None:
    posterior, prior = CommittedNormalPosterior(size, rate=rate), Independent(Normal(torch.zeros(size), 1.0), 1)
    for features in (torch.zeros(1, 2 * size), 3 * torch.randn(50, 2 * size), 1e6 * torch.randn(50, 2 * size), torch.eye(2 * size) * 1e6):
        assert (kl_divergence(posterior(features), prior) >= rate).all()

    def kl(features: object) -> float:
        both = torch.as_tensor(features)[[0] * size + [1] * size]  # every dimension alike
        return float(kl_divergence(posterior(both[None]), prior))

    least = scipy.optimize.minimize(kl, [0.3, 0.0], method="Nelder-Mead", options={"maxiter": 400})
    assert rate <= least.fun < 1.12 * rate  # a bounded log scale stops short of the widest, which tells where rates are tiny


def test_the_widest_scale_is_where_the_rate_is_paid(exact: None) -> None:
    """Against the root that scipy finds, and the two ends: a rate near 0 leaves the scale free up to 1."""
    for rate in (1e-6, 0.25, 4.0):
        root = scipy.optimize.brentq(lambda s, r=rate: -torch.tensor(s).log().item() + (s * s - 1) / 2 - r, 1e-9, 1)
        widest = CommittedNormalPosterior(2, rate=2 * rate)(torch.tensor([[0.0, 0.0, 1e9, 1e9]])).stddev
        assert widest == pytest.approx(torch.full((1, 2), root), rel=2e-3, abs=0)
        assert (widest < root).all()
