"""bfloat16 for the matrix products of networks, float32 for everything that is a probability."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vaeworks.model import VAE
from vaeworks.networks import (
    DECODER_NETWORKS,
    ENCODER_NETWORKS,
    ConvDecoder,
    ConvEncoder,
    ParallelDecoder,
    TransformerDecoder,
    TransformerEncoder,
    WaveDecoder,
    WaveEncoder,
)
from vaeworks.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from vaeworks.networks.sequences import AutoregressiveDecoder
from vaeworks.training.hardware import cpu_multiplies_bf16

__all__ = ["bf16_pays", "intensity", "networks_in_bfloat16", "networks_of", "rounding"]

KINDS = (*ENCODER_NETWORKS.values(), *DECODER_NETWORKS.values())
ENOUGH: dict[tuple[type[nn.Module], ...], float] = {
    (ConvEncoder, ConvDecoder, WaveEncoder, WaveDecoder): 30,
    (RecurrentEncoder, RecurrentDecoder): 40,
    (TransformerEncoder, TransformerDecoder, ParallelDecoder): math.inf,  # attention is up to three times slower, and eats up what the products gain
}
"""Intensity from which a kind of network trains faster in bfloat16, on a CPU that has it; measured on a Xeon with amx, one thread."""
ENOUGH_OF_OTHERS = 75


def networks_of(vae: VAE) -> list[nn.Module]:
    """The networks of ``vae``, none of them part of another: the encoder's and the decoder's, of whatever class, and those of latents and priors."""
    found: list[nn.Module] = []
    within: set[nn.Module] = set()
    ends = [getattr(part, "network", None) for part in (vae.encoder, vae.decoder)]
    for module in vae.modules():  # a module comes before its parts
        if module not in within and (module in ends or isinstance(module, KINDS)):
            found.append(module)
            within.update(module.modules())
    return found


def networks_in_bfloat16(vae: VAE, precision: str, device: torch.device, rows: int, samples: int = 1) -> list[nn.Module]:
    """Those that train in bfloat16 under ``precision``: none for float32, all for bf16, for auto those that it makes quicker, of batches of ``rows`` items and ``samples`` codes each.

    A CPU without the instructions has no LSTM for it: that stays float32.
    """
    networks = [] if precision == "float32" else [network for network in networks_of(vae) if _has_bf16(network, device)]
    if precision == "auto":
        reader = getattr(vae.encoder, "network", None)
        networks = [network for network in networks if bf16_pays(network, device, rows * (1 if network is reader else samples))]
    return networks


def _has_bf16(network: nn.Module, device: torch.device) -> bool:
    return device.type != "cpu" or cpu_multiplies_bf16() or not any(isinstance(part, nn.LSTM) for part in network.modules())


def bf16_pays(network: nn.Module, device: torch.device, rows: int) -> bool:
    """True where ``network`` trains faster on ``rows`` items with bfloat16 products: on a GPU of compute capability 8; on a CPU with the instructions, if the products are large.

    Rounding costs time for every number, and saves it for every multiplication. Decided from shapes, never from a clock, so that a resumed run decides alike.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    enough = next((least for kinds, least in ENOUGH.items() if isinstance(network, kinds)), ENOUGH_OF_OTHERS)
    return device.type == "cpu" and cpu_multiplies_bf16() and intensity(network, rows) >= enough


def intensity(network: nn.Module, rows: int) -> float:
    """Multiplications per number that a product reads or makes, 1 / (1 / rows + 1 / inputs + 1 / outputs); the mean over weights. A convolution has rows without end."""
    weights = [p for p in network.parameters() if p.dim() > 1]
    total = sum(p.numel() / (1 / p[0].numel() + 1 / len(p) + (1 / rows if p.dim() == 2 else 0)) for p in weights)
    return total / max(1, sum(p.numel() for p in weights))


@contextlib.contextmanager
def rounding(networks: list[nn.Module]) -> Iterator[None]:
    """While inside, what ``networks`` multiply is rounded to bfloat16 as long as they are in training mode; what they return is float32 as ever.

    Nothing else is rounded: a log density is a sum over dimensions, a flow is inverted and an integrator solves for fixed points, none of which bears eight bits.
    """
    wrapped = [(network, name) for network in networks for name in _products(network)]
    for network, name in wrapped:
        setattr(network, name, _rounded(network, getattr(network, name)))  # on the instance: no name in a state dict changes
    try:
        yield
    finally:
        for network, name in wrapped:
            delattr(network, name)


def _products(network: nn.Module) -> tuple[str, ...]:
    """The methods that hold the products; a decoder that writes token by token is asked for them only when tokens are scored."""
    return ("hidden", "project") if isinstance(network, AutoregressiveDecoder) else ("forward",)


def _rounded(network: nn.Module, method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(method)
    def call(first: Tensor, *others: Any) -> Tensor:
        if not network.training:
            return method(first, *others)
        with torch.autocast(first.device.type, torch.bfloat16):
            return method(first, *others).float()

    return call
