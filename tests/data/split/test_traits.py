from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from ova.data.split import traits as module
from ova.data.split.clusters import Clusters
from ova.data.split.traits import find_traits


def clusters_of(of_image) -> Clusters:
    codes = np.asarray(of_image)
    names = tuple(f"c{number}" for number in range(codes.max() + 1))
    return Clusters(np.arange(len(codes)), codes, names)


@pytest.fixture
def drawn():
    generator = np.random.default_rng(1)
    values = generator.choice([-1, 0, 1], (300, 4), p=[0.1, 0.6, 0.3]).astype(np.int8)
    values[:, 3] = generator.random(300) < 0.9  # mostly positive: its negatives are scarce
    return values, np.sort(generator.integers(0, 90, 300) % 80)


def test_traits_are_images_positives_and_images_of_none(drawn):
    values, of_image = drawn
    of_image = np.unique(of_image, return_inverse=True)[1]
    traits = find_traits(clusters_of(of_image), values)
    counts = traits.counts.toarray()
    for cluster in range(of_image.max() + 1):
        held = values[of_image == cluster]
        assert counts[cluster, 0] == len(held)
        assert counts[cluster, 1:5].tolist() == (held == 1).sum(axis=0).tolist()
        assert counts[cluster, 5] == ((held != 1).all(axis=1) & (held == 0).any(axis=1)).sum()
    assert traits.totals.tolist() == counts.sum(axis=0).tolist()


def test_the_rest_are_scarce_negatives_pairs_and_frequent_combinations(drawn):
    values, of_image = drawn
    of_image = np.unique(of_image, return_inverse=True)[1]
    traits = find_traits(clusters_of(of_image), values)
    positive = values == 1
    pairs = [int((positive[:, a] & positive[:, b]).sum()) for a, b in combinations(range(4), 2)]
    often = [count for count in Counter(map(tuple, values.tolist())).values() if count >= 10]
    scarce = [count for count in (values == 0).sum(axis=0).tolist() if 0 < 2 * count < 300]
    assert Counter(traits.totals[6:].tolist()) == Counter([*scarce, *pairs, *often])
    assert int((values[:, 3] == 0).sum()) in scarce


def test_the_scarcer_a_trait_the_more_it_weighs_and_labels_more_than_pairs():
    values = np.zeros((40, 2), np.int8)
    values[:8, 0], values[:4, 1] = 1, 1
    traits = find_traits(clusters_of(np.arange(40)), values)
    size, common, scarce, _, pair = traits.weights[:5].tolist()
    assert traits.totals[:5].tolist() == [40, 8, 4, 32, 4]
    assert size < common < scarce
    assert scarce == 2 * common == 8 * pair


def test_signatures_are_equal_for_equal_contents():
    values = np.array([[1], [0], [0], [1], [1], [1], [0]], np.int8)
    traits = find_traits(clusters_of([0, 0, 1, 1, 2, 3, 4]), values)
    zero, one, two, three, four = traits.signature.tolist()
    assert zero == one
    assert two == three
    assert len({zero, two, four}) == 3
    assert traits.per_signature.tolist() == [2, 2, 1]


def test_too_many_pairs_are_left_out(monkeypatch):
    values = np.random.default_rng(0).integers(0, 2, (50, 6)).astype(np.int8)
    with_pairs = find_traits(clusters_of(np.arange(50)), values)
    monkeypatch.setattr(module, "_MOST_PAIRS", 3)
    without = find_traits(clusters_of(np.arange(50)), values)
    assert with_pairs.counts.shape[1] - without.counts.shape[1] == 15
