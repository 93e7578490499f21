"""How often an epoch shows a row: exact counts, nothing left out for ever, the same on every machine."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ova.data.augment.draws import image_keys
from ova.heads.training.sampler import list_views, repeats_per_epoch


def make(negatives: int, positives: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array([0] * negatives + [1] * positives, np.int8)
    return labels, image_keys([f"{number}.png" for number in range(len(labels))])


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(0, 2**63 - 1),
)
def test_an_epoch_shows_exactly_what_was_planned_and_no_row_more_than_others(
    negatives: int, positives: int, shown_negatives: int, shown_positives: int, seed: int
) -> None:
    labels, keys = make(negatives, positives)
    total = np.zeros(len(labels), np.intp)
    for epoch in (1, 2, 3):
        times = repeats_per_epoch(labels, keys, (shown_negatives, shown_positives), seed=seed, epoch=epoch)
        total += times
        for counts in (times, total):
            for label in (0, 1):
                assert np.ptp(counts[labels == label]) <= 1
        assert (times[labels == 0].sum(), times[labels == 1].sum()) == (shown_negatives, shown_positives)


def test_a_capped_class_is_seen_whole_in_time_and_a_fixed_subset_stays() -> None:
    labels, keys = make(100, 10)
    epochs = [repeats_per_epoch(labels, keys, (30, 10), seed=0, epoch=epoch) for epoch in range(1, 5)]
    assert len({each.tobytes() for each in epochs}) == 4
    assert sum(epochs)[labels == 0].min() == 1
    fixed = [repeats_per_epoch(labels, keys, (30, 10), seed=0, epoch=epoch, rotate=False) for epoch in (1, 2)]
    assert fixed[0].tolist() == fixed[1].tolist() == epochs[0].tolist()


def test_repeats_beyond_whole_rounds_move_on_even_where_the_cap_is_fixed() -> None:
    labels, keys = make(10, 4)
    epochs = [repeats_per_epoch(labels, keys, (5, 6), seed=0, epoch=epoch, rotate=False) for epoch in (1, 2)]
    assert (epochs[0] + epochs[1])[labels == 1].tolist() == [3, 3, 3, 3]


def test_only_seed_image_and_epoch_decide() -> None:
    labels, keys = make(60, 7)
    expected = repeats_per_epoch(labels, keys, (20, 16), seed=3, epoch=5)
    np.random.seed(1)
    torch.manual_seed(1)
    assert repeats_per_epoch(labels, keys, (20, 16), seed=3, epoch=5).tolist() == expected.tolist()
    order = np.random.default_rng(0).permutation(67)
    shuffled = repeats_per_epoch(labels[order], keys[order], (20, 16), seed=3, epoch=5)
    assert shuffled.tolist() == expected[order].tolist()
    assert repeats_per_epoch(labels, keys, (20, 16), seed=4, epoch=5).tolist() != expected.tolist()


def test_every_showing_of_a_row_is_counted() -> None:
    views, repeats = list_views(np.array([1, 0, 2, 1, 3]))
    assert views.tolist() == [0, 2, 2, 3, 4, 4, 4]
    assert repeats.tolist() == [0, 0, 1, 0, 0, 1, 2]
    assert [each.tolist() for each in list_views(np.zeros(3, np.intp))] == [[], []]
