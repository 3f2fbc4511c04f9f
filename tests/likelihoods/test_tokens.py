import torch

from vaeworks.likelihoods import TokenLikelihood
from vaeworks.networks import GRUDecoder


def test_features_are_logits_or_a_conditioned_decoder() -> None:
    likelihood = TokenLikelihood((6,), 9)
    assert likelihood.parameter_shape == (6, 9)
    assert likelihood.discrete
    for features in (torch.randn(2, 3, 6, 9), GRUDecoder((4,), (6, 9), width=5)(torch.randn(6, 4)).unflatten(0, (2, 3))):
        p = likelihood(features)
        assert (p.batch_shape, p.event_shape) == ((2, 3), (6,))
