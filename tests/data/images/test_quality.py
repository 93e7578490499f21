from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ova.data.images.quality import (
    MEASURED_SIDE,
    THUMB,
    Qualities,
    gather_qualities,
    laplacian,
    measure_image,
    perceptual_hash,
    upright,
)


def measure(*images) -> Qualities:
    return gather_qualities([measure_image(image) for image in images])


def noise(height, width, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def eight_ways(image):
    """Flips and quarter turns of (height, width, channels)."""
    return [
        np.ascontiguousarray(np.rot90(each, turns)) for each in (image, image[::-1]) for turns in range(4)
    ]


def test_measures_of_a_small_image_are_those_of_numpy():
    image = noise(40, 60)
    found = measure(image)
    luma = image[:, :, 0]
    assert found.sharpness[0] == pytest.approx(
        ndimage.laplace(luma.astype(float), mode="nearest").var(), rel=1e-5
    )
    assert found.spread[0] == pytest.approx(luma.std(), rel=1e-6)
    assert found.black[0] == pytest.approx(np.mean(luma <= 5))
    assert found.white[0] == pytest.approx(np.mean(luma >= 250))
    assert found.chroma[0] == 0
    assert found.thumbs.shape == (1, THUMB, THUMB)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 5), (3, 3), (40, 60)])
def test_laplacian_is_that_of_scipy(shape):
    luma = noise(*shape)[:, :, 0]
    np.testing.assert_array_equal(laplacian(luma), ndimage.laplace(luma.astype(int), mode="nearest"))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2000, 3), (2000, 1, 1), (2, 3, 3)])
def test_the_smallest_and_the_thinnest_images_have_measures(shape):
    found = measure(np.full(shape, 200, np.uint8))
    assert (found.sharpness[0], found.spread[0], found.chroma[0], found.black[0], found.white[0]) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert (found.thumbs == 200).all()


def test_exposure():
    dark, light, both = (np.full((10, 10, 1), level, np.uint8) for level in (0, 255, 0))
    both[:4] = 255
    found = measure(dark, light, both)
    np.testing.assert_allclose(found.black, [1, 0, 0.6], rtol=1e-6)
    np.testing.assert_allclose(found.white, [0, 1, 0.4], rtol=1e-6)


def test_grey_in_rgb_is_measured_as_the_grey_image_it_is():
    grey = noise(50, 30)
    found = measure(grey, np.repeat(grey, 3, axis=2), noise(50, 30, 3))
    assert found.chroma[:2].tolist() == [0, 0]
    assert found.chroma[2] > 20
    for name in ("sharpness", "spread", "black", "white", "hashes", "turned_hashes", "thumbs"):
        np.testing.assert_array_equal(getattr(found, name)[0], getattr(found, name)[1])


def test_a_small_coloured_mark_is_colour():
    image = np.full((300, 300, 3), 120, np.uint8)
    image[100:112, 100:112] = (230, 20, 20)
    assert measure(image).chroma[0] > 50


def test_blur_lowers_sharpness_and_size_hardly_changes_it():
    scene = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((512, 512)), 3)
    scene = np.clip(128 + 400 * scene, 0, 255).astype(np.uint8)
    versions = [scene] + [ndimage.gaussian_filter(scene, sigma) for sigma in (2, 4, 8)]
    sharpness = measure(*(version[..., None] for version in versions)).sharpness
    assert np.all(np.diff(sharpness) < 0)
    assert sharpness[3] < sharpness[0] / 20
    larger = np.asarray(Image.fromarray(scene).resize((1024, 1024), Image.Resampling.BICUBIC))
    assert measure(larger[..., None]).sharpness[0] == pytest.approx(sharpness[0], rel=0.2)


def test_hash_is_that_of_imagehash():
    thumb = noise(THUMB, THUMB)[:, :, 0]
    expected = str(imagehash.phash(Image.fromarray(thumb)))
    assert f"{perceptual_hash(thumb):016x}" == expected
    assert measure(thumb[..., None]).hashes[0] == int(expected, 16)


@pytest.mark.parametrize(
    ("shape", "levels"), [((96, 96), 1), ((120, 90), 1), ((200, 256), 8), ((700, 600), 8)]
)
def test_flips_and_quarter_turns_have_one_upright_form(shape, levels):
    for seed in range(4):
        scene = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 4)
        image = np.clip(128 + 700 * scene, 0, 255).astype(np.uint8)[..., None]
        found = measure(*eight_ways(image))
        first = found.turned_hashes[:, 0]
        assert np.bitwise_count(first ^ first[0]).max() <= 2
        forms = upright(found.thumbs).astype(int)
        assert np.abs(forms - forms[0]).max() <= levels
        assert len(set(found.hashes.tolist())) == 8


def test_upright_is_exact_on_thumbnails_and_has_two_ways():
    thumbs = np.random.default_rng(1).integers(0, 256, (50, THUMB, THUMB)).astype(np.uint8)
    best, second = upright(thumbs), upright(thumbs, 1)
    for turned in eight_ways(thumbs.transpose(1, 2, 0)):
        moved = np.ascontiguousarray(turned.transpose(2, 0, 1))
        np.testing.assert_array_equal(upright(moved), best)
        np.testing.assert_array_equal(upright(moved, 1), second)
    assert not (best == second).all(axis=(1, 2)).any()
    for thumb, form in zip(thumbs, best, strict=True):
        assert any(np.array_equal(form, way[:, :, 0]) for way in eight_ways(thumb[..., None]))
    assert upright(thumbs[:0]).shape == (0, THUMB, THUMB)


def test_rows_are_taken_by_number():
    found = measure(noise(8, 8, seed=1), noise(8, 8, seed=2), noise(8, 8, seed=3))
    taken = found.take(np.array([2, 0]))
    np.testing.assert_array_equal(taken.hashes, found.hashes[[2, 0]])
    np.testing.assert_array_equal(taken.thumbs, found.thumbs[[2, 0]])
    assert len(gather_qualities([]).hashes) == 0
    assert gather_qualities([]).thumbs.shape == (0, THUMB, THUMB)


def test_large_images_are_judged_at_one_side():
    image = noise(MEASURED_SIDE * 2, MEASURED_SIDE * 3)
    reduced = Image.fromarray(image[:, :, 0]).resize(
        (MEASURED_SIDE, 171), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    np.testing.assert_allclose(measure(image).spread, np.asarray(reduced).std(), rtol=1e-5)
