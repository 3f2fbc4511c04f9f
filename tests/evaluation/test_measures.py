"""The measure of rows: strangeness that does not depend on a column's units."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from vaeworks.data import Items
from vaeworks.distributions import fit_margin
from vaeworks.evaluation.measures import log_measure
from vaeworks.likelihoods.table import TableLikelihood
from vaeworks.model import VAE, Decoder, Encoder, TableSchema
from vaeworks.model.table_column import Column
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior


def model_of(**columns: tuple[str, np.ndarray, float]) -> tuple[VAE, TableSchema, Items]:
    """A VAE of untrained networks, its schema and the rows, for columns of (margin, raw values, step)."""
    margins = {name: fit_margin(kind, values, step=step) for name, (kind, values, step) in columns.items()}
    table = tuple(Column(name, "continuous", margin, dtype="Float64") for name, margin in margins.items())
    schema = TableSchema(shape=(len(table),), table=table)
    view, posterior, likelihood = schema.view(), DiagonalNormalPosterior(2), TableLikelihood(schema.shape, schema.margins)
    encoder = Encoder(MLP((view.size,), posterior.parameter_shape), posterior, mean=torch.zeros(view.size), view=view)
    vae = VAE(encoder, Decoder(MLP((2,), likelihood.parameter_shape), likelihood), StandardNormalPrior(2))
    x = np.stack([margins[name].to_x(values) for name, (_, values, _) in columns.items()], 1)
    return vae.eval(), schema, Items(torch.from_numpy(x))


def test_a_gaussian_column_is_measured_in_its_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(5, 3, 500)
    vae, schema, items = model_of(a=("gaussian", values, 0.0))
    expected = math.log(1 / schema.margins[0].scale)
    torch.testing.assert_close(log_measure(vae, items, schema), torch.full((500, 1), expected, dtype=torch.float64), atol=1e-5, rtol=0)


def test_a_log_normal_column_is_measured_by_the_slope_of_its_map() -> None:
    values = np.random.default_rng(0).lognormal(1, 0.5, 500)
    vae, schema, items = model_of(a=("log-normal", values, 0.0))
    margin = schema.margins[0]
    slope = 1 / (margin.scale * (values - margin.origin))
    np.testing.assert_allclose(log_measure(vae, items, schema)[:, 0].numpy(), np.log(slope), atol=2e-3)


def test_a_spike_is_as_probable_as_its_place_among_normal_scores() -> None:
    """Of a column of which 60 % is one value, that value's mass less its measure is the density of N(0, 1) in the middle of its share: no more than what is usual."""
    rng = np.random.default_rng(0)
    values = np.where(rng.random(2000) < 0.6, 0.0, rng.lognormal(-5, 1, 2000))
    vae, schema, items = model_of(a=("quantile", values, 0.0))
    zero = np.flatnonzero(values == 0)[:1]
    likelihood = vae.decoder.likelihood
    mass = likelihood(torch.zeros(likelihood.parameter_shape)).log_prob(items.values[zero].float()).item()
    measure = log_measure(vae, items, schema)[zero[0], 0].item()
    share = (values == 0).mean()
    assert mass == pytest.approx(math.log(share), abs=0.02)
    assert mass - measure == pytest.approx(stats.norm.logpdf(stats.norm.ppf(share / 2)), abs=0.05)


def test_a_change_of_units_changes_no_score() -> None:
    """log p(x) less the measure is the same for grams and tonnes; log p(x) is not."""
    values = np.random.default_rng(0).gamma(2, 3, 400)
    totals, plain = [], []
    for unit in (1.0, 1e-6):
        vae, schema, items = model_of(a=("quantile", values * unit, 0.0), b=("gaussian", values[::-1] * unit, 0.0))
        p = vae.decoder.likelihood(torch.zeros(len(values), *vae.decoder.likelihood.parameter_shape))
        log_p = p.log_prob(items.values.float()).double()
        plain.append(log_p)
        totals.append(log_p - log_measure(vae, items, schema).sum(-1))
    torch.testing.assert_close(*totals, atol=1e-3, rtol=0)
    assert (plain[1] - plain[0]).abs().min() > 20


def test_missing_cells_categories_and_counts_have_none() -> None:
    values = np.random.default_rng(0).poisson(4, 200).astype(float)
    vae, schema, items = model_of(a=("poisson", values, 0.0), b=("gaussian", values * 0.37, 0.0))
    observed = torch.zeros(200, 2, dtype=torch.bool)
    observed[:, 0] = True
    hidden = Items(items.values, observed=observed)
    assert not log_measure(vae, hidden, schema).any()
