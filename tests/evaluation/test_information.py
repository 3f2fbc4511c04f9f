"""Information in the codes, and the jackknife, where the truth is known."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.evaluation import information, jackknife
from vaeworks.latents import LATENTS
from vaeworks.model import VAE, ImageSchema

pytestmark = pytest.mark.usefixtures("exact")


def items_of(x: torch.Tensor) -> tuple[Items, ImageSchema]:
    values = x.float()[:, :, None, None]
    return Items(values), ImageSchema((x.shape[1], 1, 1), "", 0, low=0.0, high=1.0)


class Flat(torch.nn.Module):
    """An encoder of (B, X, 1, 1)."""

    def __init__(self, inner: torch.nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, observed: torch.Tensor | None = None) -> torch.distributions.Distribution:
        q: torch.distributions.Distribution = self.inner(x.flatten(1).double())
        return q


def test_the_kl_divides_into_information_and_distance_from_the_prior() -> None:
    """Against the mixture built by torch itself and integrated by many samples."""
    model = LinearGaussian.random(4, 2)
    x = model.sample(30).float().double()
    vae = model.vae(inflate=1.3, shift=0.4)
    q = vae.encoder(x)
    vae.encoder = Flat(vae.encoder)
    items, schema = items_of(x)
    found = [information(vae, items, schema, seed=seed) for seed in range(20)]
    mixture = MixtureSameFamily(Categorical(torch.ones(30)), Independent(Normal(q.mean, q.stddev), 1))
    z = q.sample((20000,))
    truth = (q.log_prob(z) - mixture.log_prob(z)).mean()
    distance = (mixture.log_prob(z) - Independent(Normal(torch.zeros(2), torch.ones(2)), 1).log_prob(z)).mean()
    mutual = torch.tensor([f.mutual_information for f in found])
    aggregate = torch.tensor([f.aggregate_kl for f in found])
    assert abs(mutual.mean() - truth) < 4.5 * mutual.std() / math.sqrt(20) + 0.01
    assert abs(aggregate.mean() - distance) < 4.5 * aggregate.std() / math.sqrt(20) + 0.02
    assert found[0].items == 30
    assert 0.3 < float(mutual.std()) / found[0].standard_error < 3


def test_codes_that_never_meet_know_which_item_they_are() -> None:
    model = LinearGaussian.random(4, 2, scale=1e-2)
    items, schema = items_of(model.sample(8))
    vae = model.vae()
    vae.encoder = Flat(vae.encoder)
    assert information(vae, items, schema).mutual_information == pytest.approx(math.log(8), abs=1e-2)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_jackknife_by_enumeration(order: int) -> None:
    """Against the weighted sum over all subsets, one by one (Nowozin 2018, equation 10)."""
    log_w = torch.randn(7, 3)
    expected = torch.zeros(3)
    for j in range(order + 1):
        subsets = [log_w[list(kept)].logsumexp(0) - math.log(7 - j) for kept in itertools.combinations(range(7), 7 - j)]
        c = (-1) ** j * (7 - j) ** order / (math.factorial(order - j) * math.factorial(j))
        expected += c * torch.stack(subsets).mean(0)
    torch.testing.assert_close(jackknife(log_w, order), expected)


def test_the_jackknife_takes_the_bias_off() -> None:
    """Log-normal weights: log E[w] = 1/2."""
    log_w = torch.randn(12, 40000)
    bias = [abs(float(jackknife(log_w, order).mean()) - 0.5) for order in (0, 1, 2)]
    assert bias[0] > 2 * bias[1] > 2 * bias[2]


@pytest.mark.parametrize("kind", sorted(set(LATENTS) - {"flat"}))
def test_codes_that_are_more_than_a_vector_are_refused(kind: str) -> None:
    """Under the prior alone their KL would be another's."""
    model = LinearGaussian.random(4, 2)
    items, schema = items_of(model.sample(8))
    plain = model.vae()
    vae = VAE(Flat(plain.encoder), plain.decoder, plain.prior, latents=LATENTS[kind](2, (4, 1, 1), context_size=3 if kind == "labelled" else 0))
    with pytest.raises(VaeworksError, match=r"^\w+Latents: .*--set latents\.kind=flat"):
        information(vae, items, schema)


def test_what_it_cannot_do_it_says() -> None:
    with pytest.raises(ValueError, match="order=3: 0, 1 and 2 are written"):
        jackknife(torch.randn(9), 3)
    with pytest.raises(ValueError, match="2 weights are too few for order 2"):
        jackknife(torch.randn(2), 2)
