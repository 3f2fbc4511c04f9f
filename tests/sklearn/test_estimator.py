"""The estimator in pipelines, searches and data frames, and its figures beside closed forms."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import parallel_config
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import vaeworks
from vaeworks.sklearn import VAE

IRIS = load_iris().data
QUICK: dict[str, Any] = {"epochs": 5, "samples": 20, "random_state": 0, "latent_size": 2}


def mixed(n: int = 60) -> dict[str, list[Any]]:
    """Columns of several kinds, in which ``size`` follows ``animal``, some cells missing."""
    rng = np.random.default_rng(0)
    animal = rng.choice(["cat", "dog", "horse"], n)
    size = np.where(animal == "horse", 160.0, np.where(animal == "dog", 50.0, 25.0)) + rng.normal(size=n)
    return {
        "animal": animal.tolist(),
        "size": [None if i % 7 == 0 else float(s) for i, s in enumerate(size)],
        "legs": [4 - int(i % 9 == 0) for i in range(n)],
        "tame": [bool(a != "horse") for a in animal],
    }


@pytest.fixture(scope="module")
def frames() -> VAE:
    return VAE(**{**QUICK, "epochs": 100}).fit(pd.DataFrame(mixed()))


def test_score_is_the_log_density_of_known_normal_data() -> None:
    """Held-out log p(x) comes near that of the very distribution that drew the rows, and cannot pass it by more than chance."""
    covariance = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 4.0]])
    truth = multivariate_normal(np.array([0.0, 3.0, -1.0]), covariance)
    rows, held_out = truth.rvs(600, random_state=0), truth.rvs(300, random_state=1)
    vae = VAE(epochs=60, latent_size=2, samples=100, random_state=0).fit(rows)
    gap = truth.logpdf(held_out) - vae.score_samples(held_out)
    error = gap.std() / np.sqrt(len(gap))
    assert -3 * error < gap.mean() < 0.35
    independent = sum(multivariate_normal(truth.mean[i], covariance[i, i]).logpdf(held_out[:, i]).mean() for i in range(3))
    assert vae.score(held_out) > independent + 0.15  # what no model of columns one by one can reach
    np.testing.assert_allclose(np.cov(vae.sample(4000, random_state=2).T), covariance, atol=0.5)


def test_pipeline_search_and_clone() -> None:
    rows = load_iris()
    made = make_pipeline(StandardScaler(), VAE(**{**QUICK, "epochs": 20}), LogisticRegression()).fit(rows.data, rows.target)
    assert made.score(rows.data, rows.target) > 0.8
    halves = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(VAE(**QUICK), {"epochs": [1, 80], "overrides": [{"objective.samples": 2}]}, cv=halves).fit(IRIS)
    assert search.best_params_["epochs"] == 80  # the score is log p(x): more training, more of it
    brief = GridSearchCV(VAE(**QUICK), {"epochs": [1, 2]}, cv=halves, refit=False)
    one_by_one = brief.fit(IRIS).cv_results_["mean_test_score"]
    with parallel_config("threading", n_jobs=2):
        np.testing.assert_array_equal(brief.fit(IRIS).cv_results_["mean_test_score"], one_by_one)
    alone = [VAE(**{**QUICK, **search.best_params_}).fit(IRIS[a]).score(IRIS[b]) for a, b in halves.split(IRIS)]
    assert search.best_score_ == pytest.approx(np.mean(alone), abs=1e-9)
    assert search.best_estimator_.model_.recipe["objective"]["samples"] == 2
    assert not hasattr(clone(search.best_estimator_), "model_")


def test_frames_come_back_as_they_were_given(frames: VAE) -> None:
    given = pd.DataFrame(mixed())
    assert list(frames.feature_names_in_) == list(given.columns)
    back = frames.reconstruct(given)
    assert isinstance(back, pd.DataFrame)
    assert list(back.columns) == list(given.columns)
    assert (back["animal"] == given["animal"]).mean() > 0.8
    assert (back["size"] - given["size"]).abs().median() < 15
    assert back["size"].notna().all()
    assert set(back["tame"]) <= {True, False}
    drawn = frames.sample(200, random_state=3)
    means = drawn.groupby("animal")["size"].median()
    assert means["cat"] < means["horse"] - 50
    assert (frames.sample(20, random_state=3, given={"animal": "dog"})["animal"] == "dog").all()
    pd.testing.assert_frame_equal(drawn, frames.sample(200, random_state=3))


def test_a_missing_cell_is_marginalised(frames: VAE) -> None:
    """p(row without a category) = sum over the categories of p(row with it), for a model whose likelihood factorises given z."""
    row = pd.DataFrame({"animal": ["dog"], "size": [50.0], "legs": [4], "tame": [True]})
    frames = frames.set_params(samples=5000)  # of an estimator that is fitted, what score_samples asks for can still change
    each = [frames.score_samples(row.assign(animal=animal))[0] for animal in ("cat", "dog", "horse")]
    assert frames.score_samples(row.assign(animal=[None]))[0] == pytest.approx(np.logaddexp.reduce(each), abs=0.1)


def test_polars_and_set_output() -> None:
    frame = pl.DataFrame(mixed())
    vae = VAE(**QUICK).set_output(transform="polars")
    codes = vae.fit_transform(frame)
    assert isinstance(codes, pl.DataFrame)
    assert codes.columns == ["vae0", "vae1"] == list(vae.get_feature_names_out())
    assert vae.inverse_transform(codes.to_numpy()).schema["animal"] == pl.String
    with pytest.raises(ValueError, match="feature names"):
        vae.transform(frame.rename({"legs": "paws"}))


def test_arrays_of_strings_are_categories() -> None:
    cells = np.array(pd.DataFrame(mixed()).drop(columns="tame"), dtype=object)
    vae = VAE(**QUICK).fit(cells)
    back = vae.inverse_transform(vae.transform(cells[:5]))
    assert back.shape == (5, 3)
    assert {column.name: column.kind for column in vae.model_.schema.table} == {"x0": "categorical", "x1": "continuous", "x2": "boolean"}
    assert set(back[:, 0]) <= {"cat", "dog", "horse"}


def test_columns_are_what_they_are_said_to_be() -> None:
    whole = np.random.default_rng(0).integers(0, 4, (40, 2))
    kinds = [[c.kind for c in VAE(**QUICK, columns=columns).fit(whole).model_.schema.table] for columns in (None, "continuous", {1: "categorical"})]
    assert kinds == [["integer", "integer"], ["continuous", "continuous"], ["integer", "categorical"]]


def test_pictures_in_rows() -> None:
    rows = load_digits().data[:300]
    vae = VAE(**{**QUICK, "epochs": 100}, image_shape=(8, 8)).fit(rows)
    back = vae.reconstruct(rows)
    assert back.shape == rows.shape
    assert np.square(back - rows).mean() < 0.8 * rows.var(axis=0).mean()
    alone = [vae.score_samples(row[None])[0] for row in rows[:3]]
    np.testing.assert_allclose(alone, vae.score_samples(rows[:3]), rtol=1e-6)
    unit = VAE(**QUICK, image_shape=(1, 8, 8)).fit(rows * 17 // 17 / 255)
    assert unit.sample(4).max() <= 1
    with pytest.raises(ValueError, match="scale them as in fit"):
        vae.transform(rows / 16)
    with pytest.raises(ValueError, match="does not fit rows of 64 pixels"):
        VAE(image_shape=(8, 9)).fit(rows)


def test_pickles_and_saves(tmp_path: Any) -> None:
    vae = VAE(**QUICK).fit(IRIS)
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(vae.transform(IRIS), again.transform(IRIS))
    np.testing.assert_array_equal(vae.score_samples(IRIS[:9]), again.score_samples(IRIS[:9]))
    loaded = vaeworks.load(vae.model_.save(tmp_path / "iris"))
    names = pl.DataFrame({f"x{i}": IRIS[:, i] for i in range(4)})
    np.testing.assert_allclose(loaded.encode(names).numpy(), vae.transform(IRIS), atol=1e-4)


def test_a_fit_leaves_the_random_stream_alone_and_repeats() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = VAE(**QUICK).fit(IRIS), VAE(**QUICK).fit(IRIS)
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(one.transform(IRIS), two.transform(IRIS))
    np.testing.assert_array_equal(one.sample(5), two.sample(5))
    assert not np.array_equal(one.sample(5), one.sample(5, random_state=1))


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (np.ones((9, 3)), {}, "no column to learn from"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), {}, "infinity"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1.0, np.inf]}), {}, "infinity in column 'b'"),
        (pd.DataFrame({"a": ["x"]}), {}, "1 sample"),
        (np.zeros((3, 8, 8)), {}, "dim 3"),
        (IRIS, {"recipe": "tabel"}, "did you mean 'table'"),
        (IRIS, {"overrides": {"objective.betta": 3}}, "objective.betta"),
        (IRIS, {"overrides": "objective.beta=3"}, "is one string"),
        (IRIS, {"recipe": "cvae"}, "needs data with labels"),
        (IRIS, {"columns": {"x9": "count"}}, "no column 'x9'"),
        (IRIS, {"device": "tpu"}, "choose auto, cpu, cuda or mps"),
    ],
)
def test_mistakes_are_value_errors_with_a_cure(rows: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VAE(**settings).fit(rows)


def test_columns_that_are_not_modelled_are_told() -> None:
    frame = pd.DataFrame({"id": range(30), "a": np.random.default_rng(0).normal(size=30)})
    with pytest.warns(UserWarning, match="columns id are identifiers"):
        vae = VAE(**QUICK).fit(frame)
    assert vae.sample(2)["id"].isna().all()


def test_a_plain_autoencoder_has_no_density() -> None:
    vae = VAE(**QUICK, recipe="autoencoder", image_shape=(8, 8)).fit(load_digits().data[:60])
    with pytest.raises(ValueError, match=r"gives no log p\(x\)"):
        vae.score(load_digits().data[:60])
