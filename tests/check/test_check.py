"""The self-check passes here, and each of its topics can fail: a defect put in by hand is found by the check that should find it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from vaeworks.check import CHECKS, CheckResult, Setting, run_checks
from vaeworks.check import bounds as bounds_topic
from vaeworks.check import estimators as estimators_topic
from vaeworks.check import importance as importance_topic
from vaeworks.check import probabilistic_pca as pca_topic
from vaeworks.check.normalisation import SUPPORTS
from vaeworks.check.quadrature import nodes, product
from vaeworks.check.result import compare
from vaeworks.distributions import ContinuousBernoulli, Factorised, GridCategorical, tokens
from vaeworks.distributions.flows import Bijection
from vaeworks.distributions.planar import PlanarStep
from vaeworks.evaluation import LogProb, log_prob
from vaeworks.likelihoods import LIKELIHOODS
from vaeworks.networks.sequences import Conditioned
from vaeworks.objectives import ELBO, base, iwae
from vaeworks.objectives.paths import by_way_of_z, log_q_of_z
from vaeworks.signals import FilterBank
from vaeworks.trace import Trace


def failures(topic: str) -> set[str]:
    torch.manual_seed(0)
    return {result.name for result in CHECKS[topic](Setting.on("cpu")) if not result.passed}


def test_everything_passes_here_and_leaves_the_random_stream_alone() -> None:
    before = torch.random.get_rng_state()
    topics: list[str] = []
    results = run_checks(progress=topics.append)
    assert [f"{r.name}: {r.measured} against {r.expected}, tolerance {r.tolerance}; {r.compares}" for r in results if not r.passed] == []
    assert topics == list(CHECKS)
    assert {result.name.split(":")[0] for result in results} == set(CHECKS)
    assert len({result.name for result in results}) == len(results)
    assert all(result.seconds >= 0 for result in results)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("topic", [topic for topic in CHECKS if topic != "probabilistic PCA"])
def test_passes_in_single_precision_too(topic: str) -> None:
    """As on a device without float64."""
    torch.manual_seed(0)
    assert [result for result in CHECKS[topic](Setting(torch.device("cpu"), torch.float32)) if not result.passed] == []


def test_a_check_that_raises_has_failed_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(setting: Setting) -> Iterator[CheckResult]:
        raise RuntimeError("no such kernel")
        yield

    for topic in list(CHECKS):
        monkeypatch.delitem(CHECKS, topic)

    def sound(setting: Setting) -> Iterator[CheckResult]:
        yield compare("sound: one", "", 1, 1, 0)

    monkeypatch.setitem(CHECKS, "broken", broken)
    monkeypatch.setitem(CHECKS, "sound", sound)
    broken_result, sound_result = run_checks()
    assert not broken_result.passed
    assert "no such kernel" in broken_result.compares
    assert sound_result.passed


def test_nan_never_passes() -> None:
    assert not compare("", "", math.nan, math.nan, math.inf).passed
    assert compare("", "", 1.0, 1.5, 0.5).passed
    assert not compare("", "", 1.0, 1.5, 0.49).passed


def test_every_likelihood_is_checked() -> None:
    assert set(SUPPORTS) == set(LIKELIHOODS)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_quadrature_on_the_real_line(scale: float) -> None:
    x, weight = nodes("real", centre=0.7)
    for density in (scipy.stats.norm(0.7, scale), scipy.stats.laplace(0.7, scale)):
        assert (weight.numpy() * density.pdf(x.numpy())).sum() == pytest.approx(1, abs=1e-9)


def test_quadrature_on_the_unit_interval_and_in_two_dimensions() -> None:
    (x, log_weight), (line, _) = product([nodes("unit"), nodes("unit")]), nodes("unit")
    assert len(x) == len(line) ** 2
    measured = (log_weight.exp() * torch.exp(3 * x[:, 0] - 80 * x[:, 1])).sum().item()
    assert measured == pytest.approx(math.expm1(3) / 3 * -math.expm1(-80) / 80, rel=1e-10)


# Defects, one by one.


@pytest.mark.parametrize("map_", ["forward", "inverse"])
def test_finds_a_wrong_log_determinant(monkeypatch: pytest.MonkeyPatch, map_: str) -> None:
    right = Bijection.forward

    def wrong(self: Bijection, value: Tensor, context: Tensor | None, to_code: bool) -> tuple[Tensor, Tensor]:
        image, log_det = right(self, value, context, to_code)
        return image, log_det if to_code != (map_ == "forward") else 0.9 * log_det

    monkeypatch.setattr(Bijection, "forward", wrong)
    suffix = "" if map_ == "forward" else ", inverse"
    assert failures("flows") == {f"flows: {kind}{suffix}" for kind in ("realnvp", "maf", "iaf", "spline")}


def test_finds_a_planar_step_without_its_determinant(monkeypatch: pytest.MonkeyPatch) -> None:
    right = PlanarStep.__call__
    monkeypatch.setattr(PlanarStep, "__call__", lambda self, z: (right(self, z)[0], torch.zeros_like(z[..., 0])))
    assert failures("flows") == {"flows: planar"}


def test_finds_a_mean_in_place_of_the_log_of_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iwae, "log_mean_exp", lambda log_w, dim=0: log_w.mean(dim))
    assert failures("objectives") >= {"objectives: IWAE", "objectives: DReG", "objectives: order"}


def test_finds_a_kl_that_is_averaged_over_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "kl_divergence", lambda q, p: kl_divergence(q, p) / 2)
    assert failures("objectives") >= {"objectives: ELBO", "objectives: beta-VAE", "objectives: GECO", "objectives: DIP-VAE", "objectives: MS-SSIM"}


def test_finds_a_doubly_reparameterised_gradient_with_the_wrong_power(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights v in place of v^2: biased for more than one sample, and of another order."""

    def wrong(trace: Trace, parts: Any, beta: float) -> Tensor:
        share = parts.log_w.detach().softmax(0)
        joint = (share * parts.log_joint).sum(0).mean()
        loss: Tensor = -joint - by_way_of_z((share * (parts.log_joint - beta * log_q_of_z(trace.latents))).sum(0).mean() - joint, trace.latents)
        return loss

    monkeypatch.setattr(iwae, "_doubly_reparameterised", wrong)
    assert failures("gradient estimators") >= {"gradient estimators: DReG, mean", "gradient estimators: dreg, order"}


def test_finds_a_score_that_was_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain gradient under another name is unbiased, and does not vanish where it should."""
    monkeypatch.setattr(estimators_topic, "ELBO", lambda **_: ELBO(analytic=False))
    assert failures("gradient estimators") == {"gradient estimators: STL, exact posterior"}


def test_finds_draws_of_a_posterior_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.distributions.Normal.rsample
    monkeypatch.setattr(torch.distributions.Normal, "rsample", lambda self, shape=(): torch.lerp(self.mean, right(self, shape), 0.9))
    assert failures("calibration") >= {"calibration: exact posterior", "calibration: too narrow"}


def test_finds_a_missing_normalising_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContinuousBernoulli, "log_normaliser", lambda self: torch.zeros_like(self.logits))
    assert failures("normalisation") == {"normalisation: continuous-bernoulli"}


def test_finds_a_softmax_over_the_wrong_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: GridCategorical, value: Tensor) -> Tensor:
        level = (value * (self.levels - 1)).round().long()
        return self.logits.log_softmax(0).expand(*level.shape, self.levels).gather(-1, level[..., None])[..., 0]

    monkeypatch.setattr(GridCategorical, "log_prob", wrong)
    assert failures("normalisation") == {"normalisation: categorical"}


def test_finds_a_mean_over_coordinates_in_place_of_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Factorised.log_prob
    monkeypatch.setattr(Factorised, "log_prob", lambda self, value: right(self, value) / self.event_shape.numel())
    assert len(failures("normalisation")) == len(LIKELIHOODS) - 3  # the mixture, sounds and strings do not factorise
    assert "importance sampling: value" in failures("importance sampling")


def test_finds_padding_that_counts_a_cache_that_lags_and_a_bank_that_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong as it is; each defect is told by the checks that it breaks, and by no others."""
    assert failures("sequences") == set()
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "through_end", lambda x, *_: torch.ones_like(x, dtype=torch.bool))
        assert {f"sequences: {name}, padding" for name in ("gru", "lstm", "transformer")} <= failures("sequences")
    with monkeypatch.context() as patch:
        right = Conditioned.step
        patch.setattr(Conditioned, "step", lambda self, state, _, t: right(self, state, None, t))
        assert failures("sequences") == {f"sequences: {name}, cached decoding" for name in ("gru", "lstm", "transformer")}
    with monkeypatch.context() as patch:
        whole = FilterBank.synthesise_block
        patch.setattr(
            FilterBank, "synthesise_block", lambda self, y, past: whole(self, y * torch.linspace(0.99, 1.01, y.shape[1]).to(y)[:, None], past)
        )
        assert failures("sequences") == {"sequences: filter bank, 16 bands", "sequences: filter bank, cosine transform"}


def test_finds_chains_that_forget_the_momentum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proposals accepted whatever the energy: the estimate is no longer one of log p(x)."""
    monkeypatch.setattr(torch, "log", lambda *_: torch.tensor(-math.inf))
    assert "annealed importance sampling: sandwich" in failures("annealed importance sampling")


@pytest.mark.parametrize("factor", [-1.0, 0.5], ids=["wrong sign", "mean over dimensions"])
def test_finds_a_wrong_kl(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    monkeypatch.setattr(base, "kl_divergence", lambda q, p: factor * kl_divergence(q, p))
    assert failures("divergences") >= {"divergences: formula", "divergences: diagonal to standard-normal", "divergences: full to standard-normal"}
    assert failures("bounds") == {"bounds: ELBO"}


def test_finds_samples_that_carry_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.distributions.Normal.rsample
    monkeypatch.setattr(torch.distributions.Normal, "rsample", lambda self, shape=(): right(self, shape).detach())
    assert failures("gradients") >= {"gradients: diagonal"}


def test_finds_importance_weights_without_the_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trace, "log_ratio", lambda self: self.latents[0].p.log_prob(self.latents[0].z))
    assert {"importance sampling: value", "importance sampling: bias"} <= failures("importance sampling")
    assert "bounds: K = 1024" in failures("bounds")


def altered(change: Callable[[LogProb], LogProb]) -> Any:
    return lambda *args, **knobs: change(log_prob(*args, **knobs))


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_finds_a_standard_error_that_misstates_itself(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    monkeypatch.setattr(importance_topic, "log_prob", altered(lambda result: replace(result, standard_error=factor * result.standard_error)))
    assert failures("importance sampling") == {"importance sampling: spread", "importance sampling: coverage"}


def test_finds_a_bias_of_a_fraction_of_the_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance_topic, "log_prob", altered(lambda result: replace(result, value=result.value + 0.25 * result.standard_error)))
    assert failures("importance sampling") == {"importance sampling: bias"}


def test_finds_a_many_sample_bound_that_is_the_plain_elbo(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a softmax over items in place of samples amounts to."""
    monkeypatch.setattr(bounds_topic, "log_prob", altered(lambda result: replace(result, value=result.elbo)))
    assert "bounds: K = 1024" in failures("bounds")


def test_finds_a_sum_over_samples_in_place_of_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds_topic, "log_prob", altered(lambda result: replace(result, value=result.value + math.log(result.samples))))
    assert failures("bounds") == {"bounds: K = 1024"}


def test_finds_an_objective_that_is_not_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pca_topic, "ELBO", partial(ELBO, beta=1.2))
    assert "probabilistic PCA: bound" in failures("probabilistic PCA")
