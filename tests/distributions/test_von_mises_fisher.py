"""The sphere: normalisers against scipy and asymptotics, densities by quadrature, gradients of moments in closed form."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from vaeworks.distributions import UniformSphere, VonMisesFisher, detached
from vaeworks.distributions.von_mises_fisher import log_angular_integral, log_bessel

KAPPAS = torch.tensor([0.0, 1e-6, 0.01, 0.5, 2.0, 20.0, 300.0, 1e4, 1e6], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.manual_seed(0)


def direction(size: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(size, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 3.5, 15.0, 127.0])
def test_log_bessel_is_scipys(order: float) -> None:
    x = KAPPAS[4:] if order > 20 else KAPPAS[2:]
    expected = np.log(scipy.special.ive(order, x.numpy()))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(log_bessel(order, x).numpy(), expected, atol=2e-10, rtol=1e-11)


@pytest.mark.parametrize("order", [127.0, 511.0, 2047.0])
def test_log_bessel_of_high_order_is_debyes_expansion(order: float) -> None:
    """DLMF 10.41.3 to its third term, where scipy underflows: I_v(v t) ~ exp(v eta) / sqrt(2 pi v sqrt(1 + t^2)) (1 + U1 / v + U2 / v^2)."""
    t = torch.tensor([0.01, 0.3, 1.0, 10.0, 500.0], dtype=torch.float64)
    root = torch.sqrt(1 + t**2)
    p = 1 / root
    first = (3 * p - 5 * p**3) / 24
    second = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    eta = root + torch.log(t / (1 + root))
    expected = order * (eta - t) - 0.5 * torch.log(2 * math.pi * order * root) + torch.log1p(first / order + second / order**2)
    torch.testing.assert_close(log_bessel(order, order * t), expected, atol=5 / order**3 + 1e-9, rtol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 8, 257, 1024])
def test_normaliser_is_differentiable_and_finite_at_any_concentration(size: int) -> None:
    """Its first derivative is E[cos] - 1 = I_{m/2} / I_{m/2-1} - 1, by continued fraction (Lentz) for any order; the second by finite differences of that."""

    def ratio(kappa: float) -> float:
        value = 0.0
        for k in range(20_000, 0, -1):  # I_v / I_{v-1} = 1 / (2 v / x + I_{v+1} / I_v)
            value = 1 / (2 * (size / 2 + k - 1) / kappa + value)
        return value

    kappa = KAPPAS[1:8].clone().requires_grad_()
    total = log_angular_integral(kappa, size)
    (slope,) = torch.autograd.grad(total.sum(), kappa, create_graph=True)
    expected = torch.tensor([ratio(k) for k in kappa.tolist()], dtype=torch.float64)
    torch.testing.assert_close(slope.detach() + 1, expected, atol=1e-11, rtol=1e-9)
    (bend,) = torch.autograd.grad(slope.sum(), kappa)
    h = 1e-4 * kappa.detach()
    difference = torch.tensor([(ratio(k + e) - ratio(k - e)) / (2 * e) for k, e in zip(kappa.tolist(), h.tolist(), strict=True)])
    torch.testing.assert_close(bend[2:], difference[2:].double(), atol=1e-7, rtol=1e-3)
    assert log_angular_integral(torch.zeros(1), size).isfinite().all()


@pytest.mark.parametrize("kappa", [0.0, 0.7, 30.0, 3000.0])
def test_integrates_to_one_on_the_sphere_in_space(kappa: float) -> None:
    loc = direction(3)
    # nodes in (cos of the angle to loc, angle around it), so that the peak is where the nodes are
    start = max(-1.0, 1 - 60 / max(kappa, 1e-9))
    node, weight = np.polynomial.legendre.leggauss(120)
    cosine = torch.from_numpy((node + 1) / 2 * (1 - start) + start)
    first = torch.linalg.svd(loc[None]).Vh[1:]
    angle = 2 * math.pi * torch.arange(24, dtype=torch.float64) / 24
    around = angle.cos()[:, None] * first[0] + angle.sin()[:, None] * first[1]
    z = cosine[:, None, None] * loc + (1 - cosine**2).sqrt()[:, None, None] * around
    density = VonMisesFisher(loc, torch.tensor(kappa, dtype=torch.float64)).log_prob(z).exp()
    total = (density.mean(1) * torch.from_numpy(weight) * (1 - start) / 2).sum() * 2 * math.pi
    assert float(total) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize(("size", "kappa"), [(2, 0.3), (2, 50.0), (3, 5.0), (5, 0.01), (16, 40.0), (64, 1.0), (300, 500.0)])
def test_the_cosine_of_samples_follows_its_distribution(size: int, kappa: float) -> None:
    q = VonMisesFisher(direction(size), torch.tensor(kappa, dtype=torch.float64))
    z = q.sample((4000,))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(4000, dtype=torch.float64), atol=1e-12, rtol=0)
    t = np.linspace(-1, 1, 400_001)[1:-1]
    log_f = kappa * (t - 1) + (size - 3) / 2 * np.log1p(-(t**2))
    f = np.exp(log_f - log_f.max())
    reached = scipy.integrate.cumulative_trapezoid(f, t, initial=0)
    cosine = z @ q.loc
    assert scipy.stats.kstest(cosine.numpy(), lambda value: np.interp(value, t, reached / reached[-1])).pvalue > 1e-3
    # around the mean direction, no direction is preferred
    off = torch.nn.functional.normalize(z - cosine[:, None] * q.loc, dim=-1)
    assert scipy.stats.chi2(size - 1).sf(4000 * (size - 1) * float(off.mean(0).square().sum())) > 1e-3
    error = z.std(0) / 4000**0.5
    assert ((z.mean(0) - q.mean).abs() < 5 * error).all()


@pytest.mark.parametrize("size", [2, 3, 10])
def test_path_gradients_are_those_of_the_moments(size: int) -> None:
    """E[(z.a)^2] is smooth in loc and concentration: its gradient by samples agrees with that of its closed form."""
    a = direction(size)
    loc, kappa = direction(size).requires_grad_(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    unit = loc / loc.norm()
    z = VonMisesFisher(unit, kappa).rsample((40_000,))
    per_sample = (z @ a).square()
    ratio = VonMisesFisher(unit, kappa).mean_cosine()
    second = 1 - (size - 1) / kappa * ratio  # E[cos^2], from Bessel's recurrence
    closed = (1 - second) / (size - 1) + (second - (1 - second) / (size - 1)) * (unit @ a).square()
    expected = torch.autograd.grad(closed, [loc, kappa], retain_graph=True)
    found = torch.autograd.grad(per_sample.mean(), [loc, kappa])
    torch.testing.assert_close(per_sample.mean(), closed, atol=0.01, rtol=0)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0.03, rtol=0)


@pytest.mark.parametrize("size", [2, 3, 40])
def test_every_sample_moves_as_its_gradient_says(size: int) -> None:
    """Thousands of draws, of concentrations far apart, against finite differences under the same noise: none is left where its inversion had not settled."""
    loc = direction(size)
    kappa = (10 ** torch.linspace(-2, 5, 100, dtype=torch.float64)).requires_grad_()

    def cosine(k: Tensor) -> Tensor:
        torch.manual_seed(5)
        return VonMisesFisher(loc.expand(100, size), k).rsample((50,)) @ loc

    h = 1e-5 * kappa.detach()
    with torch.no_grad():
        difference = (cosine(kappa + h) - cosine(kappa - h)) / 2e-5
    found = torch.stack([torch.autograd.grad(row.sum(), kappa, retain_graph=True)[0] * kappa.detach() for row in cosine(kappa)])
    torch.testing.assert_close(found, difference, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 20, 400])
def test_kl_to_the_uniform(size: int) -> None:
    """Zero at concentration zero, the sampled one elsewhere, in any dimension; with the gradient kappa dA/dkappa."""
    kappa = torch.tensor([0.0, 0.1, 10.0, 2000.0], dtype=torch.float64, requires_grad=True)
    loc = direction(size).expand(4, size)
    q, p = VonMisesFisher(loc, kappa), UniformSphere(torch.zeros(size, dtype=torch.float64))
    kl = kl_divergence(q, p)
    assert kl.shape == (4,)
    assert abs(kl.tolist()[0]) < 1e-12
    z = q.rsample((3000,)).detach()
    sampled = q.log_prob(z) - p.log_prob(z)
    assert ((kl - sampled.mean(0)).abs() <= 4.5 * sampled.std(0) / 3000**0.5 + 1e-10).all()
    (gradient,) = torch.autograd.grad(kl.sum(), kappa)
    at, h = kappa.detach()[1:], 1e-5
    above, below = (VonMisesFisher(loc[1:], at + step).mean_cosine() for step in (h, -h))
    torch.testing.assert_close(gradient[1:], at * (above - below) / (2 * h), atol=1e-6, rtol=1e-4)


def test_finite_in_single_precision_in_many_dimensions() -> None:
    for size in (2, 3, 256, 512):
        for value in (1e-3, 1.0, 1e3, 1e5):
            loc = torch.nn.functional.normalize(torch.randn(4, size), dim=-1).requires_grad_()
            kappa = torch.full((4,), value, requires_grad=True)
            q = VonMisesFisher(loc, kappa)
            z = q.rsample((8,))
            assert z.dtype == torch.float32
            total = q.log_prob(z).sum() + z.sum() + kl_divergence(q, UniformSphere(loc.detach())).sum()
            assert all(g.isfinite().all() for g in (total, *torch.autograd.grad(total, [loc, kappa])))


def test_uniform_on_the_sphere() -> None:
    p = UniformSphere(torch.zeros(3, dtype=torch.float64))
    z = p.rsample((4000,))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(4000, dtype=torch.float64))
    torch.testing.assert_close(p.log_prob(z), torch.full((4000,), -math.log(4 * math.pi), dtype=torch.float64))
    assert scipy.stats.kstest(z[:, 0].numpy(), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3  # Archimedes: each coordinate is uniform
    assert (p.mean == 0).all()
    assert detached(p) is p
    batch = UniformSphere(torch.zeros(5, 3))
    assert (batch.batch_shape, batch.sample((2,)).shape, batch.log_prob(batch.sample((2,))).shape) == ((5,), (2, 5, 3), (2, 5))


@pytest.mark.parametrize("make", [UniformSphere, lambda like: VonMisesFisher(like, torch.ones(()))])
def test_one_dimension_is_refused(make: type[UniformSphere]) -> None:
    with pytest.raises(ValueError, match="two points"):
        make(torch.ones(1))
