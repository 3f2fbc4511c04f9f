"""Tensor to tensor: networks know shapes, not probability. A residual network is a convolutional one with ``blocks``."""

from torch import nn

from vaeworks.networks.conv import ConvDecoder, ConvEncoder
from vaeworks.networks.mlp import MLP

__all__ = ["DECODER_NETWORKS", "ENCODER_NETWORKS", "MLP", "ConvDecoder", "ConvEncoder"]

ENCODER_NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "conv": ConvEncoder}
"""The encoder axis: recipe name -> class."""

DECODER_NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "conv": ConvDecoder}
"""The decoder axis: recipe name -> class."""
