from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ova.data.duplicates.near_duplicates import PLAIN, alike, coarse_views, likeness
from ova.data.images.quality import THUMB


def scenes(count, seed=0, size=128):
    """Smooth scenes, (count, size, size) float."""
    random = np.random.default_rng(seed)
    return np.stack([ndimage.gaussian_filter(random.standard_normal((size, size)), 6) for _ in range(count)])


def thumbs(scene):
    """Reduce (n, 128, 128) to thumbnails."""
    size = scene.shape[1] // THUMB
    small = scene.reshape(len(scene), THUMB, size, THUMB, size).mean(axis=(2, 4))
    return np.clip(128 + 1200 * small, 0, 255).astype(np.uint8)


ORIGINAL = scenes(40)
PLAIN_THUMBS = thumbs(ORIGINAL)


def test_an_image_is_like_itself_and_like_its_darker_or_flatter_copy():
    assert likeness(PLAIN_THUMBS, PLAIN_THUMBS) == pytest.approx(1, abs=1e-4)
    assert likeness(PLAIN_THUMBS, (PLAIN_THUMBS * 0.6 + 20).astype(np.uint8)).min() > 0.998


def test_small_shifts_stretches_and_turns_are_allowed_for():
    axis = np.arange(128) - 63.5
    for matrix, shift in [
        (np.eye(2), (2, -1.5)),
        (np.eye(2) * 0.98, (0, 0)),
        (np.array([[1, 0.02], [-0.02, 1]]), (0, 0)),
    ]:
        places = np.tensordot(matrix, np.stack(np.meshgrid(axis, axis, indexing="ij")), 1)
        places += 63.5 + np.array(shift)[:, None, None]
        moved = thumbs(np.stack([ndimage.map_coordinates(each, places, mode="nearest") for each in ORIGINAL]))
        fitted = likeness(PLAIN_THUMBS, moved)
        one, other = (each.reshape(40, -1).astype(float) for each in (PLAIN_THUMBS, moved))
        plain = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)])
        assert fitted.min() > 0.98
        assert plain.max() < fitted.max()
        assert np.mean(fitted > plain) == 1


def test_other_images_are_not_alike_and_order_does_not_matter():
    one, other = PLAIN_THUMBS, np.roll(PLAIN_THUMBS, 1, axis=0)
    assert likeness(one, other).max() < 0.9
    mixed = (PLAIN_THUMBS * 0.85 + other * 0.15).astype(np.uint8)
    there, back = likeness(one, mixed), likeness(mixed, one)
    assert np.any(there > 0)
    np.testing.assert_allclose(there, back, atol=1e-5)


def test_a_local_change_lowers_it():
    changed = PLAIN_THUMBS.copy()
    changed[:, 10:16, 10:16] += 128  # and from 255 on to 0
    assert likeness(PLAIN_THUMBS, changed).max() < 0.98


def test_images_without_contrast_are_like_nothing():
    flat = np.full((2, THUMB, THUMB), 7, np.uint8)
    assert likeness(flat, flat).tolist() == [0, 0]
    assert likeness(flat[:0], flat[:0]).shape == (0,)


def test_coarse_views_refuse_no_pair_that_likeness_takes():
    random = np.random.default_rng(1)
    noisy = np.clip(PLAIN_THUMBS + random.normal(0, 25, PLAIN_THUMBS.shape), 0, 255).astype(np.uint8)
    every = np.concatenate([PLAIN_THUMBS, noisy])
    one, other = np.triu_indices(len(every), 1)
    direct = likeness(every[one], every[other])
    coarse = coarse_views(len(every), lambda rows: every[rows])
    pairs = np.stack([one, other], axis=1)
    for bound in (0.82, 0.9, 0.98):
        found = alike(pairs, lambda rows: every[rows], coarse, bound)
        np.testing.assert_array_equal(found, direct >= bound)
    assert np.any((direct > PLAIN) & (direct < 0.98))
    assert alike(pairs[:0], lambda rows: every[rows], coarse, 0.9).shape == (0,)
