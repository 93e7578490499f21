from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.labels.presence import difference, folded, report_twins
from ova.data.problems import Ledger, Problem
from ova.data.tables.texts import Texts


def twins(*names):
    ledger = Ledger()
    report_twins(Texts.of(names), lambda row: f"t:{row}", ledger)
    return ledger


def test_names_that_some_file_systems_take_for_one():
    nfc, nfd = "d/\u00e9.png", "d/e\u0301.png"
    ledger = twins("A.png", nfc, "b.png", nfd, "a.PNG", "a.png", nfd.upper())
    assert ledger.problems == [
        Problem("a.PNG", "differs from 'A.png' by case only", "t:4"),
        Problem("a.png", "differs from 'A.png' by case only", "t:5"),
        Problem(nfd, f"differs from {nfc!r} by Unicode form only", "t:3"),
        Problem(nfd.upper(), f"differs from {nfc!r} by case only", "t:6"),
    ]
    assert ledger.summaries == [
        "4 image names differ from another by case only ('a.PNG' and 'A.png'); rename the files or remove rows"
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "b.png"),
        ("a/1.png", "b/1.png"),
        ("e.png", "é.png"),
        ("\u0131.png", "i.png"),
        ("1.png", "\uff11.png"),
    ],
)
def test_names_that_every_file_system_keeps_apart(names):
    assert twins(*names).summaries == []


@given(st.text(st.characters(codec="utf-8"), max_size=8))
def test_folding_joins_cases_and_forms(name):
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, name)) == folded(name)
    if name.isascii():
        assert folded(name.upper()) == folded(name.lower()) == folded(name)


def test_difference():
    assert difference("a", "A") == "case"
    assert difference("\u00e9", "e\u0301") == "Unicode form"
