"""A label that may be known, beside z: on a mixture of linear-Gaussian models whose log p(x), log p(x, y) and p(y | x) scipy knows."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from vaeworks import VAE, Batch, Encoder
from vaeworks.check.gradients import directional_error
from vaeworks.check.linear_gaussian import LinearGaussian, linear_vae
from vaeworks.data import Options, open_data
from vaeworks.errors import RecipeError
from vaeworks.evaluation import log_prob
from vaeworks.latents import LATENTS, LabelledLatents, LabelPosterior
from vaeworks.networks import MLP
from vaeworks.objectives import ELBO, IWAE, SemiSupervised
from vaeworks.posteriors import POSTERIORS
from vaeworks.recipes import build_objective, build_trainer, build_vae, conditioned, load_recipe
from vaeworks.runs import Model, load

X, D, C = 5, 2, 3
linear = functools.partial(MLP, hidden=())


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@dataclass(frozen=True)
class Classes:
    """p(y) = 1 / C, p(z) = N(0, I), p(x | y, z) = N(x; W z + u_y + b, s^2): given y a linear-Gaussian model, and p(y | x) the softmax of something linear in x."""

    base: LinearGaussian
    offsets: Tensor
    """u, (C, X)."""

    @classmethod
    def random(cls) -> Classes:
        return cls(LinearGaussian.random(X, D), 0.7 * torch.randn(C, X, dtype=torch.float64))

    @property
    def covariance(self) -> np.ndarray:
        weight = self.base.weight.numpy()
        return np.asarray(weight @ weight.T + self.base.scale**2 * np.eye(X))

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(C, (n,))
        return self.base.sample(n) + self.offsets[labels], labels

    def log_joint(self, x: Tensor) -> np.ndarray:
        """log p(x, y), (B, C)."""
        means = (self.base.bias + self.offsets).numpy()
        return np.stack([scipy.stats.multivariate_normal(mean, self.covariance).logpdf(x.numpy()) for mean in means], -1) - math.log(C)

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.from_numpy(scipy.special.logsumexp(self.log_joint(x), axis=1))

    def vae(self, *, inflate: float = 1.0, sharpen: float = 1.0) -> VAE:
        """The model with its exact posteriors; q(z | x, y) with its scales times ``inflate``, q(y | x) with its log odds times ``sharpen``."""
        given_y, wide = self.base.vae(inflate=inflate), linear_vae(X, C + D, scale=self.base.scale).double()
        encoder = Encoder(given_y.encoder.network, given_y.encoder.posterior, mean=torch.zeros(X), context_size=C).double()
        latents = LabelledLatents(D, (X,), linear, C).double()
        precision = torch.from_numpy(np.linalg.inv(self.covariance))
        with torch.no_grad():
            encoder.shift.weight.copy_(-self.offsets.T)
            odds = self.offsets @ precision
            fill(latents.classifier, sharpen * odds, -sharpen * (odds * (self.base.bias + self.offsets / 2)).sum(-1))
            fill(wide.decoder.network, torch.cat([self.offsets.T, self.base.weight], 1), self.base.bias)
        return VAE(encoder, wide.decoder, given_y.prior, latents=latents)

    def elbo(self, x: Tensor, labels: Tensor, inflate: float, sharpen: float) -> Tensor:
        """The bound in closed form: on log p(x, y) where the label is known, on log p(x), with the sum over classes written out, where it is -1."""
        bounds = []
        for offset in self.offsets:
            mean, scale = self.base.posterior(x - offset)
            bounds.append(self.base.elbo(x - offset, mean, inflate * scale).numpy() - math.log(C))
        of_class, log_q = np.stack(bounds, -1), scipy.special.log_softmax(sharpen * self.log_joint(x), axis=1)
        unknown = (np.exp(log_q) * (of_class - log_q)).sum(1)
        return torch.from_numpy(np.where(labels.numpy() < 0, unknown, of_class[np.arange(len(x)), labels.numpy()]))


def fill(network: torch.nn.Module, weight: Tensor, bias: Tensor) -> None:
    (layer,) = (module for module in network.modules() if isinstance(module, torch.nn.Linear))
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def told(labels: Tensor) -> Tensor:
    """Context of labels, rows of zeros for -1."""
    return torch.eye(C, dtype=torch.float64)[labels] * (labels >= 0)[:, None]


def mixed(truth: Classes, n: int) -> tuple[Batch, Tensor]:
    """Items of which every other label is hidden."""
    x, labels = truth.sample(n)
    labels[::2] = -1
    return Batch(x, context=told(labels)), labels


def exact(truth: Classes, x: Tensor, labels: Tensor) -> Tensor:
    """log p(x, y) where the label is known, log p(x) where it is not."""
    return torch.from_numpy(np.where(labels.numpy() < 0, truth.log_prob(x).numpy(), truth.log_joint(x)[np.arange(len(x)), labels.numpy()]))


def test_classes_have_their_probability_by_bayes_rule() -> None:
    truth = Classes.random()
    batch, _ = mixed(truth, 20)
    vae = truth.vae()
    probs = vae.latents.classify(vae, batch).detach()
    np.testing.assert_allclose(probs.sum(1), 1)
    np.testing.assert_allclose(probs, scipy.special.softmax(truth.log_joint(batch.x), axis=1))


def test_at_the_exact_posteriors_every_weight_is_the_evidence() -> None:
    """Drawn samples: log w = log p(x) or log p(x, y), without variance. Listed ones: their mean weight is, and so is their bound by shares."""
    truth = Classes.random()
    batch, labels = mixed(truth, 8)
    vae, expected = truth.vae(), exact(truth, batch.x, labels)
    with torch.no_grad():
        drawn = vae(batch, 6)
    assert [tuple(latent.z.shape) for latent in drawn.latents] == [(6, 8, C), (6, 8, D)]
    np.testing.assert_allclose(drawn.log_weight(batch), np.tile(expected, (6, 1)))
    trace = vae(batch, 2)
    level, code = trace.latents
    assert isinstance(level.q, LabelPosterior)
    np.testing.assert_allclose(trace.log_weight(batch).detach().logsumexp(0) - math.log(2 * C), expected)
    share = level.q.share(level.z)
    np.testing.assert_allclose(share.sum(0).detach(), 1)
    bound = (share * (trace.log_likelihood(batch) + code.log_ratio())).sum(0) - level.q.divergence(level.p)
    np.testing.assert_allclose(bound.detach(), expected)


def test_importance_sampling_sums_the_label_out() -> None:
    truth = Classes.random()
    batch, labels = mixed(truth, 10)
    result = log_prob(truth.vae(), batch, 6)
    np.testing.assert_allclose(result.value, exact(truth, batch.x, labels))
    np.testing.assert_allclose(result.elbo, exact(truth, batch.x, labels))
    wide = log_prob(truth.vae(inflate=1.3, sharpen=0.3), batch, 9000)
    assert ((wide.value - exact(truth, batch.x, labels)).abs() < 4.5 * wide.standard_error).all()
    assert (wide.standard_error < 0.05).all()
    assert (wide.effective_sample_size <= 9000).all()
    np.testing.assert_allclose(wide.elbo, truth.elbo(batch.x, labels, 1.3, 0.3), atol=0.1)
    assert (wide.elbo < wide.value).all()
    assert log_prob(truth.vae(), batch, 1).value.isfinite().all()


def test_a_class_network_that_is_sure_of_the_wrong_class_costs_no_evidence() -> None:
    """Draws of q(y | x) would never meet the class that made the item; the sum over classes does."""
    truth = Classes.random()
    x, _ = truth.sample(10)
    result = log_prob(truth.vae(sharpen=-1000.0), Batch(x), 30)
    np.testing.assert_allclose(result.value, truth.log_prob(x))
    assert (result.elbo < result.value - 1).any()


def test_standard_errors_are_the_spread_of_repetitions() -> None:
    truth = Classes.random()
    x, _ = truth.sample(4)
    vae = truth.vae(inflate=1.5)
    runs = [log_prob(vae, Batch(x), 90) for _ in range(60)]
    spread, claimed = torch.stack([run.value for run in runs]).std(0), torch.stack([run.standard_error for run in runs]).mean(0)
    torch.testing.assert_close(spread, claimed, rtol=0.45, atol=0)


def test_the_objective_is_the_closed_form() -> None:
    truth = Classes.random()
    batch, labels = mixed(truth, 6)
    vae, objective = truth.vae(inflate=1.3, sharpen=0.3), SemiSupervised(alpha=0.7)
    with torch.enable_grad():
        losses = [objective(vae(batch, 40), batch) for _ in range(50)]
    elbo = torch.stack([loss.terms["elbo"] for loss in losses])
    expected = truth.elbo(batch.x, labels, 1.3, 0.3)
    assert ((elbo.mean(0) - expected).abs() < 4.5 * elbo.std(0) / 50**0.5 + 1e-9).all()
    assert (expected < exact(truth, batch.x, labels)).all()
    known = labels >= 0
    log_q = scipy.special.log_softmax(0.3 * truth.log_joint(batch.x), axis=1)[known.numpy(), labels[known].numpy()]
    np.testing.assert_allclose(losses[0].terms["cross_entropy"], np.full(6, -log_q.mean()))
    value = torch.stack([loss.value.detach() for loss in losses])
    assert abs(value.mean() + expected.mean() + 0.7 * log_q.mean()) < 4.5 * value.std() / 50**0.5
    with torch.no_grad():
        drawn = torch.stack([objective(vae(batch, 40), batch).terms["elbo"] for _ in range(50)])
    assert ((drawn.mean(0) - expected).abs() < 4.5 * drawn.std(0) / 50**0.5 + 1e-9).all()


def test_its_gradient_agrees_with_finite_differences() -> None:
    truth = Classes.random()
    batch, _ = mixed(truth, 6)
    vae, objective = truth.vae(inflate=1.3, sharpen=0.3), SemiSupervised(alpha=0.7, samples=2)
    assert directional_error(vae, objective, batch, step=1e-5) < 1e-6
    objective.labelled = 0.1
    assert directional_error(vae, objective, batch, step=1e-5) < 1e-6
    loss = objective(vae(batch, 2), batch).value
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(loss, list(vae.latents.parameters())))


def test_objectives_that_know_of_no_label_still_give_bounds() -> None:
    truth = Classes.random()
    batch, labels = mixed(truth, 6)
    vae = truth.vae(inflate=1.2, sharpen=0.5)
    evidence = exact(truth, batch.x, labels)
    listed = ELBO(analytic=False)(vae(batch, 2000), batch).terms["elbo"].mean(0)
    assert (listed < evidence).all()
    with torch.no_grad():
        drawn = ELBO()(vae(batch, 4000), batch).terms["elbo"]
    error = 4.5 * drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - truth.elbo(batch.x, labels, 1.2, 0.5)).abs() < error).all()
    bound = IWAE()(vae(batch, 3000), batch).terms["iwae"]
    np.testing.assert_allclose(bound.numpy(), evidence, atol=0.1)


def test_codes_and_samples_follow_the_label() -> None:
    truth = Classes.random()
    batch, labels = mixed(truth, 6)
    vae = truth.vae()
    with torch.no_grad():
        codes = vae.latents.means(vae, batch)
        best = np.where(labels.numpy() >= 0, labels.numpy(), truth.log_joint(batch.x).argmax(1))
        np.testing.assert_allclose(codes[:, :C], np.eye(C)[best])
        mean, _ = truth.base.posterior(batch.x - truth.offsets[best])
        torch.testing.assert_close(codes[:, C:], mean)
        drawn = vae.latents.generate(vae.prior, 3000)
        counts = drawn[:, :C].sum(0).numpy()
        assert scipy.stats.chisquare(counts.astype(float)).pvalue > 1e-4
        asked = vae.latents.generate(vae.prior, 4, told(torch.tensor([2, 2, 0, 1])).float())
        np.testing.assert_allclose(asked[:, :C], np.eye(C)[[2, 2, 0, 1]])
        x = vae.generate(20_000, told(torch.ones(20_000, dtype=torch.long))).sample()
    np.testing.assert_allclose(x.mean(0), truth.base.bias + truth.offsets[1], atol=0.06)
    np.testing.assert_allclose(np.cov(x.numpy().T), truth.covariance, atol=0.12)


def test_what_is_missing_reaches_neither_value_nor_gradient() -> None:
    truth = Classes.random()
    (batch, _), vae = mixed(truth, 6), truth.vae()
    observed, results = torch.rand(6, X) < 0.6, []
    for filling in (torch.nan, 7.0):
        torch.manual_seed(1)
        part = Batch(batch.x.masked_fill(~observed, filling), observed, batch.context)
        loss = SemiSupervised()(vae(part, 2), part).value
        results.append([loss, *torch.autograd.grad(loss, list(vae.parameters())), vae.latents.means(vae, part), log_prob(vae, part, 6).value])
    for first, second in zip(*results, strict=True):
        assert first.isfinite().all()
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", sorted(name for name, part in POSTERIORS.items() if part.space == "flat" and name != "point"))
def test_every_posterior_of_a_flat_space_stands_below_the_label(name: str) -> None:
    posterior = POSTERIORS[name](D)
    encoder = Encoder(MLP((X,), posterior.parameter_shape, hidden=(6,)), posterior, mean=torch.zeros(X), context_size=C)
    vae = VAE(encoder, linear_vae(X, C + D).decoder, LinearGaussian.random(X, D).vae().prior, latents=LabelledLatents(D, (X,), linear, C))
    batch = Batch(torch.randn(4, X), context=told(torch.tensor([0, -1, 2, -1])).float())
    loss = SemiSupervised()(vae(batch, 2), batch)
    loss.value.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in vae.latents.parameters())
    assert log_prob(vae, batch, 30).value.isfinite().all()


def test_it_stands_on_its_axis() -> None:
    assert LATENTS["labelled"] is LabelledLatents
    with pytest.raises(ValueError, match="y is one of 1 classes, and two at least"):
        LabelledLatents(D, (X,), linear, 1)
    vae = Classes.random().vae()
    with pytest.raises(ValueError, match="context of 3 numbers an item, and one of shape"):
        vae(Batch(torch.zeros(2, X).double(), context=torch.zeros(2, 4)))


CONTRADICTIONS = {
    ("context=none",): r"latents.kind = 'labelled' and context = 'none' do not go together",
    ("latents.kind=flat",): r"latents.kind = 'flat' and context = 'partial-label' do not go together",
    ("prior.kind=vamp",): "pseudo-inputs",
    ("objective.kind=elbo",): r"objective.kind = 'elbo' gives q\(y \| x\) no gradient: use objective.kind = 'semi-supervised'",
    ("latents.kind=flat", "context=none"): r"objective.kind = 'semi-supervised' weighs labels, which latents.kind = 'flat' does not infer",
}


@pytest.mark.parametrize("overrides", CONTRADICTIONS)
def test_parts_that_contradict_each_other(overrides: tuple[str, ...]) -> None:
    schema, recipe = open_data("digits", options=Options(limit=60)).schema, load_recipe("m2", overrides)

    def build() -> None:
        build_vae(recipe, schema)
        build_objective(recipe)

    with pytest.raises(RecipeError, match=CONTRADICTIONS[overrides]):
        build()


def test_learns_the_digits_from_few_labels_and_is_used_as_any_model(tmp_path: Path) -> None:
    """30 labels of the 8 x 8 digits; and neither codes nor log p(x) of held-out items look at theirs."""

    data = open_data("digits", options=Options(labels=30))
    small = ["latent_size=10", "encoder.hidden=[100]", "decoder.hidden=[100]", "training.epochs=20", "training.learning_rate=3e-3"]
    recipe = load_recipe("m2", small).with_likelihood("discretised-logistic")
    data = replace(data, schema=conditioned(recipe, data.schema))
    vae = build_vae(recipe, data.schema)
    build_trainer(recipe).fit(vae, build_objective(recipe), data)
    model = Model(vae, data.schema, recipe)
    truth = data.test.labels
    assert truth is not None
    figures = model.evaluate(data.test, samples=20).figures
    guesses = vae.latents.classify(vae, Batch(data.schema.to_x(data.test.values))).argmax(1)
    assert figures["accuracy"].value == pytest.approx(float((guesses == truth).double().mean()))
    assert figures["accuracy"].value > 0.5

    unlabelled = replace(data.test, labels=None)
    assert torch.equal(model.encode(data.test), model.encode(unlabelled))
    assert torch.equal(model.log_prob(data.test, 20).value, model.log_prob(unlabelled, 20).value)
    assert model.reconstruct(data.test).shape == (len(data.test), 1, 8, 8)
    assert model.sample(5, seed=1, given={"label": 7}).shape == (5, 1, 8, 8)
    model.save(tmp_path / "m")
    assert torch.equal(load(tmp_path / "m").sample(5, seed=1), model.sample(5, seed=1))


def test_terms_of_an_unknown_label_are_those_of_each_class_by_its_probability() -> None:
    """sum over classes of p(y | x) E[log p(x_i | y, z)] under p(z | x, y) = N(m, C): log N(x_i; w_i m + u_y + b, s^2) - w_i C w_i / 2 s^2."""
    truth = Classes.random()
    x, _ = truth.sample(6)
    found = log_prob(truth.vae(inflate=1.1), Batch(x), 9000, terms=True, seeds=range(6))
    odds, expected = scipy.special.softmax(truth.log_joint(x), axis=1), np.zeros((6, X))
    weight = truth.base.weight
    for y, offset in enumerate(truth.offsets):
        mean, scale = truth.base.posterior(x - offset)
        spread = (weight.square() @ scale.square()) / (2 * truth.base.scale**2)
        log_p = scipy.stats.norm((mean @ weight.T + offset + truth.base.bias).numpy(), truth.base.scale).logpdf(x.numpy())
        expected += odds[:, [y]] * (log_p - spread.numpy())
    assert found.terms is not None
    np.testing.assert_allclose(found.terms, expected, atol=0.06)
    np.testing.assert_allclose(found.value, truth.log_prob(x), atol=0.01)
