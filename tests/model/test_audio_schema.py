"""AudioSchema: stored samples to x and back."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from vaeworks.errors import ArtifactError
from vaeworks.model import AudioSchema, Schema
from vaeworks.signals import LogMel

MEL: dict[str, Any] = {"shape": (1, 40, 32), "rate": 8000, "mel_means": (-5.0,) * 40, "mel_scales": (2.0,) * 40}
WAVE: dict[str, Any] = {"shape": (1, 2048), "rate": 8000, "representation": "wave"}


def chirp(samples: int = 2048) -> torch.Tensor:
    """(1, 1, samples) int16, a tone that rises from 200 to 1500 Hz."""
    t = torch.arange(samples, dtype=torch.float64) / 8000
    return (20_000 * torch.sin(2 * torch.pi * (200 * t + 1300 * t.square() / (2 * samples / 8000)))).round().to(torch.int16)[None, None]


@pytest.mark.parametrize("fields", [MEL, WAVE])
def test_json_and_back(fields: dict[str, Any]) -> None:
    schema = AudioSchema(**fields, classes=("a", "b"), loudness="rms", trim=40.0)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert (schema.samples, schema.seconds) == (2048, 0.256)
    assert schema.input_shape == schema.shape


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"rate": 8000.5},
        {"hop": 0},
        {"hop": 200},
        {"representation": "fft"},
        {"loudness": "loud"},
        {"shape": (40, 32)},
        {"shape": (2, 40, 32)},
        {"shape": (1, 40, 2)},
        {"mel_means": (0.0,)},
        {"mel_scales": (0.0,) * 40},
        {"mel_scales": ("1",) * 40},
        {"trim": "much"},
    ],
)
def test_a_damaged_schema_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        Schema.from_json({**AudioSchema(**MEL).to_json(), **wrong})


def test_a_waveform_and_back_is_exact() -> None:
    schema = AudioSchema(**WAVE)
    values = torch.arange(-32768, 32768, 7).to(torch.int16)[: 4 * 2048].view(4, 1, 2048)
    assert torch.equal(schema.to_values(schema.to_x(values)), values)


def test_a_spectrogram_is_standardised_and_comes_back_near() -> None:
    schema = AudioSchema(**MEL)
    x = schema.to_x(chirp())
    np.testing.assert_allclose(x * 2 - 5, LogMel(8000)(chirp().float() / 32768), atol=1e-4)
    again = schema.to_x(schema.to_values(x))
    assert torch.corrcoef(torch.stack([x.flatten(), again.flatten()]))[0, 1] > 0.97
    assert torch.equal(schema.to_values(x), schema.to_values(x))


@pytest.mark.parametrize("fields", [MEL, WAVE])
def test_padding_changes_nothing_before_it(fields: dict[str, Any]) -> None:
    schema, short = AudioSchema(**fields), AudioSchema(**{**fields, "shape": (*fields["shape"][:-1], fields["shape"][-1] // 2)})
    values = chirp()
    values[..., 1000:] = 0
    x, lengths = schema.to_x(values), torch.tensor([1000])
    here = schema.present(lengths, x)
    assert here.shape == x.shape
    frames = 1000 if fields is WAVE else 16
    assert here[0, 0].reshape(-1, x.shape[-1]).sum(-1).tolist() == [frames] * (1 if fields is WAVE else 40)
    half = short.to_x(values[..., :1024])
    torch.testing.assert_close(half[..., :frames], x[..., :frames])


@pytest.mark.parametrize("fields", [MEL, WAVE])
def test_the_other_sounds_of_a_batch_change_nothing(fields: dict[str, Any]) -> None:
    schema = AudioSchema(**fields)
    x = torch.cat([schema.to_x(chirp()), schema.to_x(chirp().flip(-1)), schema.to_x(chirp() // 2)])
    x[1, ..., x.shape[-1] // 3 :] = torch.nan
    together = schema.to_raw(x)
    for i in range(3):
        np.testing.assert_allclose(schema.to_raw(x[i : i + 1])[0], together[i], atol=1e-4)


@pytest.mark.parametrize("fields", [MEL, WAVE])
def test_sounds_end_where_x_is_nan(fields: dict[str, Any]) -> None:
    schema = AudioSchema(**fields)
    x = schema.to_x(chirp()).repeat(3, *(1,) * len(schema.shape))
    step = 64 if fields is MEL else 1
    x[1, ..., 1024 // step :] = torch.nan
    x[2] = torch.nan
    sounds = schema.to_raw(x)
    assert [len(s) for s in sounds] == [2048, 1024, 0]
    assert all(s.dtype == np.float32 and np.isfinite(s).all() for s in sounds)
    assert np.abs(sounds[0]).max() > 0.3
    values = schema.to_values(x.view(3, 1, *schema.shape))
    assert values.shape == (3, 1, 1, 2048)
    assert values.dtype == torch.int16
    assert not values[1, ..., 1024:].any()
    assert values[1].any()
