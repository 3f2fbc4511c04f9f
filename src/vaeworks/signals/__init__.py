"""Sound as numbers: transforms of waveforms and back, and how far two waveforms are apart. No probability, no learned weights."""

from vaeworks.signals.causal import overlap_add, slide
from vaeworks.signals.distances import log_magnitude, log_spectral_distance, si_sdr, stft_distance
from vaeworks.signals.filter_bank import FilterBank, mdct, pqmf
from vaeworks.signals.mel import LogMel, mel_filters
from vaeworks.signals.phase import griffin_lim
from vaeworks.signals.stft import STFT

__all__ = [
    "STFT",
    "FilterBank",
    "LogMel",
    "griffin_lim",
    "log_magnitude",
    "log_spectral_distance",
    "mdct",
    "mel_filters",
    "overlap_add",
    "pqmf",
    "si_sdr",
    "slide",
    "stft_distance",
]
