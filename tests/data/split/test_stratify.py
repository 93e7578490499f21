from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from ova.data.split.clusters import Clusters
from ova.data.split.local_search import FINE, LocalSearch
from ova.data.split.quotas import by_share
from ova.data.split.stratify import place_clusters
from ova.data.split.traits import Traits, find_traits


def traits_of(values: np.ndarray, of_image: np.ndarray) -> Traits:
    names = tuple(map(str, range(int(of_image.max()) + 1)))
    return find_traits(Clusters(np.arange(len(values)), of_image, names), values.astype(np.int8))


def divide(values, of_image, shares, seed=0, pinned=None) -> np.ndarray:
    """The part of every image."""
    traits = traits_of(values, of_image)
    count = len(traits.signature)
    wanted = by_share(traits, np.array(shares), np.zeros((traits.labels, len(shares)), np.intp))
    rank = np.random.default_rng(seed).permutation(count)
    return place_clusters(traits, rank, np.full(count, -1) if pinned is None else pinned, wanted)[of_image]


def worst(values: np.ndarray, part: np.ndarray, shares) -> float:
    """How many positives of a label a part has too many or too few, at most."""
    has = np.stack([values[part == number].sum(axis=0) for number in range(len(shares))])
    return float(np.abs(has - np.outer(shares, values.sum(axis=0))).max())


def correlated(rows: int, labels: int, seed: int) -> np.ndarray:
    """Labels from 35 % to 1 % that follow four hidden causes."""
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(rows, 4)) @ generator.normal(size=(4, labels))
    hidden += generator.normal(size=(rows, labels))
    limits = np.quantile(hidden, 1 - np.geomspace(0.35, 0.01, labels), axis=0).diagonal()
    return (hidden > limits).astype(np.int8)


def videos(rows: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of films of very unequal length, whose labels come and go with the film."""
    generator = np.random.default_rng(seed)
    sizes = np.minimum(1 + generator.pareto(1.2, rows) * 4, 40).astype(int)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), rows))]
    shown = generator.random((len(sizes), labels)) < np.geomspace(0.3, 0.05, labels)
    of_image = np.repeat(np.arange(len(sizes)), sizes)
    noise = generator.random((len(of_image), labels))
    return (noise < np.where(shown[of_image], 0.7, 0.01)).astype(np.int8), of_image


@pytest.mark.parametrize("copies", [1, 6])
@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.2,) * 5])
def test_twenty_correlated_labels_keep_their_shares(copies, shares):
    cells = correlated(1500, 20, 0)
    values, of_image = np.repeat(cells, copies, axis=0), np.repeat(np.arange(1500), copies)
    part = divide(values, of_image, shares)
    assert worst(values, part, shares) <= 2 * copies
    assert np.abs(np.bincount(part) - np.array(shares) * len(part)).max() <= 2 * copies


def test_a_long_tail_of_fifty_classes_keeps_its_shares():
    weights = np.arange(1, 51) ** -1.6
    classes = np.random.default_rng(0).choice(50, 3000, p=weights / weights.sum())
    values, shares = np.eye(50, dtype=np.int8)[classes], (0.6, 0.2, 0.2)
    part = divide(values, np.arange(3000), shares)
    assert worst(values, part, shares) < 1
    assert np.abs(np.bincount(part) - 3000 * np.array(shares)).max() <= 2


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("seed", range(3))
def test_folds_of_films_are_more_even_than_those_of_scikit_learn(seed):
    values, of_image = videos(2000, 4, seed)
    shares = (0.25,) * 4
    combination = np.unique(values, axis=0, return_inverse=True)[1]
    reference = np.empty(len(values), int)
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(values, combination, of_image)
    for fold, (_, rows) in enumerate(folds):
        reference[rows] = fold
    ours = divide(values, of_image, shares, seed)
    assert worst(values, ours, shares) < worst(values, reference, shares)


def test_shares_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    crack = generator.random(500) < 0.22
    values = np.stack([crack, crack & (generator.random(500) < 0.3)], axis=1)
    part = divide(values, np.arange(500), (0.75, 0.25))
    strata = [str(row) for row in values.tolist()]
    _, tested = next(StratifiedShuffleSplit(1, test_size=0.25, random_state=0).split(strata, strata))
    ours = Counter(strata[row] for row in np.flatnonzero(part == 1))
    theirs = Counter(strata[row] for row in tested)
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[stratum] - theirs[stratum]) <= 1 for stratum in ours)


@given(st.lists(st.tuples(*[st.integers(-1, 1)] * 2), min_size=8, max_size=60), st.data())
@settings(max_examples=60)
def test_pinned_clusters_stay_and_the_rest_is_placed(rows, data):
    values, count = np.array(rows), len(rows)
    pinned = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count)))
    part = divide(values, np.arange(count), (0.6, 0.2, 0.2), pinned=pinned)
    assert (part[pinned >= 0] == pinned[pinned >= 0]).all()
    assert set(part.tolist()) <= {0, 1, 2}


def test_new_clusters_go_where_old_ones_left_room():
    values = np.repeat([[1], [0]], [40, 60], axis=0)
    pinned = np.full(100, -1)
    pinned[:20], pinned[40:70] = 0, 0  # half of everything was put into the first part, of 60 %
    part = divide(values, np.arange(100), (0.6, 0.2, 0.2), pinned=pinned)
    assert Counter(part[:40].tolist()) == {0: 24, 1: 8, 2: 8}
    assert Counter(part.tolist()) == {0: 60, 1: 20, 2: 20}


def test_exchanges_lower_the_sum_and_count_it_right():
    values, of_image = videos(300, 3, 1)
    traits = traits_of(values, of_image)
    count, shares = len(traits.signature), np.array([0.5, 0.3, 0.2])
    part = np.random.default_rng(0).integers(0, 3, count)
    counts = traits.counts.toarray()

    def deviation() -> np.ndarray:
        has = np.stack([counts[part == number].sum(axis=0) for number in range(3)], axis=1)
        return FINE * has - np.rint(FINE * np.outer(traits.totals, shares)).astype(np.int64)

    def total() -> int:
        return int((traits.weights[:, None] * deviation() ** 2).sum())

    search = LocalSearch(traits, part, deviation(), np.zeros(count, bool), np.zeros((count, 3), bool))
    before, gain, target = total(), search.gain(4, (part[4] + 1) % 3), (part[4] + 1) % 3
    search.put(4, target)
    assert total() - before == 2 * FINE * gain
    one, other = next((a, b) for a in range(count) for b in range(count) if part[a] == 0 and part[b] == 1)
    before, gain = total(), search.swap_gain(one, other)
    search.put(one, 1)
    search.put(other, 0)
    assert total() - before == 2 * FINE * gain
    before = total()
    search.run()
    assert total() < before / 20
    assert (search.deviation == deviation()).all()
