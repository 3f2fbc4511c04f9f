import pytest
import torch
from torch.distributions import Independent, Normal

from vaeworks.likelihoods import SoundLikelihood
from vaeworks.objectives import ELBO, SpectralELBO
from vaeworks.signals import stft_distance
from vaeworks.trace import Batch, Latent, Trace


def trace_of(features: torch.Tensor, heard: torch.Tensor | None) -> Trace:
    q = Independent(Normal(torch.zeros(features.shape[1], 2), 0.5), 1)
    p = SoundLikelihood((1, 64), 0, step=8)(features)
    return Trace(p if heard is None else p.marginal(heard), (Latent(q.sample((len(features),)), q, Independent(Normal(torch.zeros(2), 1.0), 1)),))


@pytest.mark.parametrize("masked", [True, False])
def test_sounds_that_end_are_compared_until_they_end(masked: bool) -> None:
    torch.manual_seed(0)
    features, x = torch.randn(2, 3, 2, 64, requires_grad=True), torch.randn(3, 1, 64)
    heard = (torch.arange(64) < torch.tensor([64, 40, 8])[:, None, None]) if masked else None
    batch = Batch(x if heard is None else x.masked_fill(~heard, torch.nan), heard)
    trace = trace_of(features, heard)
    loss = SpectralELBO(strength=3.0, windows=(8, 16))(trace, batch)
    (gradient,) = torch.autograd.grad(loss.value, features, retain_graph=True)
    assert gradient.isfinite().all()
    until = ~trace.x.mean.isnan()
    expected = [stft_distance((x * until[k])[:, :1], features[k, :, :1].masked_fill(~until[k], 0), (8, 16)) for k in range(2)]
    torch.testing.assert_close(loss.terms["spectral_distance"], torch.stack(expected).detach())
    elbo = ELBO()(trace, batch)
    torch.testing.assert_close(loss.terms["elbo"], elbo.terms["elbo"])
    torch.testing.assert_close(loss.value, elbo.value + 3 * torch.stack(expected).mean())


def test_waveforms_only() -> None:
    with pytest.raises(ValueError, match=r"waveforms.*shape \(4,\).*'elbo'"):
        SpectralELBO()(Trace(Independent(Normal(torch.zeros(1, 2, 4), 1.0), 1), ()), Batch(torch.zeros(2, 4)))
