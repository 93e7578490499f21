from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.duplicates.hash_index import MAX_TOLERANCE, pairs_within

HASHES = st.lists(
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.builds(
            lambda base, bits: base ^ sum(1 << bit for bit in bits),
            st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]),
            st.sets(st.integers(0, 63), max_size=12),
        ),
    ),
    max_size=30,
)


def found(hashes, tolerance, **options) -> list[tuple[int, int]]:
    pieces = list(pairs_within(np.array(hashes, np.uint64), tolerance, **options))
    return sorted(tuple(pair) for piece in pieces for pair in piece.tolist())


def by_brute_force(hashes, tolerance) -> list[tuple[int, int]]:
    places = range(len(hashes))
    return [(i, j) for i, j in combinations(places, 2) if (hashes[i] ^ hashes[j]).bit_count() <= tolerance]


@given(HASHES, st.integers(0, MAX_TOLERANCE))
def test_every_pair_is_found_once(hashes, tolerance):
    assert found(hashes, tolerance) == by_brute_force(hashes, tolerance)


@pytest.mark.parametrize("tolerance", [0, 1, 4, 7, 10])
def test_many_hashes_with_planted_pairs(tolerance):
    random = np.random.default_rng(tolerance)
    hashes = random.integers(0, 2**64, 20_000, dtype=np.uint64)
    hashes[:300] = hashes[300:600]
    for place in range(300):
        for bit in random.choice(64, random.integers(0, tolerance + 3), replace=False).tolist():
            hashes[place] ^= np.uint64(1 << bit)
    near = found(hashes, tolerance)
    differences = np.bitwise_count(hashes[:300] ^ hashes[300:600])
    planted = {(place, place + 300) for place in np.flatnonzero(differences <= tolerance).tolist()}
    assert planted <= set(near)
    assert len(set(near)) == len(near)
    assert all((int(hashes[i]) ^ int(hashes[j])).bit_count() <= tolerance for i, j in near)
    assert len(near) < len(planted) + 20  # chance pairs among random hashes are rare


def test_only_settled_pairs_are_left_off():
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (60, 64)) * (np.arange(64) < 5)
    hashes = [sum(1 << int(bit) for bit in np.flatnonzero(row)) for row in bits]
    for labels in (np.zeros(60, int), np.arange(60) % 3, np.arange(60), (np.arange(60) == 7).astype(int)):
        near = set(found(hashes, 2, settled=lambda labels=labels: labels))
        every = by_brute_force(hashes, 2)
        assert near <= set(every)
        assert {(i, j) for i, j in every if labels[i] != labels[j]} <= near


def test_many_equal_hashes_cost_little_once_they_are_settled():
    count, seen = 4_000, 0

    def settled():
        return np.zeros(count, int) if seen else np.arange(count)  # the first piece, neighbours, joins all

    for piece in pairs_within(np.zeros(count, np.uint64), 4, settled):
        seen += len(piece)
    assert count - 1 <= seen < 3 * count


@pytest.mark.parametrize("tolerance", [-1, MAX_TOLERANCE + 1])
def test_tolerance_has_limits(tolerance):
    with pytest.raises(ValueError, match="tolerance must be"):
        list(pairs_within(np.zeros(2, np.uint64), tolerance))


def test_none_and_one():
    assert found([], 4) == found([3], 4) == []
    assert found([3, 3], 0) == [(0, 1)]
