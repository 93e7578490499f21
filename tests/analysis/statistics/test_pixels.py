"""Brightness of the training images, against what heads measure in their store and against numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from ova.analysis.statistics.pixels import drawn_order, measure_pixels
from ova.data.dataset import open_dataset
from ova.data.images.store import StoreSpec
from ova.heads.training.members import pixel_statistics
from ova.progress import Silent

FORMS = [StoreSpec(24, 24, 3), StoreSpec(16, 20, 1)]


@dataclass
class Watched:
    """Image files that remember what was read."""

    files: object
    read_images: list

    def read(self, image):
        self.read_images.append(image)
        return self.files.read(image)


@pytest.fixture
def dataset(make_workspace):
    opened = open_dataset(make_workspace(count=40), FORMS)
    return replace(opened, files=Watched(opened.files, []))


def measure(dataset, training, sample=2000, thumbnails=()):
    return measure_pixels(
        dataset, training, sample=sample, forms=FORMS, thumbnails=thumbnails, progress=Silent()
    )


def training_of(dataset):
    return [image for image in dataset.table.images if dataset.split.part_of[image] == "train"]


def test_brightness_is_the_very_one_that_a_head_measures(dataset):
    training = training_of(dataset)
    found = measure(dataset, training)
    for each in found.brightness:
        store = dataset.stores[each.form]
        assert (each.mean, each.deviation) == pixel_statistics(store, store.rows(training))
    assert (found.training, found.sample, found.colour) == (len(training), len(training), 0)


def test_nothing_but_the_sample_and_the_thumbnails_is_decoded_and_each_once(dataset):
    training = training_of(dataset)
    found = measure(dataset, training, sample=5, thumbnails=[training[3], training[9], training[9]])
    assert sorted(dataset.files.read_images) == sorted([*training[:5], training[9]])
    assert (found.training, found.sample) == (len(training), 5)
    assert set(found.thumbnails) == {training[3], training[9]}
    first = measure(dataset, training[:5])
    assert found.brightness == first.brightness


def test_thumbnails_are_small_and_grey(dataset):
    image = training_of(dataset)[0]
    found = measure(dataset, [image], thumbnails=[image]).thumbnails[image]
    with Image.open(dataset.root / image) as shown:
        expected = np.asarray(shown.resize((32, 32), Image.Resampling.BILINEAR), int)
    assert found.shape == (32, 32)
    assert np.abs(found - expected).max() <= 1


def test_colour_is_seen(make_workspace):
    workspace = make_workspace(count=20)
    for number in (3, 4, 5):
        pixels = np.full((24, 24, 3), 90, np.uint8)
        pixels[number, 0, 2] = 91
        Image.fromarray(pixels).save(workspace.root / f"data/images/{number:03d}.png")
    dataset = open_dataset(workspace)
    assert measure(dataset, dataset.table.images).colour == 3


def test_drawing_does_not_depend_on_the_order():
    images = [f"{number}.png" for number in range(500)]
    backwards = images[::-1]
    drawn = [images[row] for row in drawn_order(images)]
    assert drawn == [backwards[row] for row in drawn_order(backwards)]
    assert sorted(drawn) == sorted(images)
    assert drawn != images
