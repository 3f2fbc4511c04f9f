"""Batches that hold more labels than the data do: with the share told, value and gradient have the mean that they have over all items."""

import itertools

import torch
from torch import Tensor, nn

from vaeworks import VAE, Batch, Decoder, Encoder
from vaeworks.latents import LabelledLatents
from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.networks import MLP
from vaeworks.objectives import SemiSupervised
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior

X, D, C = 4, 2, 3


def without_noise() -> VAE:
    """A model whose decoder looks at y alone and whose q(z | x, y) is p(z): every draw gives the same loss."""
    posterior, likelihood = DiagonalNormalPosterior(D), GaussianLikelihood((X,), 0, scale=0.7)
    encoder = Encoder(MLP((X,), posterior.parameter_shape, hidden=()), posterior, mean=torch.zeros(X), context_size=C)
    decoder = Decoder(MLP((C + D,), likelihood.parameter_shape, hidden=()), likelihood)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
        layer = decoder.network.body[-1]
        assert isinstance(layer, nn.Linear)
        layer.weight[:, C:] = 0
    return VAE(encoder, decoder, StandardNormalPrior(D), latents=LabelledLatents(D, (X,), lambda i, o: MLP(i, o, hidden=(5,)), C)).double()


def loss_and_gradient(vae: VAE, objective: SemiSupervised, batch: Batch) -> Tensor:
    loss = objective(vae(batch), batch).value
    learned = [*vae.latents.parameters(), vae.decoder.network.body[-1].bias]
    return torch.cat([loss[None], *(gradient.flatten() for gradient in torch.autograd.grad(loss, learned))]).detach()


def test_every_label_in_every_batch_with_the_gradient_of_all_items() -> None:
    """2 labelled items and 5 others; every batch of one labelled and two other items, once each."""
    torch.manual_seed(0)
    vae, x = without_noise(), torch.randn(7, X).double()
    context = torch.zeros(7, C).double()
    context[0, 1] = context[1, 2] = 1
    objective = SemiSupervised(alpha=0.6)
    whole = loss_and_gradient(vae, objective, Batch(x, context=context))
    objective.labelled = 2 / 7
    torch.testing.assert_close(loss_and_gradient(vae, objective, Batch(x, context=context)), whole)
    parts = [
        loss_and_gradient(vae, objective, Batch(x[list(chosen)], context=context[list(chosen)]))
        for chosen in ((one, *two) for one in (0, 1) for two in itertools.combinations(range(2, 7), 2))
    ]
    torch.testing.assert_close(torch.stack(parts).mean(0), whole)
    objective.labelled = None
    assert not torch.allclose(torch.stack([loss_and_gradient(vae, objective, Batch(x[:3], context=context[:3]))]).mean(0), whole)


def test_batches_without_a_label_or_without_an_item_that_lacks_one() -> None:
    torch.manual_seed(0)
    vae, x = without_noise(), torch.randn(4, X).double()
    for labels in (torch.zeros(4, C), torch.eye(C)[[0, 1, 2, 0]]):
        for labelled in (None, 0.3):
            objective = SemiSupervised()
            objective.labelled = labelled
            assert loss_and_gradient(vae, objective, Batch(x, context=labels.double())).isfinite().all()
    bare = SemiSupervised()(vae(Batch(x)), Batch(x))
    assert bare.terms["cross_entropy"].eq(0).all()
