"""Pictures and sounds as data URLs: decoded within bounds, whatever they claim to be, and written as PNG and WAV."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.data import Items, Options
from vaeworks.data.images import read_images
from vaeworks.data.parts import items_of
from vaeworks.data.pictures import decode
from vaeworks.data.recordings import Recording, load_recordings
from vaeworks.data.sound_files import encoded, look
from vaeworks.errors import DataError, VaeworksError
from vaeworks.model import AudioSchema, ImageSchema, Schema
from vaeworks.serving.faults import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_servable", "data_url", "heard", "mask_of", "picture_urls", "seen", "sound_urls"]

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What pictures are read from: Pillow's others have decoders that run programs, or that few have looked at."""
PIXELS: Final = 1 << 24
"""Of one picture that is sent, at most."""
SAMPLES: Final = 1 << 26
"""Of one sound that is sent, at most, over all channels: 10 minutes of a stereo recording. A model keeps far less of it."""
SEVERAL: Final = 4
"""Times as much may be sent in one request."""


def check_servable(schema: Schema) -> None:
    """VaeworksError for items that have no form on the wire."""
    if isinstance(schema, ImageSchema) and schema.mode not in {"L", "LA", "RGB", "RGBA"}:
        raise VaeworksError(f"items of shape {schema.shape} have no picture form, in which the service would send them: use the model in Python")


def _bytes(url: str, kind: str, name: str) -> bytes:
    """What a data URL holds."""
    head, comma, body = url.partition(",")
    if not (comma and head.startswith(f"data:{kind}/") and head.endswith(";base64") and len(head) < 200):
        raise Refusal(422, f"this is no data URL: give data:{kind}/{'png' if kind == 'image' else 'wav'};base64,...", name)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, f"what follows the comma is no base64: {error}", name) from error


def data_url(data: bytes, kind: str) -> str:
    """Bytes as a data URL of a media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _opened(url: str, name: str) -> Image:
    """A picture whose size is known to be bearable."""
    from PIL import Image

    data = _bytes(url, "image", name)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # decoders of damaged files raise anything
        raise Refusal(422, f"this is no picture that can be read: give one of {', '.join(FORMATS)}", name) from error
    if image.width * image.height > PIXELS:
        raise Refusal(422, f"the picture has {image.width} x {image.height} pixels, and at most {PIXELS:,} are read: make it smaller", name)
    return image


def seen(schema: ImageSchema, urls: Sequence[str], names: Sequence[str]) -> Items:
    """Pictures as a model of pictures reads them."""
    from PIL import Image

    pictures, pixels_of_all = [], 0
    for url, name in zip(urls, names, strict=True):
        image = _opened(url, name)
        pixels_of_all += image.width * image.height
        if pixels_of_all > SEVERAL * PIXELS:
            raise Refusal(422, f"the pictures up to this one have more than {SEVERAL * PIXELS:,} pixels together: send fewer, or smaller ones", name)
        try:
            pixels = decode(image, (schema.shape[1], schema.shape[2]), schema.mode)
        except Exception as error:
            raise Refusal(422, f"the picture is damaged: {error}", name) from error
        pictures.append(pixels)
    if schema.levels == 0:  # of real numbers, black is the lowest and white the highest
        shown = torch.from_numpy(np.stack(pictures)).movedim(3, 1).to(torch.float32) / 255
        return Items(shown * (schema.high - schema.low) + schema.low)
    return read_images([Image.fromarray(p[..., 0] if p.shape[2] == 1 else p) for p in pictures], schema, Options())


def mask_of(schema: ImageSchema, url: str, name: str) -> NDArray[np.bool_]:
    """Where a picture that is a mask lets items be seen, (H, W): it is brought to their size, and dark is missing."""
    image = _opened(url, name)
    try:
        shown = decode(image, (schema.shape[1], schema.shape[2]), "L")[..., 0]
    except Exception as error:
        raise Refusal(422, f"the mask is damaged: {error}", name) from error
    kept = shown >= 128
    if kept.all():
        raise Refusal(422, "the mask hides nothing: dark is what is missing", name)
    return np.asarray(kept)


def picture_urls(schema: ImageSchema, x: Tensor) -> list[str]:
    """x (N, C, H, W) as PNG."""
    urls = []
    for image in schema.to_images(x):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        urls.append(data_url(buffer.getvalue(), "image/png"))
    return urls


def heard(schema: AudioSchema, urls: Sequence[str], names: Sequence[str]) -> Items:
    """Sounds as a model of sounds reads them: of its rate, length and loudness."""
    recordings, samples_of_all = [], 0
    for url, name in zip(urls, names, strict=True):
        data = _bytes(url, "audio", name)
        try:
            header = look(data)
        except Exception as error:
            raise Refusal(422, f"this is no sound that can be read: {error}", name) from error
        samples = header.frames * header.channels
        samples_of_all += samples
        if samples > SAMPLES or samples_of_all > SEVERAL * SAMPLES:
            raise Refusal(
                422, f"the sound is {header.seconds:.0f} s long, and too much to read, by itself or with those before it: cut it, or send fewer", name
            )
        recordings.append(Recording(name, data))
    parts = []
    for recording, name in zip(recordings, names, strict=True):
        try:
            parts.append(items_of(load_recordings([recording], "the sound", schema, Options())[0], np.arange(1)))
        except DataError as error:
            raise Refusal(422, str(error), name) from error
    lengths = [part.lengths for part in parts if part.lengths is not None]
    return Items(torch.cat([part.values for part in parts]), lengths=torch.cat(lengths))


def sound_urls(waves: Sequence[NDArray[Any]], rate: int) -> list[str]:
    """Waveforms (n,) as WAV."""
    return [data_url(encoded(wave, rate), "audio/wav") for wave in waves]
