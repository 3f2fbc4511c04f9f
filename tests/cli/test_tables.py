"""Every verb on a table, as a user runs it, reading the files it leaves."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

SMALL = (
    "--set",
    "encoder.hidden=[32]",
    "--set",
    "decoder.hidden=[32]",
    "--set",
    "latent_size=3",
    "--set",
    "prior.kind=standard-normal",
    "--epochs",
    "20",
)


def customers() -> pl.DataFrame:
    """400 rows of every kind of column, some cells empty."""
    rng = np.random.default_rng(0)
    city, age = rng.integers(3, size=400), (rng.gamma(9, 4, 400) + 18).astype(int)
    visits = rng.poisson(2 + 3 * city)
    frame = pl.DataFrame(
        {
            "id": [f"c{i:04}" for i in range(400)],
            "city": np.array(["Graz", "Lyon", "Porto"])[city],
            "age": age,
            "visits": visits,
            "spent": (visits * rng.lognormal(2, 0.4, 400)).round(2),
            "member": np.array(["no", "yes"])[(rng.random(400) < age / 100).astype(int)],
            "since": (np.datetime64("2020-01-01") + rng.integers(2000, size=400)).astype(str),
            "planet": ["Earth"] * 400,
        }
    )
    empty = rng.random((400, 8)) < 0.05
    return frame.with_columns(pl.when(pl.Series(empty[:, j])).then(None).otherwise(pl.col(n)).alias(n) for j, n in enumerate(frame.columns[1:-1], 1))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "customers.csv"
    customers().write_csv(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """A run folder left by a training on the table."""
    from vaeworks.data import Options
    from vaeworks.runs import train_run

    folder = tmp_path_factory.mktemp("runs") / "customers"
    overrides = [knob for flag, knob in itertools.pairwise(SMALL) if flag == "--set"]
    train_run(str(table), out=folder, overrides=[*overrides, "training.epochs=20"], options=Options(columns=(("visits", "count"),)), device="cpu")
    return folder


def test_a_table_from_a_file_to_rows_and_a_report(run: Path) -> None:
    assert {"samples.csv", "reconstructions.csv", "columns.png", "latent.png", "report.html", "model.safetensors"} <= {p.name for p in run.iterdir()}
    samples = pl.read_csv(run / "samples.csv")
    assert samples.columns == customers().columns
    assert set(samples["city"]) <= {"Graz", "Lyon", "Porto"}
    assert samples["age"].dtype == pl.Int64
    assert samples["age"].min() >= customers()["age"].min()
    assert set(samples["planet"]) == {"Earth"}
    assert samples["id"].null_count() == len(samples)
    page = (run / "report.html").read_text()
    assert "Column visits: count" in page
    assert "Columns</h2>" in page
    figures = json.loads((run / "figures.json").read_text())["figures"]
    assert math.isfinite(figures["log_px"]["value"])
    assert "bits_per_dim" not in figures
    reconstructions = pl.read_csv(run / "reconstructions.csv")
    assert set(reconstructions["version"]) == {"original", "reconstruction"}


def test_sample_encode_decode_reconstruct_and_evaluate(tmp_path: Path, run: Path, table: Path, vae: Callable[..., Any]) -> None:
    assert vae("sample", run, "-n", 30, "-o", tmp_path / "rows.parquet").code == 0
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows.shape == (30, 8)
    assert vae("sample", run, "-n", 30, "-o", tmp_path / "again.parquet").code == 0
    assert pl.read_parquet(tmp_path / "again.parquet").equals(rows)
    assert vae("encode", run, table, "-o", tmp_path / "z.parquet").code == 0
    assert pl.read_parquet(tmp_path / "z.parquet")["name"][0] == "c0000"
    assert vae("decode", run, tmp_path / "z.parquet", "-o", tmp_path / "back.csv").code == 0
    assert len(pl.read_csv(tmp_path / "back.csv")) == 400
    assert vae("reconstruct", run, table, "--limit", 3, "-o", tmp_path / "pairs.csv").code == 0
    assert len(pl.read_csv(tmp_path / "pairs.csv")) == 6
    assert vae("interpolate", run, f"{table}[0]", f"{table}[1]", "-n", 4, "-o", tmp_path / "path.csv").code == 0
    done = vae("evaluate", run, "--samples", 20, "--json")
    assert done.code == 0, done.err
    assert math.isfinite(json.loads(done.out)["figures"]["elbo"]["value"])


def test_drawn_rows_are_measured_whatever_their_columns_hold(run: Path, table: Path, vae: Callable[..., Any]) -> None:
    """Dates are written as text, and compared as moments."""
    done = vae("evaluate", run, table, "--sample-quality", "--target", "member", "--samples", 5, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)["figures"]
    assert {"column_shape_error", "pair_trend_error", "efficacy_f1", "closest_record_share", "membership_auroc"} <= set(figures)
    assert 0 < figures["column_shape_error"]["value"] < 60
    refused = vae("evaluate", run, table, "--sample-quality", "--target", "id")
    assert refused.code == 2
    assert "member" in refused.err


def test_a_column_that_is_not_there_is_a_clear_error(run: Path, table: Path, vae: Callable[..., Any], tmp_path: Path) -> None:
    done = vae("train", table, "-o", tmp_path / "x", "--column", "visit=count")
    assert done.code == 2
    assert "visits" in done.err
    done = vae("train", table, "-o", tmp_path / "x", "--column", "age=counts")
    assert done.code == 2
    assert "count" in done.err
    pl.read_csv(table).select("id", "city").write_csv(tmp_path / "narrow.csv")
    done = vae("encode", run, tmp_path / "narrow.csv", "-o", tmp_path / "z.csv")
    assert done.code == 2
    assert "age" in done.err


def test_a_resumed_run_knows_its_columns(run: Path) -> None:
    from vaeworks.runs.begun import begun

    facts = begun(run)
    assert facts is not None
    assert facts.options["columns"] == (("visits", "count"),)


def test_score_tells_which_column_is_strange(run: Path, vae: Callable[..., Any], tmp_path: Path) -> None:
    """A row that spends a fortune on no visit is selected for that column, by every statistic; an empty cell is no reason."""
    odd = customers()[:60].with_columns(
        pl.Series("spent", [*customers()["spent"][:59], 900_000.0]), pl.Series("city", [None, *customers()["city"][1:60]])
    )
    odd.write_csv(tmp_path / "odd.csv")
    for statistic in ("standardised", "log-px", "typicality", "ratio"):
        out = tmp_path / f"{statistic}.parquet"
        done = vae("score", run, tmp_path / "odd.csv", "-o", out, "--attribution", "--statistic", statistic)
        assert done.code == 0, done.err
        assert "Scoring held-out items" not in done.err, "the calibration of the run serves"
        frame = pl.read_parquet(out)
        because = frame.select(pl.col("^because_.*$"))
        assert because.columns == [f"because_{name}" for name in ("city", "age", "visits", "spent", "member", "since")]
        assert because["because_city"][0] == 0
        assert min(because.row(59, named=True).items(), key=lambda pair: pair[1])[0] == "because_spent"
        if statistic != "ratio":
            assert frame["p_value"][59] == frame["p_value"].min() == pytest.approx(1 / 41)
    alone = odd[:3]
    alone.write_csv(tmp_path / "alone.csv")
    assert vae("score", run, tmp_path / "alone.csv", "-o", tmp_path / "alone.parquet").code == 0
    np.testing.assert_allclose(
        pl.read_parquet(tmp_path / "alone.parquet")["log_px"], pl.read_parquet(tmp_path / "log-px.parquet")["log_px"][:3], rtol=1e-5
    )


def test_two_runs_are_compared_by_what_rows_have(run: Path, vae: Callable[..., Any]) -> None:
    done = vae("compare", run, run.parent / "customers", "--samples", 10, "--json")
    assert done.code == 0, done.err
    (measured,) = json.loads(done.out)["table"].values()
    assert {"log_px", "elbo", "kl"} <= set(measured)
    assert "reconstruction_mse" not in measured
