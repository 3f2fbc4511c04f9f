"""Penalties that are no density: the discrepancy of codes, structural similarity, the decoder's slope; and the objectives that a point mass can serve."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vaeworks.distributions import PointMass
from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP, ConvDecoder
from vaeworks.objectives import MSSSIM, OBJECTIVES, VAEGAN, WAE, Adversarial, Regularised
from vaeworks.objectives.mmd import SCALES, mmd
from vaeworks.objectives.opponents import beside_the_prior, contest, discriminator, draw
from vaeworks.objectives.regularised import squared_jacobian
from vaeworks.objectives.similarity import WEIGHTS, ms_ssim
from vaeworks.posteriors import Known, PointPosterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.trace import Batch, Latent, Trace


def by_hand(first: np.ndarray, second: np.ndarray, kernel: str) -> float:
    """The estimator written out as loops over pairs of different items, (B, D)."""
    size = first.shape[1]

    def k(a: np.ndarray, b: np.ndarray) -> float:
        square = float(((a - b) ** 2).sum())
        each = [math.exp(-square / (2 * size * s)) if kernel == "gaussian" else 2 * size * s / (2 * size * s + square) for s in SCALES]
        return sum(each) / len(each)

    pairs = [(i, j) for i in range(len(first)) for j in range(len(first)) if i != j]
    return sum(k(first[i], first[j]) + k(second[i], second[j]) - 2 * k(first[i], second[j]) for i, j in pairs) / len(pairs)


@pytest.mark.parametrize("kernel", ["gaussian", "inverse-multiquadratic"])
def test_the_discrepancy_by_hand(kernel: Any) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(1, 7, 3).double(), torch.randn(1, 7, 3).double() + 0.4
    assert float(mmd(first, second, kernel)) == pytest.approx(by_hand(first[0].numpy(), second[0].numpy(), kernel), rel=1e-10)


@pytest.mark.parametrize("kernel", ["gaussian", "inverse-multiquadratic"])
@pytest.mark.parametrize("k", [1, 3])
def test_the_discrepancy_is_nothing_in_the_mean_where_the_laws_agree_and_something_where_not(kernel: Any, k: int) -> None:
    torch.manual_seed(0)
    same = torch.stack([mmd(torch.randn(k, 8, 2), torch.randn(k, 8, 2), kernel) for _ in range(400)])
    other = torch.stack([mmd(1.5 * torch.randn(k, 8, 2), torch.randn(k, 8, 2), kernel) for _ in range(400)])
    assert abs(same.mean()) < 4.5 * same.std() / 20
    assert (same < 0).any()
    assert other.mean() > 4.5 * other.std() / 20


def test_samples_of_one_item_do_not_count_as_a_pair() -> None:
    """Five copies of each item's one code: the estimate is that of the items."""
    torch.manual_seed(0)
    first, second = torch.randn(1, 6, 2), torch.randn(1, 6, 2)
    expected = mmd(first, second, "gaussian")
    torch.testing.assert_close(mmd(first.expand(5, -1, -1), second.expand(5, -1, -1), "gaussian"), expected)
    assert float(mmd(first[:, :1], second[:, :1], "gaussian")) == 0


def test_a_level_is_set_beside_the_prior_given_the_levels_above() -> None:
    torch.manual_seed(0)
    p1 = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    z1 = torch.randn(3, 5, 2)
    p2 = Independent(Normal(10 * z1, 1e-3), 1)
    latents = (Latent(z1, Independent(Normal(torch.zeros(5, 2), 1.0), 1), p1), Latent(torch.randn(3, 5, 2), Independent(Normal(z1, 1.0), 1), p2))
    (q1, prior1), (q2, prior2) = beside_the_prior(Trace(p1, latents))
    assert q1.shape == prior1.shape == (3, 5, 2)
    assert q2.shape == prior2.shape == (3, 5, 4)
    torch.testing.assert_close(prior2[..., :2], z1)
    torch.testing.assert_close(prior2[..., 2:], 10 * z1, atol=0.02, rtol=0)
    torch.testing.assert_close(q2[..., 2:], latents[1].z)


@pytest.mark.parametrize("batch_shape", [(), (5,), (3, 5)])
def test_the_prior_gives_a_code_for_each_code(batch_shape: tuple[int, ...]) -> None:
    p = Independent(Normal(torch.zeros(*batch_shape, 2, requires_grad=True), 1.0), 1)
    z = draw(Latent(torch.zeros(3, 5, 2), p, p))
    assert z.shape == (3, 5, 2)
    assert z.requires_grad
    assert z.std() > 0.5


def similarity_by_hand(x: np.ndarray, y: np.ndarray, side: int, scales: int) -> float:
    """One image (C, H, W), pixel by pixel, after Wang, Simoncelli & Bovik 2003."""
    bell = np.exp(-((np.arange(side) - (side - 1) / 2) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()
    result = []
    for channel in range(len(x)):
        a, b, product = x[channel], y[channel], 1.0
        for scale in range(scales):
            if scale:
                a, b = (i[: i.shape[0] // 2 * 2, : i.shape[1] // 2 * 2] for i in (a, b))
                a, b = ((i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in (a, b))
            terms = []
            for i in range(a.shape[0] - side + 1):
                for j in range(a.shape[1] - side + 1):
                    u, v = a[i : i + side, j : j + side], b[i : i + side, j : j + side]
                    m, n = (window * u).sum(), (window * v).sum()
                    s, t, both = (window * (u - m) ** 2).sum(), (window * (v - n) ** 2).sum(), (window * (u - m) * (v - n)).sum()
                    term = (2 * both + 0.03**2) / (s + t + 0.03**2)
                    terms.append(term * (2 * m * n + 0.01**2) / (m**2 + n**2 + 0.01**2) if scale == scales - 1 else term)
            product *= max(np.mean(terms), 1e-4) ** (WEIGHTS[scale] / sum(WEIGHTS[:scales]))
        result.append(product)
    return float(np.mean(result))


@pytest.mark.parametrize(
    ("shape", "side", "scales"), [((1, 5, 6), 5, 1), ((2, 12, 11), 11, 1), ((1, 23, 30), 11, 2), ((3, 45, 44), 11, 3), ((1, 2, 2), 1, 2)]
)
def test_structural_similarity_by_hand(shape: tuple[int, ...], side: int, scales: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, *shape).double()
    y = (0.8 * x + 0.2 * torch.rand_like(x)).clamp(0, 1)
    expected = [similarity_by_hand(a.numpy(), b.numpy(), side, scales) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ms_ssim(x, y).numpy(), expected, rtol=1e-8)
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(2).double())
    assert (ms_ssim(x, y) < 1).all()


def test_similarity_is_of_images_and_stays_finite_between_opposites() -> None:
    with pytest.raises(ValueError, match=r"images.*shape \(4,\).*'elbo'"):
        MSSSIM()(Trace(Independent(Normal(torch.zeros(1, 2, 4), 1.0), 1), ()), Batch(torch.zeros(2, 4)))
    x = torch.rand(2, 1, 16, 16)
    y = (1 - x).requires_grad_()
    value = ms_ssim(x, y).sum()
    (gradient,) = torch.autograd.grad(value, y)
    assert value.isfinite()
    assert gradient.isfinite().all()


def pointed(decoder: Any, shape: tuple[int, ...], size: int) -> VAE:
    posterior = PointPosterior(size)
    encoder = Encoder(MLP(shape, posterior.parameter_shape, hidden=(8,)), posterior)
    return VAE(encoder, Decoder(decoder, GaussianLikelihood(shape, 0)), StandardNormalPrior(size))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_decoders_slope_is_the_norm_of_its_jacobian(kind: str) -> None:
    """Against autograd's Jacobian, in the mean; and the gradient of the penalty against finite differences, through two derivatives of the decoder."""
    torch.manual_seed(0)
    decoder = MLP((2,), (1, 8, 8), hidden=(6,)) if kind == "mlp" else ConvDecoder((2,), (1, 8, 8), channels=(8,), hidden=(32,))
    vae, batch = pointed(decoder, (1, 8, 8), 2), Batch(torch.rand(3, 1, 8, 8))
    z = vae.encoder(batch.x).mean.detach()
    jacobian: Tensor = torch.stack([torch.autograd.functional.jacobian(lambda c: vae.decoder(c[None]).mean, code) for code in z])
    exact = jacobian.flatten(1).square().sum(1)
    assert (exact > 0).all()  # no rectifier of the last layers is shut for all three
    draws = torch.cat([squared_jacobian(vae(batch, 20)).detach() for _ in range(40)])
    assert ((draws.mean(0) - exact).abs() < 4.5 * draws.std(0) / len(draws) ** 0.5).all()

    vae, batch = vae.double(), Batch(batch.x.double())
    objective = Regularised(code=0.0, gradient=1.0)
    parameter = next(p for p in vae.decoder.parameters() if p.dim() > 1)
    unit = torch.randn_like(parameter)

    def value() -> Tensor:
        torch.manual_seed(1)
        return objective(vae(batch, 1), batch).value

    (gradient,) = torch.autograd.grad(value(), parameter)
    start = parameter.detach().clone()
    ends = []
    for step in (1e-6, -1e-6):
        parameter.data = start + step * unit
        ends.append(float(value().detach()))
    assert float((gradient * unit).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_what_needs_no_density_says_so_and_the_others_refuse_a_point_mass() -> None:
    torch.manual_seed(0)
    vae, batch = pointed(MLP((2,), (4,), hidden=()), (4,), 2), Batch(torch.rand(5, 4))
    free = {"autoencoder", "wae", "adversarial", "regularised"}
    assert {name for name, family in OBJECTIVES.items() if family.needs is Known.NOTHING} == free
    for name, family in OBJECTIVES.items():
        objective = family()
        objective.settle(vae(batch), 5)
        if name in free:
            loss = objective(vae(batch, objective.samples), batch)
            assert "elbo" not in loss.terms
            assert "log_likelihood" in loss.terms
            assert loss.value.isfinite()
        elif name not in {"ms-ssim", "spectral-elbo"}:
            with pytest.raises(NotImplementedError, match="point mass has no density"):
                objective(vae(batch, objective.samples), batch)


def test_codes_are_drawn_to_the_prior() -> None:
    """Codes of an encoder that starts far off, under the discrepancy alone: mean and spread become the prior's."""
    torch.manual_seed(0)
    shift, scale = torch.full((2,), 2.0, requires_grad=True), torch.full((2,), 0.3, requires_grad=True)
    optimizer = torch.optim.Adam([shift, scale], lr=0.03)
    p, objective = Independent(Normal(torch.zeros(2), torch.ones(2)), 1), WAE(mmd_weight=100.0)
    for _ in range(300):
        q = PointMass(shift + scale * torch.randn(128, 2))
        trace = Trace(Independent(Normal(torch.zeros(1, 128, 1), 1.0), 1), (Latent(q.rsample((1,)), q, p),))
        optimizer.zero_grad()
        objective(trace, Batch(torch.zeros(128, 1))).value.backward()
        optimizer.step()
    assert shift.detach().abs().max() < 0.2
    assert (scale.detach() - 1).abs().max() < 0.2


def test_a_trained_opponent_gives_the_log_odds() -> None:
    """Between N(1, 1) and N(0, 1) the log odds at z are z - 1/2."""
    torch.manual_seed(0)
    judge = discriminator(1, (32,))
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(500):
        optimizer.zero_grad()
        contest(judge, torch.randn(1, 512, 1) + 1, torch.randn(1, 512, 1)).backward()
        optimizer.step()
    z = torch.linspace(-1, 2, 7)[:, None]
    torch.testing.assert_close(judge(z).detach(), z - 0.5, atol=0.3, rtol=0)
    even = contest(discriminator(1, ()).requires_grad_(False).apply(lambda m: [p.zero_() for p in m.parameters()]), z[None], z[None])
    assert float(even) == pytest.approx(math.log(2))


@pytest.mark.parametrize("objective", [Adversarial(), VAEGAN()], ids=lambda o: type(o).__name__)
def test_an_objective_that_has_not_met_its_data_says_so(objective: Any) -> None:
    vae, batch = pointed(MLP((2,), (4,), hidden=()), (4,), 2), Batch(torch.rand(5, 4))
    with pytest.raises(ValueError, match=rf"{type(objective).__name__} .*settle\(trace, count\)"):
        objective(vae(batch), batch)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12), (1, 4, 4), (6,)])
def test_the_judge_of_items_takes_any_shape(shape: tuple[int, ...]) -> None:
    mean = torch.rand(2, 3, *shape, requires_grad=True)
    q, p = Independent(Normal(torch.zeros(3, 2), 1.0), 1), Independent(Normal(torch.zeros(2), 1.0), 1)
    trace = Trace(Independent(Normal(mean, 1.0), len(shape)), (Latent(q.sample((2,)), q, p),))
    objective = VAEGAN(features=5, hidden=(4,))
    objective.settle(trace, 3)
    loss = objective(trace, Batch(torch.rand(3, *shape)))
    assert loss.opponent is not None
    (gradient,) = torch.autograd.grad(loss.value, mean)
    assert (gradient != 0).any()
