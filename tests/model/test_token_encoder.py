"""Tokens on their way through the VAE: networks that read them, and networks that see numbers."""

import pytest
import torch

from vaeworks import VAE, Batch, Decoder, Encoder
from vaeworks.distributions.tokens import END, PAD, through_end
from vaeworks.likelihoods import TokenLikelihood
from vaeworks.networks import DECODER_NETWORKS, ENCODER_NETWORKS
from vaeworks.objectives import IWAE
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.training.adamw import AdamW

L, V, D = 6, 7, 2
X = torch.tensor([[2, 3, END, PAD, PAD], [4, 5, 6, 2, END], [END, PAD, PAD, PAD, PAD]])
"""A batch trimmed to its longest item."""
SMALL = {"mlp": {"hidden": (8,)}, "gru": {"width": 8}, "lstm": {"width": 8}, "transformer": {"width": 8, "layers": 1, "heads": 2}}


def build(reader: str, writer: str = "gru", context: int = 0) -> VAE:
    posterior, likelihood = DiagonalNormalPosterior(D), TokenLikelihood((L,), V)
    network = ENCODER_NETWORKS[reader]((L, V), posterior.parameter_shape, **SMALL[reader])
    encoder = Encoder(network, posterior, mean=torch.rand(L, V), context_size=context)
    decoder = DECODER_NETWORKS[writer]((D + context,), likelihood.parameter_shape, **SMALL[writer])
    return VAE(encoder, Decoder(decoder, likelihood, context_size=context), StandardNormalPrior(D))


@pytest.mark.parametrize("reader", SMALL)
@pytest.mark.parametrize("context", [0, 3])
def test_what_lies_beyond_the_end_is_not_seen(reader: str, context: int) -> None:
    encoder, c = build(reader, context=context).encoder, torch.randn(3, context) if context else None
    expected = encoder.features(X, through_end(X), c)
    whole = torch.nn.functional.pad(X, (0, 1))
    for x, observed in (
        (X, None),
        (whole, None),
        (whole, through_end(whole)),
        (torch.where(through_end(X), X, 3), through_end(X)),
        (X, torch.ones_like(X).bool()),
    ):
        torch.testing.assert_close(encoder.features(x, observed, c), expected, atol=1e-6, rtol=1e-5)
    for item in range(3):
        torch.testing.assert_close(
            encoder.features(X[item : item + 1], None, None if c is None else c[item : item + 1])[0], expected[item], atol=1e-6, rtol=1e-5
        )


def test_a_network_of_numbers_sees_one_hot_tokens_less_their_mean() -> None:
    encoder = build("mlp").encoder
    mean = torch.rand(L, V)
    encoder.centre(mean)
    seen = torch.zeros(3, L, V)
    for item, string in enumerate(X.tolist()):
        for t in range(string.index(END) + 1):
            seen[item, t] = -mean[t]
            seen[item, t, string[t]] += 1
    torch.testing.assert_close(encoder.features(X, through_end(X)), encoder.network(seen))


def test_a_network_of_tokens_has_no_mean() -> None:
    encoder = build("gru").encoder
    before = encoder.features(X)
    encoder.centre(torch.rand(L, V))
    torch.testing.assert_close(encoder.features(X), before, atol=0, rtol=0)
    assert encoder.mean.shape == ()


@pytest.mark.parametrize("reader", SMALL)
def test_a_context_conditions_from_nothing_on(reader: str) -> None:
    """It starts without effect, and has a gradient; once it moves, so does q."""
    encoder, one, other = build(reader, context=3).encoder, torch.eye(3), torch.eye(3).flip(0)
    torch.testing.assert_close(encoder.features(X, None, one), encoder.features(X, None, other))
    (gradient,) = torch.autograd.grad(encoder.features(X, None, one).square().sum(), encoder.shift.weight)
    assert gradient.any()
    encoder.shift.weight.data.copy_(gradient)
    assert not torch.allclose(encoder.features(X, None, one), encoder.features(X, None, other))
    with pytest.raises(ValueError, match="conditional on a context of 3 numbers"):
        encoder.features(X)


@pytest.mark.parametrize(("reader", "writer"), [("mlp", "mlp"), ("gru", "lstm"), ("lstm", "gru"), ("transformer", "transformer")])
def test_the_contract_holds_for_text(reader: str, writer: str) -> None:
    torch.manual_seed(0)
    vae, batch = build(reader, writer, context=2), Batch(X, through_end(X), torch.randn(3, 2))
    trace = vae(batch, k=4)
    assert trace.log_weight(batch).shape == (4, 3)
    torch.testing.assert_close(trace.log_likelihood(batch), vae.decode(trace.latents[0].z, batch.context).log_prob(X))
    IWAE(samples=4)(trace, batch).value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vae.parameters())
    assert vae.generate(5, torch.randn(5, 2)).sample().shape == (5, L)


@pytest.mark.parametrize("writer", ["gru", "lstm", "transformer"])
def test_a_decoder_without_a_code_is_a_language_model(writer: str) -> None:
    """Trained on three strings of equal frequency it finds them: log 3 nats each."""
    torch.manual_seed(0)
    likelihood = TokenLikelihood((L,), V)
    decoder = Decoder(DECODER_NETWORKS[writer]((0,), likelihood.parameter_shape, **SMALL[writer]), likelihood)
    optimiser = AdamW(decoder.parameters())
    optimiser.learning_rate = 0.05
    for _ in range(80):
        loss = -decoder(torch.zeros(3, 0)).log_prob(X).mean()
        decoder.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() == pytest.approx(torch.tensor(3.0).log().item(), abs=0.05)
