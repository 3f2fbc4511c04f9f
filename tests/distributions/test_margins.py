"""Margins: raw values become x and come back, whatever the column holds."""

import dataclasses
import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from vaeworks.distributions import Margin, fit_margin
from vaeworks.distributions.margins import MarginKind

NUMBERS = ("gaussian", "student", "mixture", "log-normal", "quantile")
values = st.lists(st.one_of(st.integers(-1000, 1000).map(float), st.floats(-1e30, 1e30), st.sampled_from([0.0, 1.5])), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(values)
def test_knots_increase_and_every_value_has_a_score(data: list[float]) -> None:
    v = np.array(data)
    for kind in ("quantile", "ordinal"):
        margin = fit_margin(kind, v)
        raw, scores, atom = margin.breaks()
        assert (np.diff(margin.knots) > 0).all()
        assert (np.diff(scores) > 0).all()
        assert (np.diff(raw) >= 0).all()
        assert (np.array(margin.lower) <= np.array(margin.upper)).all()
        assert len(atom) == len(raw) - 1
        x = margin.to_x(np.sort(v))
        assert np.isfinite(x).all()
        assert (np.diff(x) >= -1e-12).all()
        spread = max(np.abs(v).max(), 1e-300)
        np.testing.assert_allclose(margin.to_values(x) / spread, np.sort(v) / spread, atol=1e-9)
    for kind in NUMBERS:
        x = fit_margin(kind, v).to_x(v)
        assert np.isfinite(x).all()


@pytest.mark.parametrize("kind", [*NUMBERS, "ordinal"])
@pytest.mark.parametrize(
    ("step", "width"), [(1.0, 60), (1.0, 10**6), (1e-3, 5000), (0.1, 700), (0.25, 90), (5.0, 400), (1.0, 2)], ids=lambda value: f"{value:g}"
)
def test_values_of_a_grid_come_back_to_the_last_bit(kind: MarginKind, step: float, width: int) -> None:
    generator = np.random.default_rng(0)
    for offset in (0, -width // 2, 37):
        index = generator.integers(0, width, 3000) + offset
        index[:600] = index[0]  # a spike
        v = index / round(1 / step) if step < 1 else index * step  # as decimals are read
        if kind == "ordinal" and width > 1000:
            v = v[:100]
        margin = fit_margin(kind, v, step=step)
        assert (margin.to_values(margin.to_x(v)) == v).all()
        assert (margin.to_values(margin.to_x(v).astype(np.float32)) == v).all()


@pytest.mark.parametrize("n", [1, 2, 7, 60, 5000])
def test_scores_of_a_sample_are_about_normal(n: int) -> None:
    v = np.exp(np.random.default_rng(n).normal(size=n))
    margin = fit_margin("quantile", v)
    x = margin.to_x(v)
    assert abs(x.mean()) < 0.05
    assert len(margin.knots) <= 2 + 2.5 * n**0.5
    if n >= 60:
        assert x.std() == pytest.approx(1, abs=0.1)


def test_frequent_values_are_atoms_of_their_own_share() -> None:
    generator = np.random.default_rng(0)
    v = np.concatenate([np.zeros(500), np.full(30, 2.0), generator.normal(size=470)])
    margin = fit_margin("quantile", v)
    atoms = {k: ndtr(b) - ndtr(a) for k, a, b in zip(margin.knots, margin.lower, margin.upper, strict=True) if a < b}
    assert set(atoms) == {0.0, 2.0}
    assert atoms[0.0] == pytest.approx(0.5, abs=0.02)
    assert atoms[2.0] == pytest.approx(0.03, abs=0.002)
    one_in_a_hundred = fit_margin("quantile", np.concatenate([np.full(20, 0.5), np.linspace(0, 1, 1980)]))
    assert sum(a < b for a, b in zip(one_in_a_hundred.lower, one_in_a_hundred.upper, strict=True)) == 1


def test_an_ordinal_margin_knows_values_of_the_grid_that_never_occurred() -> None:
    margin = fit_margin("ordinal", [1.0, 2.0, 5.0, 5.0], step=1.0)
    assert margin.knots == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert margin.lower[1:] == margin.upper[:-1]
    assert margin.to_values(margin.to_x([4.0, 9.0, -3.0])).tolist() == [4.0, 5.0, 1.0]


@pytest.mark.parametrize("kind", get_args(MarginKind))
def test_json_gives_the_same_margin(kind: MarginKind) -> None:
    margin = fit_margin(kind, [0.0, 1.0, 1.0, 0.0, 1.0])
    assert Margin(**json.loads(json.dumps(dataclasses.asdict(margin)))) == margin
    np.testing.assert_allclose(margin.to_values(margin.to_x([0.0, 1.0])), [0, 1], atol=1e-12)


def test_counts_by_maximum_likelihood() -> None:
    generator = np.random.default_rng(0)
    v = generator.negative_binomial(3, 3 / (3 + 8), 20000).astype(float)
    margin = fit_margin("negative-binomial", v)
    assert (math.exp(margin.shift), margin.scale) == pytest.approx((8, 3), rel=0.05)
    margin = fit_margin("zero-inflated", np.where(generator.random(20000) < 0.4, 0, v))
    assert (math.exp(margin.shift), margin.scale, 1 / (1 + math.exp(-margin.origin))) == pytest.approx((8, 3, 0.4), rel=0.08)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("quantile", [], "no values"),
        ("gaussian", [1.0, math.inf], "inf is no value"),
        ("quantile", [math.nan], "nan is no value"),
        ("poisson", [-1.0], "-1.0 is no count"),
        ("negative-binomial", [0.5], "0.5 is no count"),
        ("categorical", [-1], "-1.0 is no index"),
    ],
)
def test_what_no_margin_can_be_fitted_to_is_named(kind: MarginKind, data: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_margin(kind, data)


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ValueError, match="step = -1"):
        fit_margin("quantile", [1.0], step=-1)
    with pytest.raises(ValueError, match="'weibull'"):
        Margin("weibull")  # type: ignore[arg-type]
