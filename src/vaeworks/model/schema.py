"""Schema: what one item of the data is, and how raw items become the tensor x that a likelihood scores, and back."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from vaeworks.errors import ArtifactError, DataError

__all__ = ["Context", "Schema"]

Context = Literal["none", "label", "partial-label", "vector"]


@dataclass(frozen=True)
class Schema:
    """A data set of any kind, described once and stored inside every artifact: what x is, how stored values become it, and what is known beside it.

    A kind of data is a subclass in a file of its own, which says what a value is and what its x.
    """

    kind: ClassVar[str] = ""
    """What items are: image, text, audio, table."""
    trims: ClassVar[bool] = False
    """Whether items differ in length, and a batch of short ones may be shorter than ``shape`` says."""
    drawn: ClassVar[bool] = False
    """Whether a sample is drawn from p(x | z), since its mean is no item."""

    shape: tuple[int, ...]
    """The shape of one item's x."""
    classes: tuple[str, ...] = field(default=(), kw_only=True)
    """Names of the labels, in order of their numbers; empty where there are none."""
    source: str = field(default="", kw_only=True)
    """Where the data came from, for people to read."""
    count: int = field(default=0, kw_only=True)
    """Number of training items."""
    mean: float = field(default=0.5, kw_only=True)
    std: float = field(default=0.5, kw_only=True)
    """Mean and standard deviation of x over the training items."""
    context: Context = field(default="none", kw_only=True)
    """What the model is conditioned on: nothing; the label as a one-hot vector; the label where it is known and zeros where not; the columns beside the items."""
    columns: tuple[str, ...] = field(default=(), kw_only=True)
    """Names of the numbers that each item brings beside its values; empty where there are none."""
    column_means: tuple[float, ...] = field(default=(), kw_only=True)
    column_scales: tuple[float, ...] = field(default=(), kw_only=True)
    """Mean and standard deviation of each column over the training items; a scale is 1 where a column never changes."""

    @property
    def dimensions(self) -> int:
        """Number of coordinates of x."""
        return int(torch.Size(self.shape).numel())

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """A name for each coordinate of x, where coordinates are columns that people know; empty elsewhere."""
        return ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one item as a network of real numbers sees it."""
        return self.shape

    @property
    def protocol(self) -> dict[str, Any]:
        """What of the data's form figures depend on, by name."""
        return {}

    @property
    def density(self) -> str:
        """What a density of real x is measured in, for people."""
        return "with respect to x"

    @property
    @abstractmethod
    def x_levels(self) -> int:
        """Number of values a coordinate of x can take: 2 after binarisation, 0 where x is real."""

    @abstractmethod
    def to_x(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Stored values (B, *shape) to x (B, *shape); ``generator`` (CPU) drives what is drawn anew each time."""

    @abstractmethod
    def to_values(self, x: Tensor) -> Tensor:
        """x (..., *shape) to stored values."""

    @abstractmethod
    def to_raw(self, x: Tensor) -> list[Any]:
        """x (N, *shape) as N items that people know: pictures, strings, waveforms."""

    @property
    def support(self) -> Any:
        """What a likelihood is told of x beside its shape."""
        return self.x_levels

    def view(self) -> nn.Module | None:
        """The module by which an encoder's network sees items, where x is no input for it as it stands."""
        return None

    def to_input(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, *event) as a network of real numbers sees it, (B, *input_shape), and where that is observed, a mask that fits it."""
        return x, observed

    def present(self, lengths: Tensor, x: Tensor) -> Tensor:
        """(B, *event) bool, True where x is an item's own and not padding, for items of ``lengths`` (B,) in values."""
        mine = torch.arange(x.shape[-1], device=x.device) < lengths[:, None]
        return mine.view(-1, *(1,) * (x.dim() - 2), x.shape[-1]).expand_as(x)

    def within(self, x: Tensor) -> Tensor:
        """x brought back into the range where items lie."""
        return x

    @abstractmethod
    def fault(self) -> str:
        """What is wrong with the fields of this kind, as a clause; nothing where they are right."""

    @property
    def context_size(self) -> int:
        """C, the numbers in one item's context; 0 where the model is not conditional."""
        return {"none": 0, "vector": len(self.columns)}.get(self.context, len(self.classes))

    def to_context(self, labels: Tensor | None = None, vectors: Tensor | None = None) -> Tensor | None:
        """Labels (N,), or ``vectors`` (N, C) in the columns' own units, as context (N, C); None where the model is not conditional.

        Under "partial-label" an unknown label, -1, is a row of zeros, and so are no labels at all: one row (1, C), for as many items as there are. "vector" is
        standardised. DataError for items without what the model is conditional on.
        """
        if self.context == "none":
            return None
        if self.context == "vector":
            return self._standardised(vectors)
        if labels is None and self.context == "partial-label":
            return torch.zeros(1, len(self.classes), dtype=torch.float32)
        unknown = 0 if labels is None else int((labels < 0).sum())
        if labels is None or (unknown and self.context == "label"):
            count = "the items" if labels is None else f"{unknown} of {len(labels)} items"
            raise DataError(
                f"the model is conditional on the label, and {count} have none of its classes ({', '.join(self.classes[:10])}): sort them into folders of these names"
            )
        one_hot = torch.nn.functional.one_hot(labels.clamp_min(0), len(self.classes)).to(torch.float32)
        return one_hot.masked_fill_((labels < 0)[:, None], 0) if unknown else one_hot

    def to_vector(self, given: Mapping[str, str | float]) -> Tensor:
        """The number of every column by name, (1, C) in their own units; DataError where one is missing, unknown or no finite number."""
        told = f"this model is conditional on {', '.join(self.columns)}"
        if unknown := [name for name in given if name not in self.columns]:
            raise DataError(f"{', '.join(unknown)}: no such column, {told}")
        if missing := [name for name in self.columns if name not in given]:
            raise DataError(f"{told}, and {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing: add --given {missing[0]}=NUMBER")
        numbers = []
        for name in self.columns:
            try:
                numbers.append(float(given[name]))
            except (TypeError, ValueError):
                numbers.append(math.nan)
            if not math.isfinite(numbers[-1]):
                raise DataError(f"{name}={given[name]} is no finite number: give one, such as {name}={self.column_means[self.columns.index(name)]:g}")
        return torch.tensor([numbers])

    def _standardised(self, vectors: Tensor | None) -> Tensor:
        """``vectors`` (N, C) less the means, over the scales."""
        if vectors is None or vectors.dim() != 2 or vectors.shape[1] != len(self.columns):
            found = "none" if vectors is None else f"an array of shape {tuple(vectors.shape)}"
            raise DataError(
                f"the model is conditional on {len(self.columns)} columns ({', '.join(self.columns[:10])}), and the items bring {found}: "
                f"give them beside the items, np.savez(file, x=..., context=...) with context of shape (N, {len(self.columns)})"
            )
        means, scales = (torch.tensor(told, dtype=torch.float32, device=vectors.device) for told in (self.column_means, self.column_scales))
        return (vectors.to(torch.float32) - means) / scales

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; ``Schema.from_json`` reads it back."""
        return {**dataclasses.asdict(self), "kind": self.kind}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        """The Schema of any kind stored in ``data``; ArtifactError where a field is missing, unknown or of the wrong kind."""
        kinds = {part.kind: part for part in Schema.__subclasses__()}
        fields = dict(data) if isinstance(data, dict) else {"": data}
        kind = fields.pop("kind", "image")
        if kind not in kinds:
            raise ArtifactError(f"the stored schema describes {kind!r}, which this version cannot use: it knows {', '.join(kinds)}")
        try:
            values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
            schema = kinds[kind]._restored(values)
            fault = schema._shared_fault() or schema.fault()
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the stored schema cannot be read: {error}; the file is damaged, or written by a newer version") from error
        if fault:
            raise ArtifactError(f"the stored schema cannot be read: {fault}")
        return schema

    @classmethod
    def _restored(cls, fields: dict[str, Any]) -> Schema:
        """The Schema of ``fields``, of which a list is a tuple by now; KeyError or TypeError where they are not those of this kind."""
        return cls(**fields)

    def _shared_fault(self) -> str:
        """What is wrong with the fields that every kind has, as a clause; nothing where they are right."""
        several = (self.shape, self.classes, self.columns, self.column_means, self.column_scales)
        numbers = (self.mean, self.std, *self.column_means, *self.column_scales)
        if not all(type(values) is tuple for values in several) or not all(type(number) in {int, float} for number in numbers):
            return "classes, columns or statistics are no lists of names and numbers"
        if not self.shape or not all(type(size) is int and size > 0 for size in self.shape):
            return f"shape {self.shape} is no shape of an item"
        if not len(self.columns) == len(self.column_means) == len(self.column_scales):
            return f"its {len(self.columns)} columns do not have a mean and a scale each"
        return "" if self.context in get_args(Context) else f"context {self.context!r} is unknown"
