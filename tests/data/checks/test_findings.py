from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messy import SOUND, add_mess, add_unusable, sound_workspace
from PIL import Image
from scipy import ndimage

from ova.data.checks.findings import (
    FINDING_KINDS,
    Bounds,
    conflicts_by_label,
    find_all,
    find_conflicts,
    judge_images,
    usual_bounds,
)
from ova.data.checks.survey import survey_data
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.recipe import CleanRule


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    made = sound_workspace(tmp_path_factory.mktemp("messy"))
    add_mess(made)
    add_unusable(made)
    return made


@pytest.fixture(scope="module")
def survey(messy):
    return survey_data(messy.workspace)


def by_kind(findings):
    return {kind: [each.image for each in findings if each.finding == kind] for kind in FINDING_KINDS}


def test_everything_that_is_wrong_is_found_and_nothing_else(survey):
    parts = {fact.image: "train" for fact in survey.facts} | {SOUND[10]: "test", SOUND[3]: "test"}
    found = find_all(survey, parts)
    assert by_kind(found) == {
        "missing": ["gone.png"],
        "unreadable": ["cut.png", "page.png"],
        "too small": ["small.png"],
        "one shade": ["flat.png"],
        "blurred": ["blurred.png"],
        "mostly black": ["dark.png"],
        "mostly white": ["bright.png"],
        "unusual colour": ["red.png"],
        "identical": [SOUND[3], SOUND[4], "copy of 03.png", "copy of 04.png"],
        "near duplicate": [SOUND[10], "flip of 10.png"],
        "labels conflict": [SOUND[4], "copy of 04.png"],
        "in several parts": [SOUND[3], SOUND[10], "copy of 03.png", "flip of 10.png"],
    }
    others = {each.image: each.other for each in found if each.other}
    assert all(others[other] == image for image, other in others.items())
    assert not by_kind(find_all(survey, None))["in several parts"]


def test_measures_are_those_of_numpy_and_scipy(survey, messy):
    findings = {(each.image, each.finding): each for each in find_all(survey, None)}
    pixels = np.asarray(Image.open(messy.path("blurred.png"))).astype(float)
    sharpness = ndimage.laplace(pixels, mode="nearest").var()
    assert float(findings["blurred.png", "blurred"].measure) == pytest.approx(sharpness, rel=1e-3)
    assert findings["small.png", "too small"].measure == "20 x 12"
    dark = np.asarray(Image.open(messy.path("dark.png")))
    assert findings["dark.png", "mostly black"].measure == f"{(dark <= 5).mean():.1%}"


def test_bounds_are_usual_unless_they_are_set(survey):
    sharpness = [
        value
        for value, spread in zip(survey.qualities.sharpness, survey.qualities.spread, strict=True)
        if spread >= 2
    ]
    assert usual_bounds(CleanRule(), survey.facts, survey.qualities) == Bounds(
        96 / 4, pytest.approx(np.median(sharpness) / 5), "grey"
    )
    rule = CleanRule(min_side=5, sharpness=1.5, colour="colour")
    assert usual_bounds(rule, survey.facts, survey.qualities) == Bounds(5, 1.5, "colour")
    none = usual_bounds(CleanRule(), [], survey.qualities.take(np.zeros(0, np.intp)))
    assert none[:2] == (0, 0)


def test_bounds_are_inclusive(survey):
    sides = {fact.image: min(fact.height, fact.width) for fact in survey.facts}
    for side in (12, 13, 96, 97):
        found = judge_images(survey.facts, survey.qualities, Bounds(side, 0, "grey"))
        small = {each.image for each in found if each.finding == "too small"}
        assert small == {image for image, length in sides.items() if length < side}


CELLS = st.lists(st.sampled_from([0, 1, UNKNOWN]), min_size=2, max_size=2)


@given(st.lists(CELLS, min_size=2, max_size=8), st.data())
def test_conflicts_are_those_of_all_pairs(rows, data):
    images = tuple(f"{number}.png" for number in range(len(rows)))
    table = LabelTable(images, ("crack", "ünaktiv"), np.array(rows, np.int8), images)
    cut = data.draw(st.integers(1, len(rows) - 1))
    clusters = [some for some in (images[:cut], images[cut:]) if len(some) > 1]
    disputed, labels = Counter(), Counter()
    for cluster in clusters:
        seen = set()
        for one, other in combinations(cluster, 2):
            for column, label in enumerate(table.labels):
                if {rows[images.index(one)][column], rows[images.index(other)][column]} == {0, 1}:
                    disputed.update([one, other])
                    seen.add(label)
        labels.update(seen)
    found = find_conflicts(table, clusters)
    assert sorted(each.image for each in found) == sorted(disputed)
    assert conflicts_by_label(table, clusters) == dict(labels)
    for each in found:
        own, other = rows[images.index(each.image)], rows[images.index(each.other)]
        assert any({mine, yours} == {0, 1} for mine, yours in zip(own, other, strict=True))
