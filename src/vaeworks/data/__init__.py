"""Data: a source, whatever it is, to a Schema and items split into training, validation and test."""

from vaeworks.data.builtin import NAMES as BUILTIN
from vaeworks.data.items import Data, Items
from vaeworks.data.open import Source, open_data, read_items
from vaeworks.data.options import Options, Progress, Split

__all__ = ["BUILTIN", "Data", "Items", "Options", "Progress", "Source", "Split", "open_data", "read_items"]
