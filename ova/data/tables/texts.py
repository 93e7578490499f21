"""Millions of short texts in little memory, and which of them are the same.

A tuple of `str` costs about 60 bytes per text beyond its characters; `Texts` costs 8. The same texts are
found by Python's hash. It differs from run to run, the result does not: texts of equal hash are compared.
"""

from __future__ import annotations

import hashlib
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

_BLOCK_TEXTS = 16_384  # texts that are packed or unpacked at once


class Texts(Sequence[str]):
    """An immutable sequence of n texts; equal to a tuple or list of the same texts."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, content: bytes | bytearray, offsets: NDArray[np.int64]) -> None:
        """Wrap what a `TextsBuilder` made.

        Args:
            content: The UTF-8 of all texts, one after the other; not to be changed later.
            offsets: (n + 1,) where each text begins, and where the last one ends.
        """
        self._content, self._offsets = content, offsets

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Pack texts; those that are packed already are returned as they are."""
        if isinstance(texts, Texts):
            return texts
        builder, rest = TextsBuilder(), iter(texts)
        while block := list(islice(rest, _BLOCK_TEXTS)):
            builder.extend(block)
        return builder.done()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Texts: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | Texts:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"text {position} of {len(self)}")
        position %= len(self)
        return self._content[self._offsets[position] : self._offsets[position + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK_TEXTS):
            offsets = self._offsets[start : start + _BLOCK_TEXTS + 1]
            block = self._content[offsets[0] : offsets[-1]]
            bounds = pairwise((offsets - offsets[0]).tolist())
            if block.isascii():
                text = block.decode("ascii")
                yield from (text[begin:end] for begin, end in bounds)
            else:
                yield from (block[begin:end].decode() for begin, end in bounds)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return np.array_equal(self._offsets, other._offsets) and self._content == other._content
        if isinstance(other, tuple | list):
            return len(self) == len(other) and all(map(operator.eq, self, other))
        return NotImplemented

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, islice(self, 3)))
        return f"Texts({shown}{', ...' if len(self) > 3 else ''}; {len(self)} in all)"

    def take(self, rows: NDArray[np.intp]) -> Texts:
        """Take some texts, in the order given; negative rows are not allowed."""
        begins, lengths = self._offsets[rows], self._offsets[rows + 1] - self._offsets[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        content = bytearray(int(offsets[-1]))
        if content:
            source, target = np.frombuffer(self._content, np.uint8), np.frombuffer(content, np.uint8)
            for start in range(0, len(rows), _BLOCK_TEXTS):  # so that the index of bytes stays small
                block = slice(start, start + _BLOCK_TEXTS)
                first, last = offsets[start], offsets[min(start + _BLOCK_TEXTS, len(rows))]
                shift = np.repeat(begins[block] - offsets[start : start + len(begins[block])], lengths[block])
                target[first:last] = source[np.arange(first, last) + shift]
        return Texts(content, offsets)

    def digest(self) -> str:
        """Digest the texts in their order."""
        total = hashlib.sha256(self._offsets.astype("<i8", copy=False).tobytes())
        total.update(self._content)
        return total.hexdigest()


class TextsBuilder:
    """Collects texts block by block."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._lengths: list[NDArray[np.uint32]] = []

    def extend(self, texts: Sequence[str]) -> None:
        """Append a block of texts."""
        joined = "".join(texts)
        sizes = map(len, texts) if joined.isascii() else (len(text.encode()) for text in texts)
        self._content += joined.encode()
        self._lengths.append(np.fromiter(sizes, np.uint32, len(texts)))

    def done(self) -> Texts:
        """Return what was collected; the builder is empty afterwards."""
        offsets = np.zeros(sum(map(len, self._lengths)) + 1, np.int64)
        position = 0
        for lengths in self._lengths:
            np.cumsum(lengths, dtype=np.int64, out=offsets[position + 1 : position + 1 + len(lengths)])
            offsets[position + 1 : position + 1 + len(lengths)] += offsets[position]
            position += len(lengths)
        content = self._content
        self._content, self._lengths = bytearray(), []
        return Texts(content, offsets)


class Distinct(NamedTuple):
    """The different texts of a list.

    Attributes:
        first: (m,) the row where each first occurs, ascending.
        owners: (n,) for each row the position of its text in `first`.
    """

    first: NDArray[np.intp]
    owners: NDArray[np.intp]


def distinct(texts: Texts) -> Distinct:
    """Find the different texts, in the order of their first rows."""
    hashes = text_hashes(texts)
    if not len(_twice(hashes)):
        rows = np.arange(len(texts))
        return Distinct(rows, rows)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    begins = np.r_[True, ordered[1:] != ordered[:-1]]
    leader = np.empty(len(texts), np.intp)  # the first row of the same hash
    leader[order] = order[begins][np.cumsum(begins) - 1]
    del hashes, order, ordered, begins
    _part_collisions(texts, leader)
    first = np.flatnonzero(leader == np.arange(len(texts)))
    return Distinct(first, np.searchsorted(first, leader))


def _part_collisions(texts: Texts, leader: NDArray[np.intp]) -> None:
    """Give rows whose text is not that of their leader, in spite of the hash, a leader of their own."""
    own: dict[str, int] = {}
    for row in np.flatnonzero(leader != np.arange(len(texts))).tolist():
        text = texts[row]
        if text != texts[leader[row]]:
            leader[row] = own.setdefault(text, row)


def rows_alike(texts: Texts, key: Callable[[str], str]) -> list[list[int]]:
    """Group the rows whose keys are equal; rows that are alone are left out.

    Returns:
        Rows of each group, ascending, the groups in the order of their first rows.
    """
    hashes = text_hashes(texts, key)
    groups: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isin(hashes, _twice(hashes))).tolist():
        groups[key(texts[row])].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def repeats(keys: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Find the rows whose key is that of an earlier row, ascending."""
    rows = np.flatnonzero(np.isin(keys, _twice(keys)))
    return np.setdiff1d(rows, rows[np.unique(keys[rows], return_index=True)[1]])


def text_hashes(texts: Texts, key: Callable[[str], str] | None = None) -> NDArray[np.int64]:
    """Hash every text, or what `key` makes of it; valid in this process only."""
    return np.fromiter(map(hash, map(key, texts) if key else texts), np.int64, len(texts))


def _twice(keys: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Values that occur more than once."""
    ordered = np.sort(keys)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def in_order_met(keys: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Number keys (n,) from 0 in the order in which they first appear."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
