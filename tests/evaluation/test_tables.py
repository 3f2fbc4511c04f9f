import math

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import ks_2samp, pearsonr
from sklearn.metrics import roc_auc_score

from vaeworks.errors import DataError
from vaeworks.evaluation.efficacy import efficacy
from vaeworks.evaluation.fidelity import fidelity
from vaeworks.evaluation.memorisation import auroc, closest_records
from vaeworks.evaluation.tables import table_figures
from vaeworks.evaluation.tabular import matrices, ranks

KINDS = {"a": "number", "b": "number", "c": "category", "d": "category"}


def table(n: int, seed: int, *, missing: float = 0.0, shift: float = 0.0) -> pl.DataFrame:
    """Correlated numbers, a category that follows them, another of its own, and cells missing at random."""
    generator = np.random.default_rng(seed)
    a = generator.normal(shift, 1, n)
    b = 0.7 * a + generator.normal(size=n)
    c = np.where(a + generator.normal(size=n) > 0, "high", "low")
    d = generator.choice(["x", "y", "z"], n, p=[0.5, 0.3, 0.2])
    frame = pl.DataFrame({"a": a, "b": b.round(1), "c": c, "d": d})
    hidden = generator.random((n, 4)) < missing
    return frame.with_columns(pl.when(pl.Series(~hidden[:, j])).then(pl.col(name)).alias(name) for j, name in enumerate(frame.columns))


def counted(rows: list[tuple], others: list[tuple]) -> float:
    """Total variation by going through every value."""
    return sum(abs(rows.count(v) / len(rows) - others.count(v) / len(others)) for v in {*rows, *others}) / 2


def binned(frame: pl.DataFrame, over: pl.DataFrame) -> list[tuple]:
    """Column a in ten bins over the range of another table's, beside column c."""
    low, high = over["a"].min(), over["a"].max()
    return [(None if a is None else min(max(int((a - low) / (high - low) * 10), 0), 9), c) for a, c in frame.select("a", "c").rows()]


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_shapes_and_trends_are_those_of_scipy_and_of_counting(missing: float):
    real, synthetic = table(300, 0, missing=missing), table(200, 1, missing=missing / 2, shift=0.5)
    found = fidelity(real, synthetic, KINDS, bootstraps=2)
    for name in "ab":
        assert found.shapes[name] == pytest.approx(ks_2samp(real[name].drop_nulls(), synthetic[name].drop_nulls()).statistic)
    for name in "cd":
        assert found.shapes[name] == pytest.approx(counted(real[name].drop_nulls().to_list(), synthetic[name].drop_nulls().to_list()))
    correlations = [pearsonr(*frame.select("a", "b").drop_nulls()).statistic for frame in (real, synthetic)]
    assert found.pairs["a", "b"] == pytest.approx(abs(correlations[0] - correlations[1]) / 2)
    assert found.pairs["c", "d"] == pytest.approx(counted(real.select("c", "d").rows(), synthetic.select("c", "d").rows()))
    assert found.pairs["a", "c"] == pytest.approx(counted(binned(real, real), binned(synthetic, real)))
    own = fidelity(real, synthetic, KINDS, bootstraps=0, own_bins=True)
    assert own.pairs["a", "c"] == pytest.approx(counted(binned(real, real), binned(synthetic, synthetic)))
    assert found.shape_error == pytest.approx(np.mean(list(found.shapes.values())))
    assert found.pair_error == pytest.approx(np.mean(list(found.pairs.values())))
    shares = [np.array(frame.null_count().row(0)) / len(frame) for frame in (real, synthetic)]
    assert found.missing_error == pytest.approx(np.abs(shares[0] - shares[1]).mean())


def test_a_copy_has_no_error_and_an_empty_column_is_left_out():
    real = table(100, 0)
    copy = fidelity(real, real, KINDS)
    assert copy.shape_error == copy.pair_error == 0
    empty = fidelity(real, real.with_columns(a=pl.lit(None, pl.Float64)), KINDS)
    assert math.isnan(empty.shapes["a"])
    assert empty.shape_error == 0
    constant = fidelity(real, real.with_columns(a=pl.lit(1.0)), KINDS)
    assert constant.pairs["a", "b"] == pytest.approx(abs(pearsonr(real["a"], real["b"]).statistic) / 2)


def test_the_bootstrap_error_is_the_spread_over_fresh_tables():
    errors = [fidelity(table(400, 2 * i), table(400, 2 * i + 1, shift=1.0), KINDS, bootstraps=0) for i in range(60)]
    told = fidelity(table(400, 0), table(400, 1, shift=1.0), KINDS, bootstraps=60)
    assert told.shape_standard_error == pytest.approx(np.std([e.shape_error for e in errors]), rel=0.35)
    assert told.pair_standard_error == pytest.approx(np.std([e.pair_error for e in errors]), rel=0.35)


def test_codes_are_shared_and_whole_numbers_are_the_categories_that_they_are():
    first = pl.DataFrame({"k": pl.Series([1, 2, None], dtype=pl.Int64), "t": [True, False, None]})
    second = pl.DataFrame({"k": [2.0, 3.0, float("nan")], "t": [None, True, True]})
    x, y = matrices([first, second], {"k": "category", "t": "category"})
    np.testing.assert_array_equal(x, [[0, 1], [1, 0], [np.nan, np.nan]])
    np.testing.assert_array_equal(y, [[1, np.nan], [2, 1], [np.nan, 1]])
    np.testing.assert_allclose(ranks(np.array([1.0, 1.0, 3.0, np.nan]), np.array([0.0, 1.0, 2.0, 3.0, np.nan])), [0, 1 / 3, 2 / 3, 5 / 6, np.nan])


@pytest.mark.parametrize(
    ("frame", "kinds", "told"),
    [
        (pl.DataFrame({"a": ["x"]}), {"a": "number"}, "not numbers"),
        (pl.DataFrame({"a": [1]}), {"b": "number"}, "no column 'b'"),
        (pl.DataFrame({"a": [1]}), {"a": "integer"}, "integer"),
        (pl.DataFrame({"a": []}, schema={"a": pl.Int64}), {"a": "number"}, "without rows"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(frame: pl.DataFrame, kinds: dict, told: str):
    with pytest.raises(DataError, match=told):
        matrices([frame], kinds)


def test_efficacy_of_a_known_relation():
    train, test = table(1500, 0, missing=0.05), table(1500, 1)
    number = efficacy(train, test, KINDS, "b")
    best = 1 - 1 / test["b"].var()  # noise of variance 1 is what nobody can tell
    assert best - 0.12 < number.scores["r2"] < best + 0.03
    assert number.scores["rmse"] == pytest.approx(math.sqrt((1 - number.scores["r2"]) * test["b"].var(ddof=0)))
    kind = efficacy(train, test, KINDS, "c")
    bayes = ((test["a"] > 0) == (test["c"] == "high")).mean()
    assert bayes - 0.06 < kind.scores["f1"] < bayes + 0.03
    assert 0.004 < kind.standard_errors["f1"] < 0.03  # sqrt(.75 .25 / 1500) = .011
    assert number.rows == 1500


def test_efficacy_forgives_no_missing_class():
    train, test = table(600, 0), table(600, 1)
    only = efficacy(train.filter(pl.col("d") == "x"), test, KINDS, "d")
    share = (test["d"] == "x").mean()
    assert only.scores["f1"] == pytest.approx(2 * share / (1 + share) / 3)
    assert only.scores["auroc"] == 0.5
    with pytest.raises(DataError, match="no column 'q'"):
        efficacy(train, test, KINDS, "q")


def test_efficacy_of_more_categories_than_boosting_tells_apart():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 20, 1200) * 30 + (generator.random(1200) < 0.3) * generator.integers(1, 30, 1200)
    frame = pl.DataFrame({"k": [f"k{c}" for c in codes], "y": (codes // 30 % 2).astype(float)})
    assert frame["k"].n_unique() > 256
    assert efficacy(frame[:800], frame[800:], {"k": "category", "y": "number"}, "y", bootstraps=0).scores["r2"] > 0.4


def test_auroc_is_scikit_learns_and_its_error_is_right():
    generator = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return generator.normal(0.8, 1, 80).round(1), generator.normal(0, 1, 120).round(1)

    positive, negative = draw()
    assert auroc(positive, negative)[0] == pytest.approx(roc_auc_score([1] * 80 + [0] * 120, [*positive, *negative]))
    areas, errors = zip(*(auroc(*draw()) for _ in range(300)), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.12)


def test_closest_records_are_those_of_going_through_all():
    train, held, synthetic = (table(n, seed, missing=0.1) for n, seed in ((60, 0), (40, 1), (30, 2)))
    synthetic = pl.concat([synthetic, train[:10]])
    known = train["a"].drop_nulls().to_numpy(), train["b"].drop_nulls().to_numpy()

    def distance(one: tuple, other: tuple) -> float:
        total = 0.0
        for j, (v, w) in enumerate(zip(one, other, strict=True)):
            if v is None or w is None or j >= 2:
                total += v != w
            else:
                u, s = (((known[j] < value).mean() + (known[j] <= value).mean()) / 2 for value in (v, w))
                total += abs(u - s)
        return total / 4

    nearest = np.array([min(distance(row, other) for other in train.rows()) for row in synthetic.rows()])
    found = closest_records(train, held, synthetic, KINDS)
    assert found.fifth == pytest.approx(np.quantile(nearest, 0.05), abs=1e-6)
    assert found.copies == pytest.approx((nearest == 0).mean())
    assert found.copies >= 10 / 40
    few = closest_records(train[:40], held, synthetic, KINDS)
    known = train[:40]["a"].drop_nulls().to_numpy(), train[:40]["b"].drop_nulls().to_numpy()
    to_train, to_held = (np.array([min(distance(row, other) for other in frame.rows()) for row in synthetic.rows()]) for frame in (train[:40], held))
    won = np.where(np.isclose(to_train, to_held), 0.5, to_train < to_held)
    assert few.nearer == pytest.approx(won.mean(), abs=1e-6)
    assert few.against == 40


def test_figures_tell_memorisation_from_fair_rows():
    train, held = table(600, 0), table(600, 1)
    scores = torch.randn(600) + 0.5, torch.randn(600)
    copied = table_figures(train, held, train, KINDS, target="c", scores=scores)
    assert copied.figures["copies"].value == 100
    assert copied.figures["closest_record_share"].value > 0.95
    assert copied.figures["efficacy_f1"].value == copied.figures["efficacy_f1_of_real"].value
    assert len(copied.warnings) == 2
    fair = table_figures(train, held, table(600, 2), KINDS, scores=(scores[1], scores[1]))
    assert abs(fair.figures["closest_record_share"].value - 0.5) < 4 * 0.5 / math.sqrt(600)
    assert fair.figures["membership_auroc"].value == 0.5
    assert fair.figures["column_shape_error"].value < 8
    assert not fair.warnings
    assert "efficacy_f1" not in fair.figures
    fair.to_json()
