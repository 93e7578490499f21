"""Draws: numpy's Philox, bit for bit, and a function of (seed, image, epoch, repeat) alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.augment import draws as module
from ova.data.augment.draws import DRAWS, draw, image_keys, philox

IMAGES = [f"images/cell{number:04d}.png" for number in range(24)]
WORD = st.integers(0, 2**64 - 1)


def draws_of(images=IMAGES, seed=0, epoch=0, **options):
    return draw(image_keys(images), seed, epoch, **options)


def numpy_philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Four words of a counter of 256 bits; numpy counts up by one before it draws."""
    before = (counter - 1) % 2**256
    words = np.array([before >> 64 * part & 2**64 - 1 for part in range(4)], np.uint64)
    return np.random.Philox(counter=words, key=np.array(key, np.uint64)).random_raw(4).tolist()


def columns_of(counters: list[int]):
    return tuple(
        np.array([each >> 64 * part & 2**64 - 1 for each in counters], np.uint64) for part in range(4)
    )


@given(st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=5), st.tuples(WORD, WORD))
@settings(max_examples=300)
def test_philox_is_numpys(counters, key):
    given_counters = columns_of(counters)
    words = np.stack(philox(given_counters, key), axis=1)
    assert words.tolist() == [numpy_philox(counter, key) for counter in counters]


@pytest.mark.parametrize("counter", [0, 1, 2**64 - 1, 2**64, 2**128, 2**192, 2**256 - 1])
@pytest.mark.parametrize("key", [(0, 0), (2**64 - 1, 2**64 - 1), (2**32, 2**32 - 1)])
def test_philox_is_numpys_at_the_edges(counter, key):
    assert np.stack(philox(columns_of([counter]), key), axis=1)[0].tolist() == numpy_philox(counter, key)


def test_draws_are_those_of_numpys_generator():
    keys = image_keys(IMAGES)
    drawn = draw(keys, 7, 3, np.arange(24))
    for row, image in enumerate(keys):
        counter = np.array([0, row, 0, image], np.uint64)
        generator = np.random.Generator(np.random.Philox(counter=counter, key=np.array([7, 3], np.uint64)))
        np.testing.assert_array_equal(drawn[row], generator.random(DRAWS))


def test_draws_are_the_same_for_ever():
    """Runs on disk were drawn with these: a change makes every stored digest of a head a lie."""
    expected = "63afed9dfb926bef821aa77b8fc1173d0f12e2f4edaf316ed9f4912830c6e768"
    drawn = draw(image_keys(["images/cell0001.png", "ä/2.jpg"]), 7, 3, columns=16)
    assert hashlib.sha256(drawn.astype("<f8").tobytes()).hexdigest() == expected
    digest = hashlib.sha256("ä/2.jpg".encode()).digest()
    assert image_keys(["a.png", "ä/2.jpg"]).tolist()[1] == int.from_bytes(digest[:8], "little")


def test_columns_are_the_same_for_ever():
    drawn = dict.fromkeys(["ORDER", "FLIP_ROWS", "FLIP_COLUMNS", "TURN", "SHIFT_ROWS", "SHIFT_COLUMNS"], 1)
    drawn |= dict.fromkeys(["BRIGHTNESS", "CONTRAST", "MIX", "ROTATION", "SCALE"], 1)
    drawn |= dict.fromkeys(["SHEAR_ROWS", "SHEAR_COLUMNS"], 1)
    drawn |= dict.fromkeys(["CROP_AREA", "CROP_ASPECT", "CROP_ROW", "CROP_COLUMN"], 1) | {"PERSPECTIVE": 8}
    drawn |= dict.fromkeys(["EXPOSURE", "SATURATION", "HUE", "SHARPNESS", "BLUR", "NOISE", "NOISE_SEED"], 1)
    drawn |= dict.fromkeys(["ERASE_AREA", "ERASE_ASPECT", "ERASE_ROW", "ERASE_COLUMN"], 1)
    start = 0
    for name, width in drawn.items():
        assert getattr(module, name) == (start if width == 1 else slice(start, start + width)), name
        start += width
    assert start <= DRAWS


@pytest.mark.parametrize("columns", [1, 4, 9, DRAWS, DRAWS + 7])
def test_a_column_does_not_depend_on_how_many_there_are(columns):
    drawn = draws_of(columns=columns)
    assert drawn.shape == (24, columns)
    both = min(columns, DRAWS)
    np.testing.assert_array_equal(drawn[:, :both], draws_of()[:, :both])


@given(
    st.permutations(range(24)),
    st.integers(1, 24),
    st.integers(-(2**63), 2**64),
    st.integers(0, 10**6),
    st.integers(1, 30),
)
@settings(max_examples=40)
def test_a_row_depends_on_its_image_seed_and_epoch_alone(order, count, seed, epoch, chunk):
    drawn = draws_of(seed=seed, epoch=epoch)
    chosen = order[:count]
    np.testing.assert_array_equal(draws_of([IMAGES[row] for row in chosen], seed, epoch), drawn[chosen])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        np.testing.assert_array_equal(draws_of(seed=seed, epoch=epoch), drawn)


def test_repeats_of_an_image_are_draws_of_their_own():
    keys = image_keys(IMAGES)[[0, 0, 1, 0]]
    drawn = draw(keys, 0, 0, np.array([0, 1, 0, 2]))
    assert len(np.unique(drawn)) == drawn.size
    np.testing.assert_array_equal(drawn[[0, 2]], draws_of()[:2])
    np.testing.assert_array_equal(draw(keys[[3]], 0, 0, np.array([2])), drawn[[3]])


def test_no_images_have_no_draws():
    assert draw(image_keys([]), 0, 0).shape == (0, DRAWS)


def test_draws_differ_between_seeds_images_epochs_and_columns():
    drawn = np.stack([draws_of(seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)])
    assert len(np.unique(drawn)) == drawn.size
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # Neither swapped (seed, epoch) nor neighbouring counters draw the same stream at another place.
    assert not np.isin(draws_of(seed=1, epoch=2), draws_of(seed=2, epoch=1)).any()


def test_draws_are_uniform():
    drawn = draw(image_keys([f"{number}.png" for number in range(4000)]), 0, 0)
    # 4000 draws of a column: the mean has a deviation of 0.0046, so 0.03 is more than six of them.
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.03)
    quarters = np.stack([np.histogram(column, 4, (0, 1))[0] for column in drawn.T])
    np.testing.assert_allclose(quarters / 4000, 0.25, atol=0.05)
    correlation = np.corrcoef(drawn.T) - np.eye(DRAWS)
    assert np.abs(correlation).max() < 0.11
