"""Rows under conditions, and tables filled in, against sums over all rows that there are."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.stats
import torch

import vaeworks as vw
from vaeworks.data import Options, open_data
from vaeworks.data.tables import frame_of
from vaeworks.errors import DataError, VaeworksError
from vaeworks.likelihoods.table import TableLikelihood
from vaeworks.model import VAE, Decoder, Encoder, TableSchema, asked
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.recipes import load_recipe
from vaeworks.runs import filled_frame

ROWS = 400


def frame(missing: float = 0.0) -> pl.DataFrame:
    """Ages on a grid, a category, a truth, a date, a size without a grid, an identifier and a constant."""
    rng = np.random.default_rng(0)
    age = rng.integers(20, 40, ROWS)
    table = pl.DataFrame(
        {
            "id": [f"row{i}" for i in range(ROWS)],
            "age": age,
            "colour": rng.choice(["red", "green", "blue"], ROWS, p=[0.5, 0.3, 0.2]),
            "member": rng.random(ROWS) < 0.4,
            "joined": pl.Series([f"2020-01-{d:02d}" for d in rng.integers(1, 29, ROWS)]).str.to_date(),
            "size": rng.normal(3, 1, ROWS) + age / 20,
            "planet": ["earth"] * ROWS,
        }
    )
    if missing:
        table = table.with_columns(
            pl.when(pl.Series(rng.random(ROWS) < missing)).then(None).otherwise(pl.col(c)).alias(c) for c in ("age", "colour", "member", "size")
        )
    return table


def make(source: Any, seed: int = 0, **options: Any) -> vw.Model:
    """A model of two codes, untrained, whose rows depend on them."""
    schema = open_data(source, options=Options(seed=0, kind="table", **options)).schema
    assert isinstance(schema, TableSchema)
    torch.manual_seed(seed)
    posterior, likelihood = DiagonalNormalPosterior(2), TableLikelihood(schema.shape, schema.margins)
    decoder = Decoder(MLP((2,), likelihood.parameter_shape, hidden=()), likelihood)
    with torch.no_grad():
        for p in decoder.network.parameters():
            p.mul_(1.5)
    return vw.Model(
        VAE(Encoder(MLP(schema.shape, posterior.parameter_shape, hidden=()), posterior), decoder, StandardNormalPrior(2)), schema, load_recipe("mlp")
    )


@pytest.fixture(scope="module")
def model() -> vw.Model:
    return make(frame())


def place(schema: TableSchema, name: str) -> int:
    return [c.name for c in schema.modelled].index(name)


def by_quadrature(model: vw.Model, ages: list[int], **others: float) -> tuple[np.ndarray, np.ndarray]:
    """For each age the mass of p(age, others, colour) for the three colours, (A, 3), and what all colours are called; over codes by Gauss-Hermite."""
    schema = model.schema
    assert isinstance(schema, TableSchema)
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    z = torch.tensor(np.stack(np.meshgrid(node, node, indexing="ij"), -1).reshape(-1, 2), dtype=torch.float32)
    mass = torch.tensor(np.outer(weight, weight).ravel() / weight.sum() ** 2, dtype=torch.float64)
    x, known = torch.zeros(len(ages) * 3, schema.shape[0]), torch.zeros(schema.shape[0], dtype=torch.bool)
    grid = list(itertools.product(ages, range(3)))
    for name, values in {"age": [a for a, _ in grid], "colour": [c for _, c in grid], **{n: [v] * len(grid) for n, v in others.items()}}.items():
        j = place(schema, name)
        x[:, j], known[j] = torch.from_numpy(schema.modelled[j].margin.to_x(np.array(values, float))).float(), True
    with torch.no_grad():
        p = model.vae.decode(z[:, None])
        log_p = p.marginal(known.expand(len(grid), -1)).log_prob(x).double()
    return (log_p.exp() * mass[:, None]).sum(0).view(len(ages), 3).numpy(), np.array(schema.modelled[place(schema, "colour")].categories)


@pytest.mark.parametrize(
    ("wish", "ages"), [("25..30", range(25, 31)), ((24.5, 30.2), range(25, 31)), (27, [27]), ("..22", range(20, 23)), ("38..", range(38, 40))]
)
def test_rows_under_conditions_are_as_summed_over_all_rows(model: vw.Model, wish: Any, ages: Any) -> None:
    n = 3000
    x, effective = model.sample_given(n, {"age": wish, "member": True}, samples=8000, seed=1)
    assert effective > 100
    rows = model.schema.to_frame(x)  # type: ignore[attr-defined]
    assert set(rows["age"]) <= set(ages)
    assert rows["member"].all()
    mass, colours = by_quadrature(model, list(ages), member=1.0)
    expected = mass.sum(0) / mass.sum()
    counts = np.array([(rows["colour"] == c).sum() for c in colours])
    spread = np.sqrt(expected * (1 - expected) * (1 / n + 1 / effective))
    np.testing.assert_allclose(counts / n, expected, atol=float(4.5 * spread.max()))
    if wish == "25..30":
        ages_mass = mass.sum(1) / mass.sum()
        of_age = np.array([(rows["age"] == a).sum() for a in ages])
        np.testing.assert_allclose(of_age / n, ages_mass, atol=4.5 * math.sqrt(0.25 * (1 / n + 1 / effective)))


def test_the_probability_of_the_conditions_is_theirs(model: vw.Model) -> None:
    from vaeworks.evaluation import Evidence, propose
    from vaeworks.trace import Batch

    wish = asked(model.schema, {"age": "25..30", "member": "yes", "colour": "red"})  # type: ignore[arg-type]
    found = propose(model.vae, Evidence(Batch(wish.x, wish.observed), wish.within, wish.low, wish.high), 20_000)
    mass, colours = by_quadrature(model, list(range(25, 31)), member=1.0)
    assert float(found.log_prob.exp()) == pytest.approx(float(mass[:, list(colours).index("red")].sum()), rel=0.05)


def test_sampling_takes_conditions_by_name_and_is_repeatable(model: vw.Model) -> None:
    x = model.sample(20, given={"colour": "blue", "size": (3.0, 3.5), "joined": "2020-01-05..2020-01-20"}, seed=4)
    assert torch.equal(x, model.sample(20, given={"colour": "blue", "size": (3.0, 3.5), "joined": "2020-01-05..2020-01-20"}, seed=4))
    rows = model.schema.to_frame(x)  # type: ignore[attr-defined]
    assert (rows["colour"] == "blue").all()
    assert rows["size"].is_between(3.0 - 1e-6, 3.5 + 1e-6).all()
    assert rows["joined"].cast(pl.String).is_between(pl.lit("2020-01-05"), pl.lit("2020-01-20")).all()
    with pytest.raises(VaeworksError, match="leave temperature at 1"):
        model.sample(2, given={"colour": "blue"}, temperature=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": "pink"}, "colour=pink is no category: choose one of red, green, blue|choose one of blue, green, red"),
        ({"age": "old"}, r"age=old is no number: give one of, or a range within, 20\.\.39"),
        ({"age": 300}, r"age=300 is outside what training had: give one of, or a range within, 20\.\.39"),
        ({"age": "50..60"}, r"outside what training had"),
        ({"age": "30..25"}, r"no value is at least 30 and at most 25"),
        ({"age": ".."}, "a range has an end at least"),
        ({"age": (25.2, 25.8)}, "no value of the column lies in this range"),
        ({"age": "a..30"}, "a is no number"),
        ({"member": "maybe"}, "neither true nor false"),
        ({"joined": "someday"}, r"no date: .*2020-01-01\.\.2020-01-28"),
        ({"colour": ("blue", "red")}, r"give one value"),
        ({"height": 3}, "no such column: this model can be given age, colour, member, joined, size"),
        ({"planet": "mars"}, "the column is a constant, which is not modelled"),
    ],
)
def test_what_cannot_be_given_is_told_with_what_can(model: vw.Model, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.sample(2, given=given)


def test_empty_cells_are_filled_and_nothing_else_changes(tmp_path: Path) -> None:
    """The same frame, of the same types, with draws below each other; from Parquet and from CSV."""
    table = frame(missing=0.3)
    model = make(table)
    table.write_parquet(tmp_path / "t.parquet")
    table.write_csv(tmp_path / "t.csv")
    for source in (table, tmp_path / "t.parquet", tmp_path / "t.csv"):
        cells = frame_of(source, Options())
        found = model.impute(source, draws=3, samples=200)
        filled = filled_frame(cells, model.schema, found)  # type: ignore[arg-type]
        assert filled.columns == [*cells.columns, "draw"]
        assert filled.height == 3 * ROWS
        assert filled.schema == {**cells.schema, "draw": pl.Int64}
        assert filled.null_count().sum_horizontal()[0] == 0
        assert not any((filled[name].cast(pl.String) == "").any() for name in filled.columns)
        for number in (1, 2, 3):
            one = filled.filter(pl.col("draw") == number).drop("draw")
            for name in cells.columns:
                there = cells[name].is_not_null() & (cells[name].cast(pl.String) != "")
                assert one[name].filter(there).equals(cells[name].filter(there))
        assert set(filled["colour"]) == {"red", "green", "blue"}
        assert set(filled["member"].cast(pl.String)) == {"true", "false"}
        ages = filled["age"].cast(pl.Int64)
        assert ages.is_between(20, 39).all()
        assert not filled.filter(pl.col("draw") == 1).drop("draw").equals(filled.filter(pl.col("draw") == 2).drop("draw"))
        best = filled_frame(cells, model.schema, model.impute(source, draws=0, samples=200))  # type: ignore[arg-type]
        assert best.columns == cells.columns
        assert best.null_count().sum_horizontal()[0] == 0


def test_a_category_that_training_did_not_have_stays(model: vw.Model) -> None:
    rows = frame()[:4].with_columns(colour=pl.Series(["pink", None, "red", "blue"]))
    found = model.impute(rows, samples=50)
    assert filled_frame(rows, model.schema, found)["colour"].to_list()[0] == "pink"  # type: ignore[arg-type]
    assert filled_frame(rows, model.schema, found)["colour"][1] in {"red", "green", "blue"}  # type: ignore[arg-type]


def test_draws_of_a_cell_have_its_conditional_distribution_and_best_values_are_its_median_and_mode(model: vw.Model) -> None:
    """One row whose colour and age are missing: against p(age, colour | member) by quadrature."""
    many = 1500
    row = pl.DataFrame(
        {"age": [None] * many, "colour": [None] * many, "member": [True] * many}, schema={"age": pl.Int64, "colour": pl.String, "member": pl.Boolean}
    )
    found = model.impute(row, draws=1, samples=300)
    filled = filled_frame(row, model.schema, found)  # type: ignore[arg-type]
    mass, colours = by_quadrature(model, list(range(20, 40)), member=1.0)
    of_colour = mass.sum(0) / mass.sum()
    counts = np.array([(filled["colour"] == c).sum() for c in colours])
    assert scipy.stats.chisquare(counts, many * of_colour).pvalue > 1e-4
    of_age = np.cumsum(mass.sum(1)) / mass.sum()
    below = float((filled["age"] <= 29).mean())  # type: ignore[arg-type]
    truth = float(of_age[9])
    assert below == pytest.approx(truth, abs=4.5 * math.sqrt(truth * (1 - truth) / many))
    best = filled_frame(row[:1], model.schema, model.impute(row[:1], draws=0, samples=20_000))  # type: ignore[arg-type]
    assert best["colour"][0] == colours[of_colour.argmax()]
    assert abs(best["age"][0] - (int(np.searchsorted(of_age, 0.5)) + 20)) <= 1


def test_nothing_missing_is_told(model: vw.Model) -> None:
    with pytest.raises(DataError, match="nothing is missing of the 400 items: no cell is empty"):
        model.impute(frame())
    with pytest.raises(DataError, match="--mask says what is missing of image"):
        model.impute(frame(), mask="left")
