"""Sources of text: files, folders and lists of strings, opened to learn from, or read for a model that has learned."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.data.arrays import name_strings
from vaeworks.data.conform import relabel
from vaeworks.data.hub_items import official, split_rows, told_of
from vaeworks.data.hub_store import Stored, held
from vaeworks.data.items import Data, Items
from vaeworks.data.labels import keep_labels
from vaeworks.data.lines import is_unicode
from vaeworks.data.missing import missing
from vaeworks.data.options import Options
from vaeworks.data.parts import chosen_part, parted
from vaeworks.data.raw import FREE, TEST, TRAIN, VALIDATION, Raw
from vaeworks.data.reading import count, each, first, refuse
from vaeworks.data.split import DROPPED, choose, digests, split
from vaeworks.data.text_files import SUFFIXES, Strings, is_text, read_text_file, suffix
from vaeworks.data.tokens import UNITS, choose_tokens, choose_vocabulary, learn, strange
from vaeworks.data.walk import by_folder, walk
from vaeworks.distributions.tokens import END, PAD
from vaeworks.errors import DataError
from vaeworks.model import TextSchema

__all__ = ["is_text", "open_texts", "read_gapped", "read_texts"]

_SPLITS: Final = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
"""The first word of the name of a file that is one part of a data set."""
_LONG: Final = 512
"""Tokens that the longest item has at most, where nobody asks for more."""
_RARE: Final = 99.5
"""The percentile of lengths that is kept whole, where few items are far longer than all others."""


def open_texts(source: Any, options: Options) -> Data:
    """``open_data`` for text."""
    raw, strings = _load(source, options)
    raw = choose(raw, options)
    parts, told = split(raw, options)
    raw = keep_labels(raw, parts, options)
    mine = _strings_of(raw.values, strings)
    schema, tokens, chosen = _describe(raw, mine, parts == TRAIN, options)
    values, lengths = schema.encode(mine, tokens)
    raw = replace(raw, values=values.numpy(), lengths=lengths.numpy())
    return parted(raw, _apart(raw, parts, told), schema, [*chosen, *told])


def read_texts(source: Any, schema: TextSchema, options: Options) -> Items:
    """``read_items`` for text."""
    items, mine, what = _read(source, schema, options)
    tokens, most = schema.tokens(mine), schema.shape[0] - 1
    values, lengths = schema.encode(mine, tokens)
    long = sum(len(own) > most for own in tokens)
    if long and options.strict:
        raise DataError(f"{what}: {count(long, 'item')} are longer than the {most} {schema.unit} of the model: leave out --strict, and they are cut")
    if long and options.say is not None:
        options.say(f"{what}: {count(long, 'item')} longer than the {most} {schema.unit} of the model are cut.")
    return replace(items, values=values, lengths=lengths)


def read_gapped(source: Any, schema: TextSchema, options: Options, mark: str = "_") -> tuple[Items, list[str]]:
    """``read_items`` for text in which each ``mark`` stands for one token that is not known, and the strings themselves. DataError where no item has a gap, or one is too long."""
    if len(mark) != 1:
        raise DataError(f"the mark {mark!r} of a gap is no single character: give one that the text does not hold, such as _")
    with held(source, replace(options, kind="text")) as (found, reading):
        items, mine, what = _read(found, schema, reading)
    if not any(mark in string for string in mine):
        raise DataError(
            f"{what}: no item holds the mark {mark!r} of a gap: write it once for each of the {schema.unit} that are missing, or name another mark"
        )
    pieces = [re.split(f"({re.escape(mark)}+)", string) for string in mine]
    told = iter(schema.tokens([piece for own in pieces for piece in own[::2]]))
    values = torch.full((len(mine), schema.shape[0]), PAD)
    observed, lengths = torch.ones_like(values, dtype=torch.bool), torch.zeros(len(mine), dtype=torch.int64)
    for i, own in enumerate(pieces):
        parts = [torch.from_numpy(next(told)).long() if j % 2 == 0 else torch.full((len(piece),), PAD) for j, piece in enumerate(own)]
        seen = torch.cat([torch.full((len(part),), j % 2 == 0) for j, part in enumerate(parts)])
        if len(seen) >= schema.shape[0]:
            raise DataError(
                f"{what}: item {i} has {len(seen)} {schema.unit}, and the model at most {schema.shape[0] - 1}: shorten it, {mine[i][:40]!r}"
            )
        values[i, : len(seen)], observed[i, : len(seen)] = torch.cat(parts), seen
        values[i, len(seen)], lengths[i] = END, len(seen) + 1
    return replace(items, values=schema.to_values(values), lengths=lengths, observed=observed), mine


def _read(source: Any, schema: TextSchema, options: Options) -> tuple[Items, list[str], str]:
    """Items without their tokens, their strings, and what people call the source."""
    raw, strings = _load(source, options)
    items = chosen_part(relabel(choose(raw, options), schema), options, "all")
    return items, _strings_of(items.values.numpy(), strings), raw.source


def _load(source: Any, options: Options) -> tuple[Raw, dict[bytes, str]]:
    """A hash of 16 bytes of each string in place of its values, by which it is split, and the string of each hash."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.exists():
            raise missing(path, str(source))
        raw, strings = _from_folder(path, options) if path.is_dir() else _raw([read_text_file(path, options)], path.name)
    elif isinstance(source, Stored):
        raw, strings = _raw(split_rows(source, lambda path: read_text_file(path, options)), source.source, official(source))
        raw = told_of(raw, source)
    else:
        raw, strings = _raw([_from_list(source)], "the strings")
    return raw.note(f"{raw.source}: {count(len(raw), 'item')} of text."), strings


def _from_list(source: Sequence[Any]) -> Strings:
    wrong = sorted({type(item).__name__ for item in source if not isinstance(item, str)})
    if wrong:
        raise DataError(f"the source is a sequence of text that holds {', '.join(wrong[:3])} too: give strings alone")
    kept = [s for s in source if s.strip() and is_unicode(s)]
    if not kept:
        raise DataError("the source is a sequence without text: give some strings")
    return Strings(
        kept, notes=[f"Passed over {count(len(source) - len(kept), 'string')} that are empty or no Unicode."] if len(kept) < len(source) else []
    )


def _raw(files: Sequence[Strings], what: str, parts: Sequence[int] | None = None) -> tuple[Raw, dict[bytes, str]]:
    """The strings of all files; ``parts`` says of each file what it is of an official split."""
    strings = [s for file in files for s in file.strings]
    hashes = [hashlib.blake2b(s.encode(), digest_size=16).digest() for s in strings]
    names = tuple(name for file in files for name in file.names or ()) or None
    raw = Raw(np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 16), 0, what, names=names if len(names or ()) == len(strings) else None)
    raw = raw.note(*(note for file in files for note in file.notes))
    if all(file.labels is not None for file in files):
        raw = name_strings(raw, [label for file in files for label in file.labels or ()])
    if parts is not None:
        own = np.repeat(np.array(parts, dtype=np.int8), [len(file.strings) for file in files])
        raw = replace(raw, parts=np.where(own == TRAIN, FREE, own) if VALIDATION not in parts else own)
    return raw, dict(zip(hashes, strings, strict=True))


def _from_folder(root: Path, options: Options) -> tuple[Raw, dict[bytes, str]]:
    """The files of an official split; or each file as an item, where all are .txt; or the items of all files."""
    what = f"folder {root.resolve().name or root}"
    found = walk(root, is_text, SUFFIXES, "text", options)
    parts = [_SPLITS.get(re.split(r"[._\-]", path.name.lower())[0]) for path in found.files]
    official = TRAIN in parts and len(set(parts)) > 1 and None not in parts
    plain = all(suffix(path) in {".txt", ".text"} for path in found.files) and len(found.files) > 1
    whole = not official and plain and options.by in {None, "file"}
    paths, limited = found.limited(options) if whole else (found.files, "")
    names, reading = found.names(paths), replace(options, by="file") if whole else options
    results = each(lambda path: read_text_file(path, reading), paths, options.progress, threads=False)
    failed = {i: result for i, result in enumerate(results) if isinstance(result, str)}
    refuse(failed, names, "file", what, options)
    read = {i: result for i, result in enumerate(results) if isinstance(result, Strings)}
    kept = [i for i, r in read.items() if not whole or r.strings]
    files = [replace(read[i], names=[names[i]]) if whole else read[i] for i in kept]
    raw, strings = _raw(files, what, [parts[i] or TRAIN for i in kept] if official else None)
    told = [f"Skipped {count(len(failed), 'file')} that cannot be read: {first(failed, names)}."] if failed else []
    if official:
        told.append(f"The files {', '.join(names[i] for i in kept)} are kept as the official split.")
    elif whole:
        told.append("Each file is an item.")
    raw = raw.note(*told, limited, *found.aside())
    return by_folder(raw, "text") if whole else raw, strings


def _strings_of(hashes: NDArray[np.uint8], strings: dict[bytes, str]) -> list[str]:
    return [strings[own.tobytes()] for own in hashes]


def _describe(raw: Raw, strings: list[str], train: NDArray[np.bool_], options: Options) -> tuple[TextSchema, list[NDArray[np.int32]], list[str]]:
    """The TextSchema of ``strings``, with a tokenizer learned from those at ``train``, a mask (N,); their tokens; what was chosen.

    DataError where some would be cut and ``options.strict``.
    """
    mine = [s for s, own in zip(strings, train, strict=True) if own]
    kind, why = (
        (options.tokenizer, "as asked for")
        if options.tokenizer
        else choose_tokens(mine)
        if options.vocabulary is None
        else ("bpe", "of as many as asked for")
    )
    tokenizer, vocabulary = learn(kind, mine, options.vocabulary or choose_vocabulary(mine))
    schema = TextSchema(
        shape=(1,),
        vocabulary=vocabulary,
        tokenizer=tokenizer,
        unit=UNITS[kind],
        characters=float(np.mean([len(s) for s in mine])),
        words=float(np.mean([len(s.split()) for s in mine])),
        classes=raw.classes,
        source=raw.source,
        count=len(mine),
    )
    told = [f"Tokens: {schema.unit}, {vocabulary} of them, learned from the training items ({why})."]
    tokens = schema.tokens(strings)
    lengths = np.array([len(own) for own in tokens])
    longest = options.length or _longest(lengths[train], options.strict)
    if cut := int((lengths > longest).sum()):
        found = f"{count(cut, 'item')} of {len(strings)} longer than {longest} {schema.unit} (the longest has {lengths.max()})"
        if options.strict:
            raise DataError(
                f"{raw.source}: {found}: give a greater length (--length {min(lengths.max(), 4096)}), or leave out --strict, and they are cut"
            )
        told.append(f"Length: {found} were cut; --length keeps more of them.")
    else:
        told.append(f"Length: up to {lengths.max()} {schema.unit} an item, {lengths.mean():.1f} at the mean.")
    if kind == "characters":
        odd, which = strange([s for s, own in zip(strings, train, strict=True) if not own], set().union(*mine))
        if odd:
            told.append(
                f"{count(odd, 'held-out item')} have characters that no training item has ({' '.join(map(ascii, which))}): they are one token, unknown."
            )
    return replace(schema, shape=(longest + 1,)), tokens, told


def _longest(lengths: NDArray[Any], strict: bool) -> int:
    """Tokens of the longest item: that of training, unless a few are far longer than all others."""
    longest, most = int(lengths.max()), int(np.percentile(lengths, _RARE, method="lower"))
    return min(longest if strict or longest <= max(64, 1.5 * most) else most, _LONG)


def _apart(raw: Raw, parts: NDArray[np.int8], told: list[str]) -> NDArray[np.int8]:
    """``parts``, in which training items that cutting or unknown characters made copies of held-out ones are dropped."""
    same = digests(raw.values, 0)
    leaked = (parts == TRAIN) & np.isin(same, same[parts > TRAIN])
    if leaked.any():
        told.append(f"{count(int(leaked.sum()), 'training item')} were dropped because, as tokens, they are copies of held-out ones.")
    return np.where(leaked, DROPPED, parts).astype(np.int8)
