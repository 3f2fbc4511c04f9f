"""Training, validation and test items: a split that depends on the seed alone, in which copies of an item stay together."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.options import Options
from vaeworks.data.raw import FREE, TEST, TRAIN, VALIDATION, Raw
from vaeworks.errors import DataError

__all__ = ["DROPPED", "OFFICIAL_VALIDATION", "changed", "choose", "digests", "split"]

DROPPED = -2
OFFICIAL_VALIDATION = 5000


def digests(values: NDArray[Any], seed: int) -> NDArray[np.bytes_]:
    """(N,) 16-byte hashes of the bytes of each item, keyed by the seed: their order is a random order that no other item changes."""
    key = str(seed).encode()
    items = np.ascontiguousarray(values)
    hashes = b"".join(hashlib.blake2b(item.data, digest_size=16, key=key).digest() for item in items)
    return np.frombuffer(hashes, dtype="S16")


def changed(raw: Raw, values: NDArray[Any], levels: int, seed: int) -> Raw:
    """``raw`` with other values, and the hashes by which it was to be split: a split does not depend on what is made of the items."""
    return replace(raw, values=values, levels=levels, keys=digests(raw.values, seed) if raw.keys is None else raw.keys)


def choose(raw: Raw, options: Options) -> Raw:
    """At most ``options.limit`` items (and as many official test items), chosen by the seed, in their order."""
    if options.limit is None or len(raw) <= options.limit:
        return raw
    test = np.zeros(len(raw), dtype=bool) if raw.parts is None else raw.parts == TEST
    generator = np.random.Generator(np.random.PCG64(options.seed))
    kept = [generator.permutation(np.flatnonzero(group))[: options.limit] for group in (~test, test)]
    chosen = np.sort(np.concatenate(kept))
    return raw.take(chosen).note(f"Limited to {len(chosen)} of {len(raw)} items.")


def split(raw: Raw, options: Options) -> tuple[NDArray[np.int8], list[str]]:
    """(N,) TRAIN, VALIDATION, TEST or DROPPED for each item, and what to tell about it.

    Distinct items are taken in the order of the keyed hash of what their source holds until test and validation have their share; copies, also those
    that resizing or binarisation made, stay together. An official split stays as it is, but copies of its held-out items are dropped from training.
    DataError where there are too few different items.
    """
    parts = np.full(len(raw), FREE, dtype=np.int8) if raw.parts is None else raw.parts.copy()
    official = raw.parts is not None
    group = _groups(raw, options.seed)
    notes = []
    copies = len(raw) - int(group.max()) - 1
    if copies:
        notes.append(f"{copies} of {len(raw)} items are exact copies of another; copies stay in one split.")
    dropped = 0
    for kept, others in ((TEST, (FREE, TRAIN, VALIDATION)), (VALIDATION, (FREE, TRAIN))):
        held = np.zeros(int(group.max()) + 1, dtype=bool)
        held[group[parts == kept]] = True
        leaked = held[group] & np.isin(parts, others)
        parts[leaked] = DROPPED
        dropped += int(leaked.sum())
    if dropped:
        notes.append(f"{dropped} items were dropped from training because an official held-out split has exact copies of them.")

    free = np.flatnonzero(parts == FREE)
    if len(free):
        shares = _shares(len(free), options, official)
        parts[free] = _fill(group[free], shares, raw.source)
    sizes = {name: int((parts == part).sum()) for name, part in (("training", TRAIN), ("validation", VALIDATION), ("test", TEST))}
    how = "the official test split, validation drawn from training" if official and len(free) else "the official split" if official else "at random"
    notes.append(f"Split: {', '.join(f'{n} {name}' for name, n in sizes.items())} ({how}, seed {options.seed}).")
    return parts, notes


def _groups(raw: Raw, seed: int) -> NDArray[np.int64]:
    """(N,) a number for each item, the same for copies, in the order of the least hash among them."""
    values = digests(raw.values, seed)
    if raw.keys is None:
        return np.unique(values, return_inverse=True)[1]
    order = np.argsort(raw.keys, kind="stable")
    _, first, group = np.unique(values[order], return_index=True, return_inverse=True)
    numbers = np.empty(len(raw), dtype=np.int64)
    numbers[order] = np.argsort(np.argsort(first))[group]
    return numbers


def _shares(count: int, options: Options, official: bool) -> dict[int, int]:
    """How many of ``count`` items each held-out split wants; at least one where its fraction is above zero."""
    validation = round(options.fraction * count)
    if official and options.validation is None:
        validation = min(OFFICIAL_VALIDATION, validation)
    wanted = {VALIDATION: max(1, validation)} if options.fraction > 0 else {}
    if not official and options.test > 0:
        wanted = {TEST: max(1, round(options.test * count)), **wanted}
    return wanted


def _fill(group: NDArray[Any], wanted: dict[int, int], source: str) -> NDArray[np.int8]:
    """(N,) the part of each item: whole groups in order of their number, each part filled up to what it wants and never past it if avoidable."""
    names, sizes = np.unique(group, return_counts=True)
    least = 1 + len(wanted)
    if len(names) < least:
        found = f"{len(group)} item{'s' if len(group) != 1 else ''}"
        if len(names) < len(group):
            found += ", all the same" if len(names) == 1 else f", only {len(names)} of them different"
        splits = ("training", "training and held-out", "training, validation and test")[len(wanted)]
        raise DataError(f"{source} has {found}, too few for {splits} items: give at least {least} different ones")
    part_of = np.full(int(names.max()) + 1, TRAIN, dtype=np.int8)
    taken = np.zeros(len(names), dtype=bool)
    for index, (part, want) in enumerate(wanted.items()):
        spare = len(names) - int(taken.sum()) - (len(wanted) - index)
        room = want
        chosen: list[int] = []
        for i in np.flatnonzero(~taken):
            if room <= 0 or len(chosen) >= spare:
                break
            if sizes[i] <= room:
                chosen.append(int(i))
                room -= int(sizes[i])
        if not chosen:
            rest = np.flatnonzero(~taken)
            chosen = [int(rest[np.argmin(sizes[rest])])]
        taken[chosen] = True
        part_of[names[chosen]] = part
    filled: NDArray[np.int8] = part_of[group]
    return filled
