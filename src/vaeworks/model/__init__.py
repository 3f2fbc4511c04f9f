"""The VAE, which speaks tensors, and the Model around it, which speaks the user's items."""

from vaeworks.model.schema import Binarisation, Schema
from vaeworks.model.vae import VAE, Decoder, Encoder

__all__ = ["VAE", "Binarisation", "Decoder", "Encoder", "Schema"]
