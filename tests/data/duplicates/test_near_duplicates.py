from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ova.data.duplicates import near_duplicates as module
from ova.data.duplicates.near_duplicates import FLAT, likeness, near_duplicates
from ova.data.images.quality import gather_qualities, measure_image, upright
from ova.data.recipe import DuplicateRule
from ova.data.synthetic import draw_cells

COUNT = 60


def scene(seed, height=120, width=160):
    """Colour blotches of several sizes, as a photograph has them."""
    random = np.random.default_rng(seed)
    blotches = [
        ndimage.gaussian_filter(random.standard_normal((height, width, 3)), (size, size, 0)) * size
        for size in (2, 6, 20)
    ]
    mixed = sum(blotches)
    return Image.fromarray(((mixed - mixed.min()) / np.ptp(mixed) * 255).astype(np.uint8))


def jpeg(image, quality=70):
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=quality)
    return Image.open(content)


def crop(image, share):
    """Cut `share` of the width and height off, unevenly."""
    across, down = round(image.width * share), round(image.height * share)
    return image.crop(
        (across // 3, down // 4, image.width - across + across // 3, image.height - down + down // 4)
    )


COPIES = {
    "saved": jpeg,
    "resized": lambda image: image.resize((96, 72), Image.Resampling.BICUBIC),
    "darker": lambda image: image.point(lambda level: round(level * 0.8)),
    "flipped": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned and saved": lambda image: jpeg(image.transpose(Image.Transpose.TRANSVERSE)),
    "cropped": lambda image: crop(image, 0.01),
}


def measure(images):
    return gather_qualities([measure_image(np.atleast_3d(np.asarray(image))) for image in images])


SCENES = [scene(seed) for seed in range(COUNT)]


@pytest.mark.parametrize("copy", COPIES)
def test_planted_copies_are_found_and_nothing_else(copy):
    clusters = near_duplicates(
        measure([*SCENES, *(COPIES[copy](image) for image in SCENES)]), DuplicateRule()
    )
    joined = clusters[:COUNT] == clusters[COUNT:]
    assert joined.mean() >= (0.85 if copy == "cropped" else 0.98)
    assert np.bincount(clusters).max() == 2  # precision: nothing but an image and its copy
    assert len(set(clusters[:COUNT].tolist())) == COUNT


def test_settings_decide():
    turned = measure([*SCENES, *(COPIES["flipped"](image) for image in SCENES)])
    assert np.bincount(near_duplicates(turned, DuplicateRule(turned=False))).max() == 1
    cropped = measure([*SCENES, *(crop(image, 0.02) for image in SCENES)])
    found = [
        np.sum(np.bincount(near_duplicates(cropped, rule)) == 2)
        for rule in (DuplicateRule(tolerance=0), DuplicateRule(), DuplicateRule(tolerance=8, likeness=0.95))
    ]
    assert found[0] < found[1] < found[2]
    assert np.bincount(near_duplicates(cropped, DuplicateRule(likeness=1.0))).max() == 1


def test_products_that_look_alike_are_not_joined():
    cells = draw_cells(200, size=64).images
    clusters = near_duplicates(measure(cells), DuplicateRule())
    assert np.bincount(clusters).max() <= 2
    assert np.sum(np.bincount(clusters) > 1) <= 2


def test_clusters_are_the_components_of_all_pairs():
    """Chains of ever more changed images, against each pair compared."""
    random = np.random.default_rng(5)
    images = []
    for image in SCENES[:12]:
        pixels = np.asarray(image.convert("L")).astype(float)
        for _ in range(6):
            images.append(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
            pixels = ndimage.rotate(pixels, random.uniform(0.5, 2.5), reshape=False, mode="nearest")
    qualities, rule = measure(images), DuplicateRule(tolerance=6)
    parent = list(range(len(images)))
    laid = [upright(qualities.thumbs, rank) for rank in (0, 1)]
    views = [(qualities.hashes, qualities.thumbs, qualities.hashes, qualities.thumbs)] + [
        (qualities.turned_hashes[:, a], laid[a], qualities.turned_hashes[:, b], laid[b])
        for a in (0, 1)
        for b in (0, 1)
    ]
    for i, j in combinations(range(len(images)), 2):
        for hashes, thumbs, others, other_thumbs in views:
            near = np.bitwise_count(hashes[i] ^ others[j]) <= rule.tolerance
            if near and likeness(thumbs[[i]], other_thumbs[[j]])[0] >= rule.likeness:
                old, new = parent[j], parent[i]
                parent = [new if each == old else each for each in parent]
    expected = np.unique(parent, return_inverse=True)[1]
    found = near_duplicates(qualities, rule)
    assert {tuple(np.flatnonzero(found == name)) for name in set(found.tolist())} == {
        tuple(np.flatnonzero(expected == name)) for name in set(expected.tolist())
    }
    assert 2 < np.bincount(found).max() < 20


def test_order_of_images_does_not_matter():
    images = [*SCENES[:20], *(COPIES["turned"](image) for image in SCENES[:20])]
    order = np.random.default_rng(0).permutation(40)
    straight = near_duplicates(measure(images), DuplicateRule())
    mixed = near_duplicates(measure([images[place] for place in order]), DuplicateRule())
    for i, j in combinations(range(40), 2):
        assert (mixed[i] == mixed[j]) == (straight[order[i]] == straight[order[j]])
    assert straight[0] == 0
    assert np.all(np.diff(np.unique(straight, return_index=True)[1]) > 0)  # numbered by the first image


def test_images_of_one_shade_are_nobodys_duplicates():
    random = np.random.default_rng(0)
    blank = [Image.fromarray(random.integers(100, 103, (64, 64)).astype(np.uint8)) for _ in range(30)]
    qualities = measure([*blank, SCENES[0], SCENES[0]])
    assert qualities.spread[:30].max() < FLAT
    clusters = near_duplicates(qualities, DuplicateRule())
    assert clusters.tolist() == [*range(30), 30, 30]


def test_a_fixed_camera_is_one_cluster_without_comparing_each_with_each(monkeypatch):
    random = np.random.default_rng(0)
    still = np.asarray(SCENES[0].convert("L")).astype(float)
    frames = [np.clip(still + random.normal(0, 4, still.shape), 0, 255).astype(np.uint8) for _ in range(250)]
    compared = []

    def counting(pairs, *others):
        compared.append(len(pairs))
        return actual(pairs, *others)

    actual = module.alike
    monkeypatch.setattr(module, "alike", counting)
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 100)
    clusters = near_duplicates(measure([Image.fromarray(frame) for frame in frames]), DuplicateRule())
    assert set(clusters.tolist()) == {0}
    assert sum(compared) < 8 * len(frames)  # of 31,125 pairs


def test_none_and_one():
    for count in (0, 1):
        assert near_duplicates(measure(SCENES[:count]), DuplicateRule()).tolist() == [*range(count)]
