"""What requests and answers say: the types of the JSON API, version 1."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CODES", "DRAWS", "ITEMS", "PROPOSALS", "SAMPLES", "Code", "Codes", "Column", "Decode", "Description", "Encode", "Impute", "Imputed", "Interpolate",
    "Item", "Items", "Reconstruct", "Sample", "Sampled", "Score", "ScoredItem", "Scores", "Wish",
]  # fmt: skip

ITEMS, SAMPLES, CODES, DRAWS, PROPOSALS = 256, 1024, 1024, 32, 5000
"""The most of one request: items, samples, codes, draws of each item, importance samples of each item."""
_LARGEST = 1e6

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=32 << 20)]
Name = Annotated[str, Field(max_length=1000)]
Integer = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Cell = bool | Integer | Number | Name | None
Row = Annotated[dict[Name, Cell], Field(max_length=10_000)]
Item = Annotated[
    Text | Row,
    Field(
        description="A picture, data:image/png;base64,... (PNG, JPEG, WebP, GIF, BMP, TIFF, PPM); a sound, data:audio/wav;base64,... (WAV, FLAC, Ogg, MP3 ...); "
        "a text as it is; a row of a table as an object, column: value, null where missing."
    ),
]
Value = bool | Integer | Number | Name
Wish = Annotated[
    dict[Name, Value | tuple[Value | None, Value | None]],
    Field(
        max_length=1000,
        description='What is asked for, by name: {"label": "7"}, the numbers of a model that is conditional on them, any columns of a table; a pair is a range.',
    ),
]
Told = Annotated[
    list[Name | dict[Name, Number | Name] | None],
    Field(
        min_length=1,
        max_length=ITEMS,
        description="What a conditional model is told of each item: its label, or its numbers by name; null where a model that infers labels is not told.",
    ),
]
ItemList = Annotated[list[Item], Field(min_length=1, max_length=ITEMS)]
Code = Annotated[list[Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-_LARGEST, le=_LARGEST)]], Field(min_length=1, max_length=65_536)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**53, description="The same seed gives the same answer.")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sample(_Request):
    """New items."""

    n: int = Field(default=16, strict=True, ge=1, le=SAMPLES)
    seed: Seed | None = Field(default=None, description="Null: one is chosen, and told.")
    temperature: float = Field(default=1.0, strict=True, ge=0, le=100, allow_inf_nan=False, description="Spread of z: below 1 safer, above 1 bolder.")
    given: Wish | None = None


class Encode(_Request):
    """Items whose codes are wanted."""

    items: ItemList
    given: Told | None = None


class Reconstruct(Encode):
    """Items that pass through their codes and back."""


class Decode(_Request):
    """Codes whose items are wanted."""

    codes: list[Code] = Field(min_length=1, max_length=CODES)
    given: Wish | Annotated[list[Wish], Field(min_length=1, max_length=CODES)] | None = Field(
        default=None, description="For all codes, or one for each."
    )


class Score(Encode):
    """Items whose probability is wanted."""

    samples: int | None = Field(
        default=None, strict=True, ge=1, le=PROPOSALS, description="Importance samples of each item; null: as many as held-out items were scored by."
    )


class Impute(Encode):
    """Items with something missing: null cells of rows, "_" in texts; of pictures what a mask, of sounds what a gap says."""

    mask: Text | None = Field(default=None, description="Pictures: a picture of their size as a data URL; dark is missing, in all items.")
    gap: tuple[Number, Number] | None = Field(default=None, description="Sounds: from when to when they are missing, in seconds.")
    draws: int = Field(default=1, strict=True, ge=0, le=DRAWS, description="0: the best filling instead of draws.")
    samples: int = Field(default=1000, strict=True, ge=1, le=PROPOSALS, description="Codes that are proposed for each item.")
    seed: Seed = 0


class Interpolate(_Request):
    """Two items, and how many to show on the way from one to the other, both ends included."""

    a: Item
    b: Item
    n: int = Field(default=10, strict=True, ge=2, le=ITEMS)
    given: Annotated[Told, Field(min_length=2, max_length=2)] | None = None


class Items(BaseModel):
    """Items."""

    items: list[Item]


class Sampled(Items):
    """New items, and the seed that gives them again."""

    seed: int


class Codes(BaseModel):
    """The posterior mean of each item."""

    codes: list[list[float]]


class ScoredItem(BaseModel):
    """How probable, and how strange, one item is."""

    value: float | None = Field(description="The statistic; null for minus infinity.")
    log_px: float | None = Field(description="log p(x) in nats; null for minus infinity.")
    standard_error: float | None = Field(description="Monte Carlo error of log_px; null where it is not known.")
    effective_sample_size: float | None = Field(description="Importance samples that decide log_px: where it is below 5, log_px is likely too low.")
    p_value: float | None = Field(
        description="How often an item drawn as the held-out ones were is as strange; null where nothing is there to compare with."
    )


class Scores(BaseModel):
    """The score of each item."""

    scores: list[ScoredItem]
    statistic: str = Field(description="What value is: log-px, or standardised (of tables).")
    unit: Literal["nats"] = "nats"
    samples: int


class Imputed(BaseModel):
    """The draws of each item."""

    items: list[list[Item]]


class Column(BaseModel):
    """A column of a table."""

    name: str
    kind: str
    categories: list[str] | None = None
    low: float | None = None
    high: float | None = None


class Description(BaseModel):
    """The model that is served."""

    version: str
    kind: Literal["image", "text", "audio", "table"]
    source: str
    shape: list[int]
    latent_size: int
    classes: list[str]
    context: Literal["none", "label", "partial-label", "vector"]
    columns: list[Column] = Field(description="The columns of a table, or the numbers that a model is conditional on.")
    recipe: str
    parameters: int
    has_log_prob: bool
    calibrated: bool = Field(description="Whether scores come with p-values.")
    protocol: dict[str, Any]
    limits: dict[str, int]
