from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.tables import texts as alike
from ova.data.tables.texts import Texts

WORDS = st.lists(st.sampled_from(["a", "b", "A", "ab", "c", ""]), max_size=30)


@pytest.fixture(params=["python", "colliding", "all alike"])
def hashing(request, monkeypatch):
    """Hashes as they are, and hashes that many different texts share."""
    if request.param != "python":
        buckets = 2 if request.param == "colliding" else 1

        def collide(texts, key=None):
            return np.array([len(key(text) if key else text) % buckets for text in texts], np.int64)

        monkeypatch.setattr(alike, "text_hashes", collide)
    return request.param


def test_distinct_agrees_with_a_dictionary(hashing):
    @given(WORDS)
    def check(words):
        found = alike.distinct(Texts.of(words))
        order = {word: number for number, word in enumerate(dict.fromkeys(words))}
        assert found.owners.tolist() == [order[word] for word in words]
        assert found.first.tolist() == [words.index(word) for word in order]

    check()


def test_rows_alike_agree_with_a_dictionary(hashing):
    @given(WORDS)
    def check(words):
        groups = defaultdict(list)
        for row, word in enumerate(words):
            groups[word.lower()].append(row)
        expected = [rows for rows in groups.values() if len(rows) > 1]
        assert alike.rows_alike(Texts.of(words), str.lower) == expected

    check()


@given(st.lists(st.integers(-3, 3), max_size=30))
def test_repeats(keys):
    expected = [row for row, key in enumerate(keys) if key in keys[:row]]
    assert alike.repeats(np.array(keys, np.int64)).tolist() == expected
