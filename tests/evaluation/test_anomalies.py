"""p-values that are uniform whatever the score, selections whose false discoveries are as few as was asked for, and backgrounds with a closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from vaeworks.data import Items, open_data
from vaeworks.errors import ArtifactError, VaeworksError
from vaeworks.evaluation import Reference, benjamini_hochberg, conformal_p_values, fit_background, restore_background, typicality_p_values
from vaeworks.evaluation.backgrounds import Compressor, Frequencies, Independent
from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.model import VAE, Decoder, ImageSchema, Schema
from vaeworks.priors import StandardNormalPrior

pytestmark = pytest.mark.usefixtures("exact")


def by_definition(own: float, held: Tensor) -> float:
    return (1 + sum(float(other) >= own for other in held)) / (len(held) + 1)


@pytest.mark.parametrize("tied", [False, True])
def test_p_values_by_their_definition(tied: bool) -> None:
    held, own = torch.randn(37), torch.randn(50)
    if tied:
        held, own = held.round(), own.round()
    expected = [by_definition(float(one), held) for one in own]
    assert conformal_p_values(own.float(), held.float()).dtype == torch.float64
    np.testing.assert_allclose(conformal_p_values(own, held), expected)
    reference, shift = Reference(-held, 10), torch.randn(37)
    np.testing.assert_allclose(reference.p_values("log-px", -own), expected)
    other = Reference(-held + shift, 10, shift)
    if not tied:  # the sum of what was subtracted is not exact
        np.testing.assert_allclose(other.p_values("ratio", -own + 2, torch.full((50,), 2.0)), expected)
    told = [
        by_definition(abs(float(one - torch.cat([held, one[None]]).mean())), (held - torch.cat([held, one[None]]).mean()).abs() + 1e-12)
        for one in own
    ]
    np.testing.assert_allclose(typicality_p_values(own, held), told)
    np.testing.assert_allclose(reference.statistic("typicality", own), (own - (-held).mean()).abs())


@pytest.mark.parametrize("statistic", ["log-px", "typicality"])
@pytest.mark.parametrize("levels", [None, 3.0], ids=["continuous", "tied"])
def test_p_values_are_uniform_where_items_are_exchangeable(statistic: str, levels: float | None) -> None:
    """One item against 19 held-out ones, 800 times over. With ties broken at random p is uniform on (0, 1], without them never too small."""
    generator, random, plain = torch.Generator().manual_seed(1), [], []
    simulated = torch.distributions.Gumbel(0.0, 1.0).sample((800, 20))
    for scores in simulated if levels is None else (simulated * levels).round():
        held, own = scores[1:], scores[:1]
        p_values = Reference(held, 1).p_values
        random.append(float(p_values(statistic, own, generator=generator)))  # type: ignore[arg-type]
        plain.append(float(p_values(statistic, own)))  # type: ignore[arg-type]
    assert scipy.stats.kstest(random, "uniform").pvalue > 0.001
    for t in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert np.mean(np.array(plain) <= t) < t + 4 * math.sqrt(t * (1 - t) / 800)
    if levels is None:
        counts = np.bincount((20 * np.array(plain)).round().astype(int), minlength=21)[1:]
        assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_the_strangest_of_all() -> None:
    held, odd = torch.randn(9), torch.tensor([math.nan, -math.inf])
    assert Reference(held, 1).p_values("log-px", odd).tolist() == [0.1, 0.1]
    assert Reference(held, 1).p_values("typicality", odd).tolist() == [0.1, 0.1]
    assert Reference(torch.tensor([*held.tolist(), -math.inf]), 1).p_values("typicality", torch.zeros(1)).item() == 1, "nothing can be told any more"


def test_benjamini_hochberg_by_its_definition() -> None:
    """Every set that is closed downwards, and the largest whose threshold holds; scipy's adjusted p-values agree."""
    for rate, n in itertools.product((0.01, 0.1, 0.3), (1, 2, 7, 40)):
        for _ in range(20):
            p = torch.rand(n).square() if n > 1 else torch.rand(1) * rate * 2
            chosen = max((k for k in range(n + 1) if k == 0 or float(p.sort().values[k - 1]) <= k * rate / n), default=0)
            mask = benjamini_hochberg(p, rate)
            assert int(mask.sum()) == chosen
            assert not mask.any() or mask.all() or p[mask].max() <= p[~mask].min()
            np.testing.assert_array_equal(mask, scipy.stats.false_discovery_control(p.numpy()) <= rate)
    assert benjamini_hochberg(torch.tensor([0.03, 0.03, 0.03]), 0.03).all(), "ties stand or fall together"
    assert not benjamini_hochberg(torch.ones(0), 0.1).any()
    for rate in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(VaeworksError, match="false discovery rate"):
            benjamini_hochberg(torch.rand(3), rate)


def test_false_discoveries_are_as_few_as_asked_for() -> None:
    """100 items of which 20 are strange, against 200 held-out ones, 200 times over: the false share is 80 % of the rate, and most strange items are found."""
    false, found, rate = [], [], 0.2
    for _ in range(200):
        held, usual, strange = torch.randn(200), torch.randn(80), torch.randn(20) + 3.5
        mask = benjamini_hochberg(conformal_p_values(torch.cat([usual, strange]), held), rate)
        false.append(float(mask[:80].sum()) / max(1, int(mask.sum())))
        found.append(float(mask[80:].double().mean()))
    error = float(np.std(false)) / math.sqrt(200)
    assert np.mean(false) < rate + 4 * error
    assert np.mean(false) == pytest.approx(0.8 * rate, abs=4.5 * error)
    assert np.mean(found) > 0.8


class _Numbers(Schema):
    """Rows of real numbers."""

    kind = "numbers of a test"

    @property
    def x_levels(self) -> int:
        return 0

    def to_x(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return values

    def to_values(self, x: Tensor) -> Tensor:
        return x

    def to_raw(self, x: Tensor) -> list[Tensor]:
        return list(x)

    def fault(self) -> str:
        return ""


def numbers(n: int) -> Items:
    """Three coordinates of their own means and scales, one value in five missing, and NaN."""
    observed = torch.rand(n, 3) < 0.8
    x = torch.tensor([1.0, -2.0, 0.3]) + torch.tensor([0.5, 1.5, 1.0]) * torch.randn(n, 3)
    return Items(x.masked_fill(~observed, math.nan), observed=observed)


def test_independent_coordinates_are_fitted_as_their_closed_form_says() -> None:
    """Means and scales of each column over what is observed of it, and log p by scipy."""
    torch.manual_seed(3)
    schema, train, items = _Numbers((3,)), numbers(900), numbers(40)
    likelihood = GaussianLikelihood((3,), 0, scale_kind="pixel")
    vae = VAE(torch.nn.Identity(), Decoder(torch.nn.Identity(), likelihood), StandardNormalPrior(2))
    background = fit_background(vae, train, schema)
    assert isinstance(background, Independent)
    assert train.observed is not None
    assert items.observed is not None
    columns = [column[seen] for column, seen in zip(train.values.T, train.observed.T, strict=True)]
    terms = np.stack([scipy.stats.norm(float(c.mean()), float(c.std())).logpdf(x) for c, x in zip(columns, items.values.T.numpy(), strict=True)], 1)
    expected = np.where(items.observed.numpy(), terms, 0).sum(1)
    found = background.log_prob(items, schema, 0)
    np.testing.assert_allclose(found, expected, atol=0.15)
    assert float(found.mean()) == pytest.approx(expected.mean(), abs=0.02)
    again = restore_background("independent", background.state(), vae)
    np.testing.assert_array_equal(again.log_prob(items, schema, 0), found)
    assert fit_background(vae, None, schema) is None
    for kind, state in (("independent", {}), ("frequencies", {}), ("oracle", {})):
        with pytest.raises(ArtifactError, match=kind):
            restore_background(kind, state, vae)


def test_tokens_by_their_frequencies() -> None:
    data = open_data(["abba", "ab", "b" * 6, "ca"] * 10)
    background = fit_background(torch.nn.Module(), data.train, data.schema)  # type: ignore[arg-type]
    assert isinstance(background, Frequencies)
    text = data.schema.to_raw(data.schema.to_x(data.train.values))
    letters = "".join(text) + "$" * len(text)
    total = len(letters) + data.schema.vocabulary / 2  # type: ignore[attr-defined]

    def log_p(string: str) -> float:
        return sum(math.log((letters.count(letter) + 0.5) / total) for letter in string + "$")

    expected = [log_p(string) for string in data.schema.to_raw(data.schema.to_x(data.test.values))]
    np.testing.assert_allclose(background.log_prob(data.test, data.schema, 0), expected, rtol=1e-6)


def test_compressed_pictures_are_short_where_they_are_simple() -> None:
    """A flat picture costs next to nothing, noise what its entropy says, whatever the levels; PNG beats zlib on smooth ones."""
    rng = np.random.default_rng(0)
    for levels, top in ((256, 255), (2, 1)):
        schema = ImageSchema((1, 64, 64), "L", levels, binarisation="none" if levels > 2 else "static")
        flat, noise = np.full((1, 64, 64), top, np.uint8), rng.integers(0, top + 1, (1, 64, 64)).astype(np.uint8)
        bits = -Compressor().log_prob(Items(torch.from_numpy(np.stack([flat, noise]))), schema, 0).numpy() / math.log(2)
        assert bits[0] < 1000
        assert 1 <= bits[1] / (64 * 64 * math.log2(levels)) < 1.3
    slope = torch.arange(4096).view(1, 1, 64, 64).mul(7).div(64, rounding_mode="floor").remainder(256).to(torch.uint8)
    import zlib

    bits = -Compressor().log_prob(Items(slope), ImageSchema((1, 64, 64), "L", 256), 0).numpy() / math.log(2)
    assert bits[0] < 8 * len(zlib.compress(slope.numpy().tobytes(), 9))
