"""The VAE, which speaks tensors, and the Schema of its data, which knows what they stand for."""

from vaeworks.model.audio_schema import AudioSchema
from vaeworks.model.image_schema import Binarisation, ImageSchema
from vaeworks.model.schema import Context, Schema
from vaeworks.model.table_column import Column
from vaeworks.model.table_given import Asked, asked
from vaeworks.model.table_schema import TableSchema
from vaeworks.model.text_schema import TextSchema
from vaeworks.model.vae import VAE, Decoder, Encoder

__all__ = [
    "VAE",
    "Asked",
    "AudioSchema",
    "Binarisation",
    "Column",
    "Context",
    "Decoder",
    "Encoder",
    "ImageSchema",
    "Schema",
    "TableSchema",
    "TextSchema",
    "asked",
]
