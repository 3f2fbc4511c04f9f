import pytest
import torch
from torch.distributions import Independent, Normal

from vaeworks.likelihoods import SoundLikelihood
from vaeworks.objectives import ELBO, VAEGAN, SpectralELBO
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


def sounds() -> tuple[torch.Tensor, Batch]:
    torch.manual_seed(0)
    heard = torch.arange(64) < torch.tensor([64, 40, 8])[:, None, None]
    return torch.randn(1, 3, 2, 64, requires_grad=True), Batch(torch.randn(3, 1, 64).masked_fill(~heard, torch.nan), heard)


def test_a_discriminator_of_sounds_hears_them_until_they_end() -> None:
    features, batch = sounds()
    objective = VAEGAN(features=4, hidden=(8,), spectral=3.0)
    trace = trace_of(features, batch.observed)
    objective.settle(trace, 3)
    loss = objective(trace, batch)
    (gradient,) = torch.autograd.grad(loss.value, features)
    assert gradient.isfinite().all()
    assert batch.observed is not None
    assert not gradient[0, :, :1][~batch.observed].any()  # what is made beyond the end is heard by nobody
    assert gradient[0, :, :1][batch.observed].any()
    spectral = SpectralELBO(strength=3.0)(trace, batch)
    torch.testing.assert_close(loss.terms["spectral_distance"], spectral.terms["spectral_distance"])
    gan = loss.terms["feature_distance"].mean() + loss.terms["deceit"].mean()
    torch.testing.assert_close(loss.value.detach(), spectral.value.detach() + gan)


def test_a_discriminator_of_sounds_learns_to_tell_noise_from_tones_whatever_their_phases() -> None:
    torch.manual_seed(0)
    features, batch = sounds()
    objective = VAEGAN(features=4, hidden=(8,))
    objective.settle(trace_of(features, batch.observed), 3)
    judge = objective.discriminator
    assert judge is not None
    optimizer = torch.optim.Adam(judge.parameters(), 1e-2)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        phase = 6.283 * torch.rand(16, 1, 1)
        return (0.6 * torch.arange(64) + phase).sin(), 0.7 * torch.randn(16, 1, 64)

    for _ in range(25):
        tones, noise = pair()
        loss = torch.nn.functional.softplus(-judge(tones)).mean() + torch.nn.functional.softplus(judge(noise)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tones, noise = pair()
    assert (judge(tones) > 0).float().mean().item() == pytest.approx(1, abs=0.05)
    assert (judge(noise) < 0).float().mean().item() == pytest.approx(1, abs=0.05)
