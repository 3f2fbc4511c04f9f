"""Tensor to tensor: networks know shapes, not probability. A residual network is a convolutional one with ``blocks``."""

from torch import nn

from vaeworks.networks.conv import ConvDecoder, ConvEncoder
from vaeworks.networks.mlp import MLP
from vaeworks.networks.recurrent import GRUDecoder, GRUEncoder, LSTMDecoder, LSTMEncoder
from vaeworks.networks.sequences import Conditioned
from vaeworks.networks.transformer import ParallelDecoder, TransformerDecoder, TransformerEncoder
from vaeworks.networks.wave import WaveDecoder, WaveEncoder

__all__ = [
    "DECODER_NETWORKS",
    "ENCODER_NETWORKS",
    "MLP",
    "Conditioned",
    "ConvDecoder",
    "ConvEncoder",
    "GRUDecoder",
    "GRUEncoder",
    "LSTMDecoder",
    "LSTMEncoder",
    "ParallelDecoder",
    "TransformerDecoder",
    "TransformerEncoder",
    "WaveDecoder",
    "WaveEncoder",
]

ENCODER_NETWORKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "conv": ConvEncoder,
    "wave": WaveEncoder,
    "gru": GRUEncoder,
    "lstm": LSTMEncoder,
    "transformer": TransformerEncoder,
}
"""The encoder axis: recipe name -> class."""

DECODER_NETWORKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "conv": ConvDecoder,
    "wave": WaveDecoder,
    "gru": GRUDecoder,
    "lstm": LSTMDecoder,
    "transformer": TransformerDecoder,
    "parallel": ParallelDecoder,
}
"""The decoder axis: recipe name -> class."""
