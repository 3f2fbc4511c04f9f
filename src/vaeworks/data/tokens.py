"""Tokenizers: which one suits strings, and how it is learned from those of the training part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from vaeworks.data.options import Tokens

__all__ = ["UNITS", "choose_tokens", "choose_vocabulary", "learn", "strange"]

UNITS: dict[Tokens, str] = {"characters": "characters", "bytes": "bytes", "bpe": "pieces"}
_SPECIAL = ("<pad>", "<end>", "\ufffd")
"""PAD, END and UNKNOWN; no tokenizer here makes the first two of text, and the third stands for what is not known."""
_ALPHABET = 1000
"""Characters beyond which a token of its own for each is too many."""
_SHORT = 24
"""Characters of an item that is short."""
_LEARNED_FROM = 20_000_000
"""Characters that pieces are learned from at most."""


def choose_tokens(strings: Sequence[str]) -> tuple[Tokens, str]:
    """What a token of ``strings`` should be, and why: characters where there are few of them or in an item, pieces of words for sentences."""
    alphabet = len(set().union(*strings))
    if alphabet > _ALPHABET:
        return "bpe", f"there are {alphabet} different characters"
    words = float(np.mean([len(s.split()) for s in strings]))
    if words < 3:
        return "characters", f"items are of {words:.1f} words"
    median = float(np.median([len(s) for s in strings]))
    if median <= _SHORT:
        return "characters", f"half of the items have at most {median:.0f}"
    return "bpe", f"items are of {words:.0f} words, and sequences of pieces are shorter than of characters"


def choose_vocabulary(strings: Sequence[str]) -> int:
    """Tokens for pieces learned from so much text: 2000 for 1.5 million characters, and as its square root for more or less, 500 .. 16,000."""
    wanted = 2000 * (sum(map(len, strings)) / 1.5e6) ** 0.5
    return int(min(16_000, max(500, round(wanted / 500) * 500)))


def learn(kind: Tokens, strings: Sequence[str], vocabulary: int) -> tuple[str, int]:
    """The tokenizer as the JSON of the tokenizers library, and V: the number of its tokens with PAD, END and UNKNOWN.

    Text comes back as it was, to the last space: "bytes" and "bpe" know every string, "characters" those of the characters in ``strings``. "bpe" merges the most frequent
    pairs until there are ``vocabulary`` tokens, within words and the spaces before them (Sennrich et al. 2016, arXiv:1508.07909; on bytes, Radford et al. 2019).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if kind == "characters":
        vocab = {piece: i for i, piece in enumerate((*_SPECIAL, *sorted(set().union(*strings) - {_SPECIAL[-1]})))}
        whole = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token=_SPECIAL[-1], fuse_unk=False))
        whole.decoder = decoders.Fuse()
        return whole.to_str(), len(vocab)
    pieces, merges = _merged(strings, vocabulary) if kind == "bpe" else (sorted(pre_tokenizers.ByteLevel.alphabet()), [])
    vocab = {piece: i for i, piece in enumerate((*_SPECIAL, *pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "bpe")
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.to_str(), len(vocab)


def _merged(strings: Sequence[str], vocabulary: int) -> tuple[list[str], list[Any]]:
    """The pieces, in order of their numbers, and the merges that make them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_SPECIAL), min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    every = max(1, -(-sum(map(len, strings)) // _LEARNED_FROM))
    tokenizer.train_from_iterator(strings[::every], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), [tuple(merge) for merge in model["merges"]]


def strange(strings: Sequence[str], known: set[str]) -> tuple[int, list[str]]:
    """How many of ``strings`` hold a character that is not ``known``, and the most frequent such characters."""
    odd: Counter[str] = Counter()
    count = 0
    for s in strings:
        new = set(s) - known
        count += bool(new)
        odd.update(new)
    return count, [character for character, _ in odd.most_common(5)]
