from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ova.analysis.statistics import plots
from ova.analysis.statistics.balance import HeadBalance, NetworkBalance
from ova.analysis.statistics.labels import count_labels
from ova.analysis.statistics.plots import balance_png, labels_png, sizes_png, together_png
from ova.analysis.statistics.sizes import Sizes, measure_sizes
from ova.data.images.store import StoreSpec


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def head(name: str, rows: tuple[int, int]) -> HeadBalance:
    network = NetworkBalance("validation", rows, (rows[0], rows[1] * 3), 2.0, ("sampler",))
    return HeadBalance(name, name, (network,), StoreSpec(8, 8, 1), 0.0, None)


NAMES = ("crack", "$x^2$", "<b>&", "裂纹", "tab\there", "long " * 30, "ü")


@pytest.mark.parametrize("draw", [labels_png, together_png])
def test_any_name_is_drawn_the_same_every_time(table_of, draw):
    values = np.random.default_rng(0).integers(0, 2, (50, len(NAMES)))
    labels = count_labels(table_of(values, NAMES))
    assert draw(labels) == draw(labels)
    assert min(size_of(draw(labels))) > 200


@pytest.mark.parametrize(
    "values", [[[0]], [[1]], [[-1, -1], [-1, -1]], [[0, 0, 0]], [[1, 0]] * 2000 + [[1, 1]] * 3]
)
def test_labels_without_positives_or_with_very_many(table_of, values):
    labels = count_labels(table_of(values))
    assert size_of(labels_png(labels))[0] == 1080
    size_of(together_png(labels))


def test_no_picture_grows_with_hundreds_of_labels(random_table, monkeypatch):
    monkeypatch.setattr(plots, "MOST_BARS", 5)

    def pictures(count):
        labels = count_labels(random_table(50, count))
        heads = [head(f"h{number}", (50 + number, 10)) for number in range(count)]
        return [size_of(png) for png in (labels_png(labels), together_png(labels), balance_png(heads))]

    assert pictures(60) == pictures(5)


def test_balance_is_drawn_for_heads_that_have_one():
    assert balance_png([]) is None
    assert balance_png([HeadBalance("x", None, (), None, None, "broken")]) is None
    few, more = balance_png([head("a", (90, 10))]), balance_png([head("a", (90, 10)), head("b", (9, 1))])
    assert size_of(few)[1] < size_of(more)[1]


def test_sizes_are_drawn_where_they_differ():
    same = np.full(5, 30)
    sizes = Sizes(same, same, same)
    assert sizes_png(sizes, measure_sizes(sizes, np.ones(5, bool))) is None
    sizes = Sizes(same, np.arange(20, 25), same)
    size_of(sizes_png(sizes, measure_sizes(sizes, np.ones(5, bool))))
