import pytest
import torch
from torch import nn

from vaeworks.networks import GRUDecoder, LSTMDecoder, TransformerDecoder, TransformerEncoder
from vaeworks.networks.recurrent import recurrent
from vaeworks.networks.sequences import AutoregressiveDecoder


def test_word_dropout_replaces_that_share_of_what_is_read_in_training_only() -> None:
    torch.manual_seed(0)
    network = GRUDecoder((2,), (50, 9), width=4, word_dropout=0.3)
    x = torch.randint(0, 9, (200, 50))
    plain = network.eval().read(x)
    read = network.train().read(x)
    replaced = (read == network.dropped).all(-1)
    assert not replaced[:, 0].any()  # the beginning is no word
    assert replaced[:, 1:].float().mean().item() == pytest.approx(0.3, abs=0.02)
    torch.testing.assert_close(read[~replaced], plain[~replaced], atol=0, rtol=0)
    assert not (plain == network.dropped).all(-1).any()


@pytest.mark.parametrize("kind", [GRUDecoder, LSTMDecoder, TransformerDecoder])
def test_where_sizes_allow_one_table_serves_input_and_output(kind: type[AutoregressiveDecoder]) -> None:
    network = kind((2,), (5, 7), width=8)
    with torch.no_grad():
        hidden = torch.randn(3, 8)
        torch.testing.assert_close(network.project(hidden), hidden @ network.embedding.weight.T + network.bias)
    if kind is not TransformerDecoder:
        other = kind((2,), (5, 7), width=8, embedding=6)
        assert other.output is not None
        assert other.project(hidden).shape == (3, 7)


@pytest.mark.parametrize("kind", [GRUDecoder, LSTMDecoder, TransformerDecoder])
def test_a_code_reaches_every_position_and_every_layer(kind: type[AutoregressiveDecoder]) -> None:
    """Each number that z becomes has a gradient at the last position."""
    torch.manual_seed(0)
    network = kind((3,), (6, 7), width=8, layers=2).eval()
    memory = network.code(torch.randn(2, 3)).detach().requires_grad_()
    for position in (0, 5):
        (gradient,) = torch.autograd.grad(network.hidden(memory, torch.randint(0, 7, (2, 6)))[:, position].square().sum(), memory)
        assert (gradient != 0).all()


@pytest.mark.parametrize("kind", [GRUDecoder, LSTMDecoder])
def test_a_plan_tells_each_position_of_its_own(kind: type[AutoregressiveDecoder]) -> None:
    """What is planned for a position moves its logits and those after it, none before."""
    torch.manual_seed(0)
    network = kind((3,), (6, 7), width=8, plan=2).eval()  # type: ignore[call-arg]
    memory = network.remembered(torch.randn(1, 3)).detach().requires_grad_()
    assert memory.shape[1] == network.code(torch.zeros(1, 3)).shape[1] + 6 * 2
    hidden = network.hidden(memory, torch.randint(0, 7, (1, 6)))
    for place in range(6):
        (gradient,) = torch.autograd.grad(hidden[0, place].square().sum(), memory, retain_graph=True)
        reached = gradient[0, -12:].unflatten(0, (6, 2)).any(1)
        assert reached.tolist() == [later <= place for later in range(6)]
    assert kind((0,), (6, 7), width=8, plan=2).remembered(torch.zeros(4, 0)).shape[0] == 4  # type: ignore[call-arg]


def test_a_width_that_heads_cannot_share_names_the_cure() -> None:
    with pytest.raises(ValueError, match=r"width=10 does not divide among heads=4: make width a multiple of heads"):
        TransformerEncoder((5, 7), (2,), width=10)


def test_recurrent_networks_start_orthogonal_and_lstms_remember() -> None:
    network = recurrent(nn.LSTM, 4, 6, 2, 0.0)
    for gate in network.weight_hh_l1.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6))
    bias = network.bias_ih_l0 + network.bias_hh_l0
    torch.testing.assert_close(bias[6:12], torch.ones(6))  # the forget gate's
    assert not bias[:6].any()
    assert not bias[12:].any()
