"""Every prior: a density over codes with samples that follow it, its context heeded or ignored as it says, temperature and state."""

import copy
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vaeworks.data import Items
from vaeworks.distributions.mixture import Mixture
from vaeworks.distributions.wrapped_normal import log_origin
from vaeworks.evaluation import evaluate
from vaeworks.latents import FlatLatents
from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.model import VAE, Decoder, Encoder, ImageSchema
from vaeworks.networks import MLP
from vaeworks.objectives import ELBO
from vaeworks.posteriors import DiagonalNormalPosterior, Posterior
from vaeworks.priors import PRIORS, FlowPrior, MixturePrior, Prior, VampPrior
from vaeworks.trace import Batch

# One entry per registry line is what a new prior owes: its knobs.
CASES: dict[str, list[dict[str, object]]] = {
    "standard-normal": [{}],
    "conditional-normal": [{}, {"hidden": ()}],
    "mixture": [{"components": 1}, {"components": 4}],
    "vamp": [{"components": 7}],
    "realnvp": [{"transforms": 2, "hidden": (8,)}],
    "maf": [{"transforms": 2, "hidden": (8,)}],
    "iaf": [{"transforms": 2, "hidden": (8,)}],
    "spline": [{"transforms": 2, "hidden": (8,)}],
    "sphere": [{}],
    "wrapped-normal": [{}, {"curvature": 0.5}],
}
HEEDLESS = {"standard-normal", "sphere", "wrapped-normal"}  # the same whatever the context
CURVED = {"sphere", "wrapped-normal"}  # densities not over all of the plane: they have laws of their own
law = pytest.mark.parametrize(("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n, all_ in CASES.items() for i, k in enumerate(all_)])
flat = pytest.mark.parametrize(
    ("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n, all_ in CASES.items() if n not in CURVED for i, k in enumerate(all_)]
)
conditional = pytest.mark.parametrize(("name", "knobs"), [pytest.param(n, all_[-1], id=n) for n, all_ in CASES.items() if n not in HEEDLESS])
SHAPE = (1, 2, 2)


def encoder_for(latent_size: int, context_size: int = 0) -> Encoder:
    posterior = DiagonalNormalPosterior(latent_size)
    return Encoder(MLP(SHAPE, posterior.parameter_shape, hidden=(5,)), posterior, mean=torch.full(SHAPE, 0.5), context_size=context_size).to(
        torch.get_default_dtype()
    )


def build(name: str, knobs: dict[str, object], latent_size: int = 2, context_size: int = 0) -> Prior:
    """A prior that has moved from where it started."""
    prior = PRIORS[name](latent_size, context_size, **knobs).eval()
    encoder = encoder_for(latent_size, context_size)
    prior.join(encoder)
    with torch.no_grad():
        for parameter in (*prior.parameters(), *encoder.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))
        if isinstance(prior, VampPrior):
            prior.pseudo_inputs.clamp_(0.05, 0.95)
    return prior


def plane(p: Distribution, item: int | None = None, *, half: float = 12.0, cells: int = 480) -> tuple[Tensor, float]:
    """p's log density in the middle of each cell of a grid over the plane, (cells, cells), for one item of a batch; the area of a cell."""
    step = 2 * half / cells
    axis = -half + step * (torch.arange(cells) + 0.5)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        parts = [p.log_prob(part) if item is None else p.log_prob(part[:, None].expand(-1, *p.batch_shape, -1))[:, item] for part in z.split(4000)]
    return torch.cat(parts).view(cells, cells), step**2


def test_every_prior_is_under_law() -> None:
    assert set(CASES) == set(PRIORS)


@flat
def test_integrates_to_one(name: str, knobs: dict[str, object]) -> None:
    p = build(name, knobs)()
    assert (p.batch_shape, p.event_shape) == ((), (2,))
    log_p, area = plane(p, half=20.0, cells=500)
    assert float(log_p.exp().sum() * area) == pytest.approx(1, abs=1e-3 if name == "spline" else 1e-5)


@flat
def test_samples_follow_the_density(name: str, knobs: dict[str, object]) -> None:
    """Chi-square over squares of half a unit, whose masses are sums over the cells of a finer grid."""
    p = build(name, knobs)()
    log_p, area = plane(p)
    mass = 5000 * (log_p.exp() * area).view(48, 10, 48, 10).sum((1, 3)).flatten()
    z = p.sample((5000,))
    assert z.shape == (5000, 2)
    square = ((z + 12) * 2).floor().long().clamp(0, 47)
    counts = torch.bincount(48 * square[:, 0] + square[:, 1], minlength=48**2).to(mass)
    common = mass >= 5
    observed, expected = (np.append(v[common].numpy(), 5000 - float(v[common].sum())) for v in (counts, mass))
    assert common.sum() > 20
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


@law
def test_mean_is_the_mean_of_the_samples(name: str, knobs: dict[str, object]) -> None:
    with torch.no_grad():
        p = build(name, knobs)()
        z = p.sample((20000,))
        assert ((z.mean(0) - p.mean).abs() < 4.5 * z.std(0) / 20000**0.5 + (0.01 if isinstance(build(name, knobs), FlowPrior) else 0)).all()


@law
@pytest.mark.parametrize("context", [None, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_generates_with_and_without_context(name: str, knobs: dict[str, object], context: int | None, temperature: float) -> None:
    """A prior built without a context leaves one alone; one built with it draws a code for each."""
    given = None if context is None else torch.randn(6, context)
    for prior in (build(name, knobs), build(name, knobs, context_size=context or 0)):
        z = FlatLatents().generate(prior, 6, given, temperature)
        assert z.shape == (6, 2)
        assert z.isfinite().all()


@law
def test_temperature_scales_the_deviation_from_the_centre(name: str, knobs: dict[str, object]) -> None:
    """Under the same noise. The centre is the mean, in a mixture that of the code's own component; a flow scales its noise, the ball the distance."""
    if name == "sphere":
        pytest.skip("no point of a sphere is its centre")
    prior = build(name, knobs)
    draws = []
    for temperature in (0.0, 0.5, 1.0):
        torch.manual_seed(1)
        draws.append(FlatLatents().generate(prior, 50, temperature=temperature).detach())
    if isinstance(prior, FlowPrior):
        draws = [prior.flow.bijection(z, None, False)[0] for z in draws]
    if name == "wrapped-normal":
        draws = [log_origin(z, prior.curvature) for z in draws]
    none, half, full = draws
    torch.testing.assert_close(half - none, 0.5 * (full - none), atol=1e-8, rtol=1e-6)
    assert (full - none).abs().min() > 0
    p = prior()
    if isinstance(p, Mixture):
        means = p.components.mean
        assert ((none[:, None] == means).all(-1).any(1)).all()
        assert len(none.unique(dim=0)) > len(means) / 2  # every mode is visited: they are not averaged
    else:
        torch.testing.assert_close(none, (torch.zeros(2) if isinstance(prior, FlowPrior) else p.mean).expand(50, 2), atol=1e-8, rtol=0)


@law
def test_finite_far_out_and_state_round_trips(name: str, knobs: dict[str, object]) -> None:
    first = build(name, knobs).float()
    second = PRIORS[name](2, **knobs).float()
    encoder = first.met[0].float() if isinstance(first, VampPrior) else encoder_for(2)
    second.join(encoder)
    second.load_state_dict(first.state_dict())
    z = torch.tensor([[100.0, 100.0], [0.0, -100.0], [0.0, 0.0]], dtype=torch.float32, requires_grad=True)
    torch.testing.assert_close(first().log_prob(z), second().log_prob(z), atol=0, rtol=0)
    log_p = first().log_prob(z)
    gradients = torch.autograd.grad(log_p.sum(), [z, *first.parameters()], allow_unused=True, materialize_grads=True)
    assert log_p.isfinite().all()
    assert log_p.dtype == torch.float32
    assert all(gradient.isfinite().all() for gradient in gradients)


@law
def test_gradient_is_that_of_the_density(name: str, knobs: dict[str, object]) -> None:
    """Against finite differences along random directions in codes and parameters."""
    prior, z = build(name, knobs), (0.3 * torch.randn(3, 2)).requires_grad_()
    leaves = [z, *prior.parameters()]
    gradients = torch.autograd.grad(prior().log_prob(z).sum(), leaves, allow_unused=True, materialize_grads=True)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        direction, values = torch.randn_like(leaf), []
        with torch.no_grad():
            for step in (1e-5, -2e-5, 1e-5):  # there, across, and back
                leaf.add_(step * direction)
                values.append(float(prior().log_prob(z).sum()))
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-5, abs=1e-6)


@conditional
def test_each_context_has_a_density_of_its_own(name: str, knobs: dict[str, object]) -> None:
    prior, context = build(name, knobs, context_size=3), torch.randn(4, 3)
    p = prior(context)
    assert (p.batch_shape, p.event_shape) == ((4,), (2,))
    assert p.sample().shape == p.mean.shape == (4, 2)
    assert p.sample((5,)).shape == (5, 4, 2)
    z = torch.randn(5, 4, 2)
    together = p.log_prob(z)
    assert together.shape == (5, 4)
    for b in range(4):
        torch.testing.assert_close(prior(context[b : b + 1]).log_prob(z[:, b : b + 1]), together[:, b : b + 1])
    everywhere = p.log_prob(torch.randn(2).expand(4, 2))
    assert len(everywhere.unique()) == 4
    log_p, area = plane(p, 2, half=15.0, cells=150)
    assert float(log_p.exp().sum() * area) == pytest.approx(1, abs=1e-2)


@conditional
@pytest.mark.parametrize("context", [None, 2])
def test_a_context_that_is_missing_is_missed(name: str, knobs: dict[str, object], context: int | None) -> None:
    prior = build(name, knobs, context_size=3)
    with pytest.raises(ValueError, match="conditional on a context of 3 numbers"):
        prior(None if context is None else torch.randn(4, context))


@conditional
def test_samples_of_a_context_have_its_mean(name: str, knobs: dict[str, object]) -> None:
    with torch.no_grad():
        p = build(name, knobs, context_size=3)(torch.randn(3, 3))
        z = p.sample((8000,))
    assert ((z.mean(0) - p.mean).abs() < 4.5 * z.std(0) / 8000**0.5 + 0.01).all()


@pytest.mark.parametrize("heedless", sorted(HEEDLESS))
def test_a_heedless_prior_is_the_same_whatever_the_context(heedless: str) -> None:
    prior, z = build(heedless, {}, context_size=3), 0.3 * torch.randn(4, 2)
    torch.testing.assert_close(prior(torch.randn(4, 3)).log_prob(z), prior().log_prob(z))


def test_conditional_normal_starts_as_the_standard_normal() -> None:
    z, standard = torch.randn(5, 2), Normal(0.0, 1.0)
    for prior, context in ((PRIORS["conditional-normal"](2), None), (PRIORS["conditional-normal"](2, 3), torch.randn(5, 3))):
        torch.testing.assert_close(prior(context).log_prob(z), standard.log_prob(z).sum(-1))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_sphere_is_uniform(size: int) -> None:
    """The density is one over the area; a coordinate t of a sphere's points has (1 + t) / 2 ~ Beta((D - 1) / 2, (D - 1) / 2)."""
    p = build("sphere", {}, size)()
    z = p.sample((5000,))
    area = {2: 2 * math.pi, 3: 4 * math.pi, 5: 8 * math.pi**2 / 3}[size]
    torch.testing.assert_close(p.log_prob(z), torch.full((5000,), -math.log(area)))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(5000))
    for coordinate in ((1 + z) / 2).T.numpy():
        assert scipy.stats.kstest(coordinate, scipy.stats.beta((size - 1) / 2, (size - 1) / 2).cdf).pvalue > 1e-3


def test_sphere_of_one_dimension_is_none() -> None:
    with pytest.raises(ValueError, match=r"latent_size=1: .* at least two"):
        PRIORS["sphere"](1)


@pytest.mark.parametrize("curvature", [0.5, 1.0, 2.0])
def test_wrapped_normal_on_the_ball(curvature: float) -> None:
    """It integrates to one over the disk, and its distances from the origin, 2 atanh(sqrt(c) r) / sqrt(c), follow the chi distribution."""
    p, root = build("wrapped-normal", {"curvature": curvature})(), curvature**0.5

    def ring(r: float) -> float:
        return 2 * math.pi * r * float(p.log_prob(torch.tensor([r, 0.0])).exp())

    assert scipy.integrate.quad(ring, 0, 1 / root)[0] == pytest.approx(1, abs=1e-6)
    z = p.sample((5000,))
    distance = 2 * torch.atanh(root * z.norm(dim=1)) / root
    assert scipy.stats.kstest(distance.numpy(), scipy.stats.chi(2).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(torch.atan2(z[:, 0], z[:, 1]).numpy(), scipy.stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3


# Mixtures: against torch's own, and torch's against nothing of ours.


def torch_mixture(logits: Tensor, components: Distribution) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=logits), components)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_both_ways_to_a_mixture_agree_with_torch(batch: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Diagonal normals go by matrix products, other families piece by piece, here a few rows at a time."""
    logits, loc, scale = torch.randn(*batch, 5), 2 * torch.randn(*batch, 5, 4), 0.05 + torch.rand(*batch, 5, 4)
    z = torch.randn(6, 3, 4)
    expected = torch_mixture(logits, Independent(Normal(loc, scale), 1)).log_prob(z)
    quick = Mixture(logits, Independent(Normal(loc.reshape(-1, 4), scale.reshape(-1, 4)), 1))
    torch.testing.assert_close(quick.log_prob(z), expected)
    torch.testing.assert_close(quick.mean, (logits.softmax(-1)[..., None] * loc).sum(-2))

    monkeypatch.setattr("vaeworks.distributions.mixture.ROOM", 50)
    slow = Mixture(logits, MultivariateNormal(loc.reshape(-1, 4), scale_tril=torch.diag_embed(scale.reshape(-1, 4))))
    torch.testing.assert_close(slow.log_prob(z), expected)
    torch.testing.assert_close(slow.log_prob(z[0, 0]), torch_mixture(logits, Independent(Normal(loc, scale), 1)).log_prob(z[0, 0]))
    assert slow.sample((6, 2)).shape == (6, 2, *batch, 4)


def test_quick_way_is_exact_in_single_precision() -> None:
    """Narrow components far from the origin, where z'P z - 2 z'P m + m'P m cancels to a millionth of its terms."""
    loc, scale = 30 + torch.randn(8, 16), torch.full((8, 16), 1e-3)
    z = loc[3] + 1e-3 * torch.randn(5, 16)
    loc, scale, z = loc.float(), scale.float(), z.float()
    exact = torch_mixture(torch.zeros(8), Independent(Normal(loc.double(), scale.double()), 1)).log_prob(z.double())
    quick = Mixture(torch.zeros(8, dtype=torch.float32), Independent(Normal(loc, scale), 1)).log_prob(z)
    assert quick.dtype == torch.float32
    torch.testing.assert_close(quick.double(), exact, atol=1e-3, rtol=1e-6)


def test_samples_of_each_component_are_independent() -> None:
    """No draw is used twice, however unequal the weights, and components come as often as they weigh."""
    logits, loc = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([[-50.0], [0.0], [50.0]])
    z = Mixture(logits, Independent(Normal(loc, torch.ones(3, 1)), 1)).sample((20000,))[:, 0]
    assert len(z.unique()) == 20000
    counts = torch.stack([(z < -25).sum(), ((z > -25) & (z < 25)).sum(), (z > 25).sum()])
    assert scipy.stats.chisquare(counts.numpy(), 20000 * logits.softmax(0).numpy()).pvalue > 1e-3
    low = z[z < -25] + 50
    assert scipy.stats.kstest(low.numpy(), scipy.stats.norm.cdf).pvalue > 1e-3
    assert abs(float(np.corrcoef(low[1:], low[:-1])[0, 1])) < 4.5 / len(low) ** 0.5


def test_mixture_starts_near_the_standard_normal_with_components_that_differ() -> None:
    prior = MixturePrior(6, components=200)
    z = prior().sample((20000,))
    assert (torch.cov(z.T) - torch.eye(6)).abs().max() < 0.15
    assert torch.pdist(prior.means).min() > 0


# The VampPrior and the encoder that it meets.


def vamp_vae(components: int = 7, posterior: Posterior | None = None, context_size: int = 0, prior: Prior | None = None) -> VAE:
    posterior = posterior or DiagonalNormalPosterior(2)
    encoder = Encoder(MLP(SHAPE, posterior.parameter_shape, hidden=(5,)), posterior, mean=torch.full(SHAPE, 0.5), context_size=context_size)
    likelihood = GaussianLikelihood(SHAPE, 0)
    decoder = Decoder(MLP((2 + context_size,), likelihood.parameter_shape, hidden=(5,)), likelihood, context_size=context_size)
    return VAE(encoder, decoder, prior or VampPrior(2, context_size, components=components)).to(torch.float64)


class FullPosterior(Posterior):
    """A posterior of another family."""

    parameter_shape = (5,)

    def forward(self, features: Tensor) -> Distribution:
        tril = torch.stack([features[:, 2].exp(), torch.zeros_like(features[:, 0]), features[:, 3], features[:, 4].exp()], -1).unflatten(-1, (2, 2))
        return MultivariateNormal(features[:, :2], scale_tril=tril)


@pytest.mark.parametrize("posterior", [DiagonalNormalPosterior(2), FullPosterior(2)], ids=["diagonal", "full"])
def test_vamp_is_the_mean_of_the_posteriors_of_its_pseudo_inputs(posterior: Posterior) -> None:
    vae, z = vamp_vae(posterior=posterior), torch.randn(3, 5, 2)
    q = vae.encoder(vae.prior.pseudo_inputs)
    expected = torch.zeros(3, 5)
    for index in np.ndindex(3, 5):
        each = [
            scipy.stats.multivariate_normal(
                q.mean[k].detach().numpy(), (q.covariance_matrix[k] if hasattr(q, "covariance_matrix") else q.variance[k].diag()).detach().numpy()
            )
            for k in range(7)
        ]
        expected[index] = math.log(sum(component.pdf(z[index].numpy()) for component in each) / 7)
    torch.testing.assert_close(vae.prior().log_prob(z), expected)


def test_conditional_vamp_encodes_pseudo_inputs_with_the_context_of_each_item() -> None:
    vae, context, z = vamp_vae(context_size=3), torch.randn(4, 3), torch.randn(4, 2)
    nn.init.normal_(vae.encoder.shift.weight)
    together = vae.prior(context).log_prob(z)
    for b in range(4):
        q = vae.encoder(vae.prior.pseudo_inputs, None, context[b].expand(7, -1))
        expected = q.log_prob(z[b].expand(7, 2)).logsumexp(0) - math.log(7)
        torch.testing.assert_close(together[b], expected)


def test_vamp_refers_to_the_encoder_and_does_not_own_it() -> None:
    vae = vamp_vae()
    assert [name for name in vae.state_dict() if name.startswith("prior")] == ["prior.pseudo_inputs"]
    assert list(vae.prior.modules()) == [vae.prior]
    twin = copy.deepcopy(vae)
    assert twin.prior.met[0] is twin.encoder
    z = torch.randn(4, 2)
    with torch.no_grad():
        before = vae.prior().log_prob(z)
        torch.testing.assert_close(twin.prior().log_prob(z), before, atol=0, rtol=0)
        for parameter in twin.encoder.parameters():
            parameter.add_(0.1)
        assert (twin.prior().log_prob(z) != before).all()
        assert torch.equal(vae.prior().log_prob(z), before)
    third = vamp_vae()
    third.load_state_dict(vae.state_dict())
    torch.testing.assert_close(third.prior().log_prob(z), before, atol=0, rtol=0)


@pytest.mark.parametrize("items", [20, 7, 3])
def test_vamp_starts_from_training_items(items: int) -> None:
    vae, examples = vamp_vae(), torch.rand(items, *SHAPE)
    vae.settle(examples.mean(0), examples)
    start = vae.prior.pseudo_inputs.detach()
    assert len(start.unique(dim=0)) == 7
    distance = (start[:, None] - examples).flatten(2).abs().max(-1).values.min(1).values
    assert distance.max() == 0 if items >= 7 else 0 < distance.max() < 0.5
    again = vamp_vae()
    again.settle(examples.mean(0), examples)
    assert torch.equal(again.prior.pseudo_inputs, start)


def test_pseudo_inputs_stay_in_range_and_come_back_from_its_edge() -> None:
    prior = VampPrior(2, components=3)
    encoder = nn.Flatten()
    encoder.mean = torch.zeros(1, 1, 2)
    seen = []
    encoder.forward = lambda u: seen.append(u) or Independent(Normal(u.flatten(1), 1.0), 1)  # type: ignore[method-assign,func-returns-value]
    prior.join(encoder)
    optimizer = torch.optim.SGD(prior.parameters(), lr=1.0)
    for target, expected in ((5.0, 1.0), (-5.0, 0.0), (0.25, 0.25)):
        for _ in range(200):
            optimizer.zero_grad()
            (-prior().log_prob(torch.full((1, 2), target))).sum().backward()
            optimizer.step()
        assert ((seen[-1] >= 0) & (seen[-1] <= 1)).all()
        torch.testing.assert_close(seen[-1].detach(), torch.full((3, 1, 1, 2), expected))


@pytest.mark.parametrize(("encoder", "have"), [(Encoder(nn.Flatten(), DiagonalNormalPosterior(2)), r"shape \(\)"), (nn.Flatten(), "no mean")])
def test_vamp_says_what_it_misses(encoder: nn.Module, have: str) -> None:
    with pytest.raises(ValueError, match=f"encoder.mean.*{have}.*mean=torch.zeros"):
        VampPrior(2).join(encoder)
    with pytest.raises(ValueError, match=r"has met no encoder: .* prior.join"):
        VampPrior(2)()


def test_vamp_trains_in_a_vae() -> None:
    """Gradients reach pseudo-inputs and encoder through the prior; its bound is a bound, so it rises."""
    vae, batch = vamp_vae(), Batch(torch.rand(16, *SHAPE))
    vae.settle(batch.x.mean(0), batch.x)
    optimizer, objective = torch.optim.Adam(vae.parameters(), lr=0.01), ELBO()
    history = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = objective(vae(batch, 4), batch)
        loss.value.backward()
        assert vae.prior.pseudo_inputs.grad.abs().sum() > 0
        optimizer.step()
        history.append(float(loss.terms["elbo"].mean()))
    assert np.mean(history[-20:]) > np.mean(history[:20]) + 1


@law
def test_figures_of_a_model_with_it(name: str, knobs: dict[str, object]) -> None:
    """A learned prior is evaluated without a gradient's needs getting in the way: log p(x) by importance sampling, no lower than the bound."""
    if name in CURVED:
        pytest.skip("its codes are not those of a normal posterior")
    vae, items = vamp_vae(prior=build(name, knobs)).float(), Items(torch.randint(0, 5, (6, *SHAPE), dtype=torch.uint8))
    torch.set_default_dtype(torch.float32)
    figures = evaluate(vae, items, ImageSchema(SHAPE, "L", 5), samples=20).figures
    assert figures["log_px"].value > figures["elbo"].value - 4.5 * figures["monte_carlo_error"].value
