from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.analysis.statistics.sizes import Sizes, measure_sizes, suggest_input
from ova.data.images.facts import ImageFacts
from ova.heads.recipe import InputSettings


def sizes_of(height, width, size=None) -> Sizes:
    height, width = np.asarray(height, np.int64), np.asarray(width, np.int64)
    return Sizes(height, width, np.full(len(height), 1000, np.int64) if size is None else np.asarray(size))


def suggested(height, width):
    return suggest_input(np.array(height), np.array(width)).setting


def test_quartiles_are_those_of_pandas():
    generator = np.random.default_rng(0)
    sizes = sizes_of(*generator.integers(20, 400, (2, 101)), generator.integers(500, 9000, 101))
    found = measure_sizes(sizes, np.ones(101, bool)).measures
    frame = pd.DataFrame({"height": sizes.height, "width": sizes.width, "bytes": sizes.bytes})
    frame["area"] = frame.height * frame.width
    frame["aspect"] = frame.width / frame.height
    for name, values in found.items():
        expected = frame[name].describe()[["min", "25%", "50%", "75%", "max"]]
        assert list(values.values()) == pytest.approx(list(expected))


def test_sizes_are_gathered_by_name():
    facts = {
        name: ImageFacts(name, size, 0, 0, "", name, height, width)
        for name, size, height, width in [("b", 7, 3, 4), ("a", 9, 5, 6), ("unused", 1, 1, 1)]
    }
    found = Sizes.of(["a", "b"], facts)
    assert (found.height.tolist(), found.width.tolist(), found.bytes.tolist()) == ([5, 3], [6, 4], [9, 7])


def test_frequent_sizes_come_first():
    found = measure_sizes(
        sizes_of([50, 40, 50, 30, 30, 50], [20, 60, 20, 9, 9, 21]), np.ones(6, bool), most=2
    )
    assert found.sizes == 4
    assert found.frequent == ((30, 9, 2), (50, 20, 2))


@pytest.mark.parametrize(
    ("height", "width", "setting"),
    [
        ([300] * 5, [300] * 5, 288),
        ([66, 60, 80], [48, 44, 60], [64, 48]),  # plankton
        ([96] * 3, [100] * 3, 96),
        ([24] * 3, [24] * 3, 32),
        ([1000] * 3, [1000] * 3, 384),
        ([400] * 3, [1600] * 3, [192, 768]),
        ([1600] * 3, [400] * 3, [768, 192]),
        ([480, 640, 480, 640], [640, 480, 640, 480], 384),  # upright and across in equal numbers
        ([20] * 3, [60_000] * 3, [32, 4096]),
    ],
)
def test_suggested_input(height, width, setting):
    assert suggested(height, width) == setting


@given(st.lists(st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)), min_size=1, max_size=9))
def test_every_suggestion_is_a_setting_of_the_recipe(shapes):
    heights, widths = np.array(shapes).T
    found = suggest_input(heights, widths)
    setting = tuple(found.setting) if isinstance(found.setting, list) else found.setting
    assert InputSettings(size=setting).shape == (found.height, found.width)
    assert found.height % 16 == found.width % 16 == 0
    assert "\n" not in found.reason


def test_test_images_have_no_say_in_the_suggestion():
    sizes = sizes_of([100, 100, 900, 900, 900], [100, 100, 900, 900, 900])
    found = measure_sizes(sizes, np.array([True, True, False, False, False]))
    assert found.suggestion.setting == 96
    assert found.measures["height"]["median"] == 900


def test_share_of_images_that_an_input_enlarges():
    sizes = sizes_of([10, 20, 30, 20], [20, 10, 30, 20])
    assert sizes.share_below(20, 20) == 0.5
    assert sizes.share_below(10, 10) == 0
    assert sizes.share_below(31, 1) == 1
