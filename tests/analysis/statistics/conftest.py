from __future__ import annotations

import numpy as np
import pytest

from ova.data.labels.table import LabelTable


def _table_of(values, labels=None, images=None) -> LabelTable:
    values = np.asarray(values, np.int8)
    labels = labels or tuple(f"label {column}" for column in range(values.shape[1]))
    images = images or tuple(f"{row:05d}.png" for row in range(len(values)))
    return LabelTable(tuple(images), tuple(labels), values, tuple(images))


@pytest.fixture(scope="session")
def table_of():
    """Make a label table of values (n, k)."""
    return _table_of


@pytest.fixture(scope="session")
def random_table():
    """Make a table of n rows and k labels in which all three values occur."""

    def make(rows: int, labels: int, seed: int = 0) -> LabelTable:
        generator = np.random.default_rng(seed)
        return _table_of(generator.choice([-1, 0, 1], (rows, labels), p=[0.2, 0.5, 0.3]))

    return make
