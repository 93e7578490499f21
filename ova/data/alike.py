"""Which texts of a long list are the same, by sorted hashes: a few arrays instead of a set of Python objects.

Python's hash of a text differs from run to run; what is found does not depend on it, because texts of equal
hash are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.texts import Texts


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


def _part_collisions(texts: Texts, leader: NDArray[np.intp]) -> None:
    """Give rows whose text is not that of their leader, in spite of the hash, a leader of their own."""
    own: dict[str, int] = {}
    for row in np.flatnonzero(leader != np.arange(len(texts))).tolist():
        text = texts[row]
        if text != texts[leader[row]]:
            leader[row] = own.setdefault(text, row)


def in_order_met(keys: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Number keys (n,) from 0 in the order in which they first appear."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
