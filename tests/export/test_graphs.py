"""Graphs against the model itself, and noise against the distributions it is to become; ONNX only where that is what is tested."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import vaeworks.export.onnx as onnx_room
from vaeworks import VAE, Decoder, Encoder
from vaeworks.distributions import DiscretisedLogistic, DiscretisedLogisticMixture, fit_margin
from vaeworks.errors import ArtifactError
from vaeworks.export import Graph, decoder_graph, encoder_graph, program_bytes, sampler_graph
from vaeworks.export.levels import mean_of_levels
from vaeworks.export.noise import code_map
from vaeworks.latents import HamiltonianLatents, TwoLevelLatents, TwoStageLatents
from vaeworks.likelihoods import BernoulliLikelihood
from vaeworks.likelihoods.table import TableLikelihood
from vaeworks.model import ImageSchema
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior, VonMisesFisherPosterior
from vaeworks.priors import MAFPrior, MixturePrior, Prior, SpherePrior, StandardNormalPrior, VampPrior, WrappedNormalPrior

SCHEMA = ImageSchema((1, 4, 4), mode="L", levels=2)


def small(prior: Prior, latents: Any = None, *, sphere: bool = False, context_size: int = 0) -> VAE:
    torch.manual_seed(0)
    posterior = (VonMisesFisherPosterior if sphere else DiagonalNormalPosterior)(3)
    size = 3 if latents is None else latents.code_size
    likelihood = BernoulliLikelihood((1, 4, 4), 2)
    encoder = Encoder(MLP((1, 4, 4), posterior.parameter_shape, hidden=(8,)), posterior, mean=torch.full((1, 4, 4), 0.5), context_size=context_size)
    decoder = Decoder(MLP((size + context_size,), likelihood.parameter_shape, hidden=(8,)), likelihood, context_size=context_size)
    return VAE(encoder, decoder, prior, latents=latents).eval()


@pytest.mark.parametrize("make", [StandardNormalPrior, MixturePrior, VampPrior, MAFPrior, SpherePrior, WrappedNormalPrior])
def test_noise_becomes_the_prior(make: type[Prior]) -> None:
    vae = small(make(3))
    with torch.no_grad():
        for parameter in vae.prior.parameters():  # away from where training starts
            parameter.add_(0.3 * torch.randn_like(parameter))
        codes, generator = code_map(vae), torch.Generator().manual_seed(1)
        z = codes(tuple(noise.draw(4000, generator) for noise in codes.noises), None)
        torch.manual_seed(2)
        drawn = vae.prior.draw(4000)
    for along in torch.randn(4, 3, generator=generator):
        assert stats.ks_2samp((z @ along).numpy(), (drawn @ along).numpy()).pvalue > 1e-4


@pytest.mark.parametrize("make", [TwoLevelLatents, TwoStageLatents])
def test_noise_becomes_both_levels(make: type[TwoLevelLatents] | type[TwoStageLatents]) -> None:
    vae = small(StandardNormalPrior(3), make(3, (1, 4, 4)))
    codes, generator = code_map(vae), torch.Generator().manual_seed(1)
    with torch.no_grad():
        z = codes(tuple(noise.draw(4000, generator) for noise in codes.noises), None)
        torch.manual_seed(2)
        drawn = vae.latents.generate(vae.prior, 4000)
    assert z.shape == drawn.shape
    for along in torch.randn(4, z.shape[1], generator=generator):
        assert stats.ks_2samp((z @ along).numpy(), (drawn @ along).numpy()).pvalue > 1e-4


def table_likelihood() -> TableLikelihood:
    rng = np.random.default_rng(0)
    margins = (
        fit_margin("mixture", rng.normal(size=200)),
        fit_margin("student", rng.standard_t(4, size=200)),
        fit_margin("categorical", rng.integers(0, 3, 200), size=3),
        fit_margin("boolean", rng.integers(0, 2, 200), size=2),
        fit_margin("poisson", rng.poisson(3, 200)),
        fit_margin("negative-binomial", rng.negative_binomial(2, 0.3, 200)),
        fit_margin("zero-inflated", rng.negative_binomial(2, 0.3, 200) * rng.integers(0, 2, 200)),
        fit_margin("gaussian", rng.normal(size=200)),
    )
    return TableLikelihood((len(margins),), margins, components=3)


def test_rows_have_the_medians_and_the_draws_of_their_distributions() -> None:
    from vaeworks.export.rows import Rows

    likelihood = table_likelihood()
    rows = Rows(likelihood)
    p = likelihood(torch.randn(6, *likelihood.parameter_shape, generator=torch.Generator().manual_seed(0)))
    most = torch.tensor([m.high if m.kind in ("poisson", "negative-binomial", "zero-inflated") else np.inf for m in likelihood.margins])
    torch.testing.assert_close(rows.median(p), torch.minimum(p.estimate(), most), atol=1e-4, rtol=1e-4)

    n, generator = 3000, torch.Generator().manual_seed(1)
    one = likelihood(torch.randn(1, *likelihood.parameter_shape, generator=torch.Generator().manual_seed(3)).expand(n, -1))
    uniform, noise = torch.rand(n, 8, generator=generator), torch.randn(n, 8, generator=generator)
    drawn = rows.draw(one, uniform, noise)
    torch.manual_seed(4)
    wanted = torch.minimum(one.sample(), most)
    for j, margin in enumerate(likelihood.margins):
        a, b = drawn[:, j].numpy(), wanted[:, j].numpy()
        if margin.kind in ("categorical", "boolean", "poisson", "negative-binomial", "zero-inflated"):
            table = np.stack([np.bincount(v.astype(int), minlength=200) for v in (a, b)])
            table = table[:, table.sum(0) > 10]
            assert table.shape[1] < 2 or stats.chi2_contingency(table).pvalue > 1e-4
        else:
            assert stats.ks_2samp(a, b).pvalue > 1e-4


def test_counts_are_quantiles_of_scipys_negative_binomial() -> None:
    from vaeworks.distributions.count_columns import CountColumns
    from vaeworks.export.rows import _count

    mean, r = torch.tensor([0.3, 4.0, 40.0]), torch.tensor([0.7, 2.0, 30.0])
    u = torch.linspace(0.001, 0.999, 97, dtype=torch.float64)[:, None]
    found = _count(CountColumns(mean.log().expand(97, 3), r.log().expand(97, 3)), u.expand(97, 3), [1000.0] * 3)
    wanted = stats.nbinom.ppf(u.numpy(), r.numpy(), (r / (r + mean)).numpy())
    assert (np.abs(found.numpy() - wanted) > 0).mean() < 0.01  # a rounding of the sum may move one step at most
    assert np.abs(found.numpy() - wanted).max() <= 1


def test_means_of_levels_are_those_of_the_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    loc, log_scale = torch.rand(2, 3, 5, 5, generator=generator), torch.randn(2, 3, 5, 5, generator=generator) - 3
    p = DiscretisedLogistic(loc, log_scale, 256)
    torch.testing.assert_close(mean_of_levels(p), p.mean, atol=1e-5, rtol=0)
    mixture = DiscretisedLogisticMixture(
        torch.randn(2, 4, 5, 5, generator=generator), loc[:, None].expand(2, 4, 3, 5, 5), log_scale[:, None].expand(2, 4, 3, 5, 5), 17
    )
    torch.testing.assert_close(mean_of_levels(mixture), mixture.mean, atol=1e-5, rtol=0)


def test_codes_on_the_sphere_are_the_models() -> None:
    vae = small(SpherePrior(3), sphere=True)
    graph = encoder_graph(vae, SCHEMA)
    (x,) = graph.examples(5, 1)
    assert graph.difference([t.numpy() for t in graph.run((x,))], (x,)) < 1e-5


def test_a_program_of_torch_is_loaded_by_torch_alone_and_takes_any_batch() -> None:
    graph = sampler_graph(small(MixturePrior(3), context_size=2), 2)
    content, difference = program_bytes(graph)
    assert difference <= 1e-5
    loaded = torch.export.load(io.BytesIO(content)).module()
    for n in (1, 4):
        inputs = graph.examples(n, 9)
        torch.testing.assert_close(loaded(*inputs), graph.run(inputs))


def test_paths_have_no_encoder_that_can_be_exported_but_the_rest() -> None:
    vae = small(StandardNormalPrior(3), HamiltonianLatents(3))
    with pytest.raises(ArtifactError, match=r"follows gradients .* --only decoder --only sampler"):
        encoder_graph(vae, SCHEMA)
    assert decoder_graph(vae).outputs == ("x", "logits")
    assert sampler_graph(vae).inputs == ("noise",)


def test_onnx_agrees_or_is_refused() -> None:
    pytest.importorskip("onnxscript")
    graph = decoder_graph(small(StandardNormalPrior(3)))
    content, difference = onnx_room.onnx_bytes(graph)
    assert 0 <= difference <= 1e-4
    assert b"codes, such as" in content  # what inputs mean travels with them
    wrong = Graph(graph.name, graph.module, graph.inputs, graph.outputs, graph.examples, truth=lambda z: torch.zeros(len(z), 1, 4, 4))
    with pytest.raises(ArtifactError, match="differs from torch by"):
        onnx_room._parity(content, wrong)
