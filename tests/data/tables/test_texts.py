from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.tables import texts as module
from ova.data.tables.texts import Texts

WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=40)


@given(WORDS, st.integers(1, 9))
def test_it_is_what_a_tuple_is(words, block):
    before = module._BLOCK_TEXTS
    module._BLOCK_TEXTS = block
    try:
        texts = Texts.of(iter(words))
        assert len(texts) == len(words)
        assert list(texts) == words
        assert [texts[row] for row in range(len(words))] == words
        assert [texts[row - len(words)] for row in range(len(words))] == words
        assert texts == tuple(words)
        assert tuple(words) == texts
        assert texts == Texts.of(words)
        assert list(texts[1::2]) == words[1::2]
        assert sorted(texts) == sorted(words)
        assert list(reversed(texts)) == words[::-1]
        assert all(word in texts for word in words)
    finally:
        module._BLOCK_TEXTS = before


@given(WORDS.filter(bool), st.data(), st.integers(1, 5))
def test_take(words, data, block):
    rows = data.draw(st.lists(st.integers(0, len(words) - 1), max_size=30))
    before = module._BLOCK_TEXTS
    module._BLOCK_TEXTS = block
    try:
        taken = Texts.of(words).take(np.array(rows, np.intp))
        assert taken == [words[row] for row in rows]
    finally:
        module._BLOCK_TEXTS = before


def test_what_differs():
    texts = Texts.of(["a", "bc"])
    assert texts != ("a", "bd")
    assert texts != ("ab", "c")
    assert texts != Texts.of(["ab", "c"])
    assert texts != ("a", "bc", "")
    assert texts != "abc"
    assert (
        len({Texts.of(words).digest() for words in (["a", "bc"], ["ab", "c"], ["abc"], ["abc", ""], [])}) == 5
    )
    assert texts.digest() == Texts.of(("a", "bc")).digest()
    with pytest.raises(IndexError):
        texts[2]
    with pytest.raises(IndexError):
        texts[-3]
    with pytest.raises(TypeError):
        hash(texts)


def test_numpy_rows():
    texts = Texts.of(["ä", "b", "裂"])
    assert texts[np.int64(2)] == "裂"
    assert Texts.of(texts) is texts
    assert repr(texts) == "Texts('ä', 'b', '裂'; 3 in all)"
