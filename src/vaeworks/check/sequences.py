"""Text and sound: what stands beyond the end, who else is in the batch, and in which pieces an item is worked through change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.distributions.tokens import END, PAD
from vaeworks.likelihoods import TokenLikelihood
from vaeworks.model import Decoder
from vaeworks.networks import DECODER_NETWORKS, WaveEncoder
from vaeworks.networks.sequences import AutoregressiveDecoder
from vaeworks.signals import mdct, pqmf

__all__ = ["check_sequences"]

LENGTH, VOCABULARY, SIZE = 12, 9, 3
BLOCK = 1024


@torch.no_grad()
def check_sequences(setting: Setting) -> Iterator[CheckResult]:
    """Every decoder that writes token by token; filter banks; a causal network of waveforms."""
    networks: dict[str, Any] = dict(DECODER_NETWORKS)
    for name, network in networks.items():
        if issubclass(network, AutoregressiveDecoder):
            decoder = Decoder(network((SIZE,), (LENGTH, VOCABULARY), width=16), TokenLikelihood((LENGTH,), VOCABULARY))
            yield from _decoder(name, decoder.to(setting.device, setting.dtype).eval(), setting)
    sound = torch.randn(1, 1, 4 * BLOCK).to(setting.device, setting.dtype)
    for name, made, decibels in (("16 bands", pqmf(16), -80.0), ("cosine transform", mdct(16), -120.0)):
        bank = made.to(setting.device, setting.dtype)
        padded = bank.padded(sound)
        back = bank.synthesis(bank.analysis(padded))[..., bank.delay : bank.delay + sound.shape[-1]]
        error = float(10 * torch.log10((back - sound).square().mean() / sound.square().mean()))
        about = f"noise through the bank and back: by how many decibels its error lies above {decibels:g}"
        yield compare(f"sequences: filter bank, {name}", about, max(0.0, error - decibels), 0.0, 0.0)
    trunk = WaveEncoder((1, sound.shape[-1]), (SIZE,), causal=True).to(setting.device, setting.dtype).eval().trunk
    past, blocks = None, []
    for block in sound.split(BLOCK, -1):
        out, past = trunk.stream(block, past)
        blocks.append(out)
    difference = float((torch.cat(blocks, -1) - trunk(sound)).abs().max())
    about = f"a causal network fed {BLOCK} samples at a time, against the whole at once: greatest difference"
    yield compare("sequences: streaming", about, difference, 0.0, setting.rounding(1e-9, 1e-3))


def _decoder(name: str, decoder: Decoder, setting: Setting) -> Iterator[CheckResult]:
    """log p of strings padded, alone and among others; the conditional logits one at a time, remembering, against all at once."""
    z = torch.randn(6, SIZE).to(setting.device, setting.dtype)
    x = torch.randint(END + 1, VOCABULARY, (6, LENGTH), device=setting.device)
    for row, length in enumerate((1, 3, 4, 6, 7, 7)):
        x[row, length - 1], x[row, length:] = END, PAD
    together = decoder(z).log_prob(x)
    tolerance = setting.rounding(1e-9, 1e-3)
    trimmed = decoder(z).log_prob(x[:, :7])
    about = "log p of strings trimmed to the longest, against padded to the full length: greatest difference in nats"
    yield compare(f"sequences: {name}, padding", about, _greatest(trimmed - together), 0.0, tolerance)
    alone = torch.cat([decoder(z[i : i + 1]).log_prob(x[i : i + 1, :7]) for i in range(6)])
    about = "log p of each string alone, against in a batch: greatest difference in nats"
    yield compare(f"sequences: {name}, batch", about, _greatest(alone - together), 0.0, tolerance)
    conditioned = decoder.network(z)
    state, steps = conditioned.start(), []
    for t in range(LENGTH):
        steps.append(conditioned.step(state, None if t == 0 else x[:, t - 1], t))
    about = "logits of each token from what is remembered, against all positions at once: greatest difference"
    yield compare(f"sequences: {name}, cached decoding", about, _greatest(torch.stack(steps, 1) - conditioned.logits(x)), 0.0, tolerance)


def _greatest(difference: Tensor) -> float:
    return float(difference.abs().max())
