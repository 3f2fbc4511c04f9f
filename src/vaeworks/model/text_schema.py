"""TextSchema: strings as sequences of tokens."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.distributions.tokens import END, PAD, UNKNOWN, through_end
from vaeworks.errors import ArtifactError
from vaeworks.model.schema import Schema

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["END", "PAD", "UNKNOWN", "TextSchema"]

_AT_ONCE = 10_000
"""Strings that are tokenised side by side: what the tokenizers library tells of each takes far more memory than its tokens."""


@dataclass(frozen=True)
class TextSchema(Schema):
    """A data set of strings. Values are token numbers (N, L), an item's own, then END, then PAD; x is the same as int64."""

    kind: ClassVar[str] = "text"
    trims: ClassVar[bool] = True
    drawn: ClassVar[bool] = True

    vocabulary: int
    """V, the number of tokens with PAD, END and UNKNOWN."""
    tokenizer: str
    """The tokenizer as the JSON of the tokenizers library; its token numbers are those of x."""
    unit: str = "characters"
    """What a token is, for people: characters, bytes or pieces."""
    characters: float = 0.0
    words: float = 0.0
    """Mean number of characters, and of words between white space, of a training item."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(L, V), as if one-hot."""
        return (*self.shape, self.vocabulary)

    @property
    def protocol(self) -> dict[str, Any]:
        return {"tokens": f"{self.unit} of a vocabulary of {self.vocabulary}"}

    @property
    def x_levels(self) -> int:
        return self.vocabulary

    def to_x(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return values.to(torch.int64)

    def to_input(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        return torch.nn.functional.one_hot(x, self.vocabulary).to(torch.float32), observed[..., None]

    def to_values(self, x: Tensor) -> Tensor:
        """x (..., L) as int16 where the vocabulary fits it, else as int32."""
        return x.to(torch.int16 if self.vocabulary <= 1 << 15 else torch.int32)

    def to_raw(self, x: Tensor) -> list[str]:
        """The string before each END; a token UNKNOWN, and bytes that are no UTF-8, are U+FFFD."""
        own = (through_end(x) & (x != END) & (x != PAD)).cpu().numpy()
        rows = [row[here].tolist() for row, here in zip(x.cpu().numpy(), own, strict=True)]
        return _rebuilt(self.tokenizer).decode_batch(rows, skip_special_tokens=False)

    def pieces(self, x: Tensor) -> list[list[str]]:
        """What each token of x (N, L) stands for, through END, which is "<end>": a token that is no text by itself is U+FFFD."""
        seen = x.unique().cpu()
        text = dict(zip(seen.tolist(), self.to_raw(seen[:, None]), strict=True)) | {END: "<end>"}
        return [[text[t] for t in row[here].tolist()] for row, here in zip(x.cpu(), through_end(x).cpu(), strict=True)]

    def within(self, x: Tensor) -> Tensor:
        """x with PAD after each END."""
        return x.masked_fill(~through_end(x), PAD)

    def tokens(self, strings: Sequence[str]) -> list[NDArray[np.int32]]:
        """The tokens of each string, without END. ArtifactError where the stored tokenizer is damaged."""
        encode = _rebuilt(self.tokenizer).encode_batch_fast
        parts = (encode(list(strings[start : start + _AT_ONCE])) for start in range(0, len(strings), _AT_ONCE))
        return [np.array(one.ids, dtype=np.int32) for part in parts for one in part]

    def encode(self, strings: Sequence[str], tokens: Sequence[NDArray[np.int32]] | None = None) -> tuple[Tensor, Tensor]:
        """Stored values (N, L) and lengths with END (N,) int64; of a string that is longer than L - 1 tokens, the whole characters that fit into them.

        ``tokens``, where they are known already, are those of the strings.
        """
        tokens, most = self.tokens(strings) if tokens is None else tokens, self.shape[0] - 1
        tokens = [self._cut(t, s) if len(t) > most else t for t, s in zip(tokens, strings, strict=True)]
        lengths, place = np.array([len(t) for t in tokens], dtype=np.int64), np.arange(most + 1)
        values = np.where(place == lengths[:, None], END, PAD).astype(np.int32)
        values[place < lengths[:, None]] = np.concatenate([np.empty(0, np.int32), *tokens])
        return self.to_values(torch.from_numpy(values)), torch.from_numpy(lengths + 1)

    def counts(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How many tokens (END is one), characters (of Unicode; END is none) and words between white space each item of ``values`` (N, L) has: (N,) int64 each."""
        strings = self.to_raw(self.to_x(values))
        characters, words = (torch.tensor([len(count(s)) for s in strings], dtype=torch.int64) for count in (str, str.split))
        return lengths.to(torch.int64).cpu(), characters, words

    def fault(self) -> str:
        if len(self.shape) != 1 or type(self.vocabulary) is not int or self.vocabulary < 3 or type(self.tokenizer) is not str:
            return f"text of shape {self.shape} with a vocabulary of {self.vocabulary!r} is none that this version can use"
        if type(self.unit) is not str or not all(type(number) in {int, float} for number in (self.characters, self.words)):
            return f"text in units of {self.unit!r}, {self.characters!r} characters and {self.words!r} words an item"
        try:
            pieces = json.loads(self.tokenizer)["model"]["vocab"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return "its tokenizer is no JSON of the tokenizers library"
        if not isinstance(pieces, dict) or sorted(map(str, pieces.values())) != sorted(map(str, range(self.vocabulary))):
            return f"its tokenizer does not number {self.vocabulary} tokens"
        return ""

    def _cut(self, tokens: NDArray[np.int32], string: str) -> NDArray[np.int32]:
        """The first tokens that fit beside END and that end where a character of ``string`` does."""
        most = self.shape[0] - 1
        for fits in range(most, max(0, most - 4), -1) if self.unit != "characters" else ():  # a character has 4 bytes at most
            if string.startswith(self.to_raw(torch.from_numpy(tokens[None, :fits]))[0]):
                return tokens[:fits]
        return tokens[:most]


@functools.lru_cache(maxsize=8)
def _rebuilt(tokenizer: str) -> Tokenizer:
    """The tokenizer of a JSON; ArtifactError where it is damaged."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises nothing more special
        raise ArtifactError(f"the stored tokenizer cannot be read ({error}): restore the file, or train again") from error
