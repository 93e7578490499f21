from __future__ import annotations

import re
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.duplicates.augmented import copies_pattern
from ova.data.labels.groups import group_of, groups_by_pattern
from ova.data.labels.table import LabelTable
from ova.data.recipe import GroupRule, SplitRecipe
from ova.data.split.split import make_split
from ova.data.tables.texts import Texts

# Before a name and behind it, as in data sets that people have published, and as tools write them.
BEFORE = [
    "rot_",
    "rot2_",
    "rot3_",
    "mirrh_",
    "mirrv_",
    "flip_h_",
    "aug_",
    "aug12-",
    "hor_flip_",
    "noisy.",
    "Copy of ",
]
BEHIND = [
    "_aug1",
    "_aug2",
    "-flip",
    "_rot90",
    "_rot180",
    "_rot_270",
    "_hflip",
    "_flipud",
    "_blur",
    "_brightness",
    " - Copy",
]
BEHIND += ["_aug_0_rot", "-mirrored", ".noise3", "_color_jitter", "_VFlip"]


def groups_of(images, found):
    GroupRule(pattern=found.pattern)
    expression = re.compile(found.pattern)
    return {image: group_of(expression, image) for image in images}


def check(sources, added, *, before, folder="", values=None):
    """The pattern joins every copy with its source, and no two sources."""
    copies = {name: [f"{each}{name}" if before else f"{name}{each}" for each in added] for name in sources}
    images = [f"{folder}{name}.png" for name in sources]
    images += [f"{folder}{copy}.png" for each in copies.values() for copy in each]
    found = copies_pattern(images, values)
    assert found is not None
    groups = groups_of(images, found)
    assert len(set(groups.values())) == len(sources)
    for name, each in copies.items():
        assert {groups[f"{folder}{copy}.png"] for copy in each} == {groups[f"{folder}{name}.png"]}
    return found


CELLS = [f"cell{number:04d}" for number in range(1, 41)]


def test_the_published_solar_cells():
    found = check(CELLS, ["rot_", "rot2_", "rot3_", "mirrh_", "mirrv_"], before=True, folder="images/")
    assert found.evidence == (
        "200 of 240 images are named as copies of 40 images (mirrh_NAME, mirrv_NAME, rot#_NAME, rot_NAME)"
    )


def test_a_table_of_12000_rows_is_split_by_its_2000_images():
    turns = ("", "rot_", "rot2_", "rot3_", "mirrh_", "mirrv_")
    images = tuple(f"images/{turn}cell{number:04d}.png" for turn in turns for number in range(1, 2001))
    cracks = np.tile((np.random.default_rng(0).random(2000) < 0.2).astype(np.int8), 6)[:, None]
    found = copies_pattern(images, cracks)
    groups = groups_by_pattern("", found.pattern, Texts.of(images))
    assert len(set(groups)) == 2000
    split = make_split(
        LabelTable(images, ("crack",), cracks, groups), {image: image for image in images}, SplitRecipe()
    )
    parts = np.array([split.part_of[image] for image in images]).reshape(6, 2000)
    assert (parts == parts[0]).all()
    assert set(parts[0]) == {"train", "validation", "test"}


@pytest.mark.parametrize("added", BEFORE)
def test_each_way_to_say_it_before_the_name(added):
    check(CELLS, [added], before=True)


@pytest.mark.parametrize("added", BEHIND)
def test_each_way_to_say_it_behind_the_name(added):
    check(CELLS, [added], before=False, folder="a.b/c/")


NAMES = st.sampled_from(["cell", "IMG_", "img-", "DSC", "Foto ", "module_A_", "裂_", "x.y_", ""])


@given(
    st.lists(st.sampled_from(BEHIND), min_size=1, max_size=5, unique=True),
    NAMES,
    st.integers(4, 30),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_copies_behind_are_found_whatever_the_names(added, name, count, start, padded):
    numbers = range(start, start + count)
    check([f"{name}{number:06d}" if padded else f"{name}{number}" for number in numbers], added, before=False)


@given(st.lists(st.sampled_from(BEFORE), min_size=1, max_size=5, unique=True), NAMES, st.integers(4, 30))
def test_copies_before_are_found_whatever_the_names(added, name, count):
    check([f"{name}{number}" for number in range(count)], added, before=True)


def test_copies_of_a_few_images_are_found():
    images = [f"cell{number:04d}.png" for number in range(1000)]
    images += [f"cell{number:04d}_{each}.png" for number in range(10) for each in ("rot90", "flip", "blur")]
    groups = groups_of(images, copies_pattern(images))
    assert len(set(groups.values())) == 1000
    assert groups["cell0003_flip.png"] == groups["cell0003.png"]
    assert copies_pattern(images[:1002]) is None
    assert copies_pattern(images[:1015]) is None


def test_copies_of_copies():
    check(CELLS, ["_rot", "_blur", "_rot_blur", "_rot90_blur_flip"], before=False)
    check(CELLS, ["rot_", "flip_", "rot_flip_", "flip_rot2_"], before=True)
    both = [
        f"{turn}{name}{light}.png"
        for name in CELLS
        for turn in ("", "rot_", "rot2_")
        for light in ("", "_dark")
    ]
    assert len(set(groups_of(both, copies_pattern(both)).values())) == len(CELLS)


def test_copies_in_class_folders_stay_in_them():
    images = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(20)]
    images += [image.replace(".jpg", f"_aug{turn}.jpg") for image in images for turn in range(3)]
    groups = groups_of(images, copies_pattern(images))
    assert len(set(groups.values())) == 40
    assert groups["cat/3_aug1.jpg"] == groups["cat/3.jpg"] != groups["dog/3.jpg"]
    images = [
        f"{folder}{turn}{number}.jpg"
        for folder in ("cat/", "a/cat/", "")
        for turn in ("", "rot_", "flip_")
        for number in range(9)
    ]
    groups = groups_of(images, copies_pattern(images))
    assert len(set(groups.values())) == 27
    assert groups["rot_3.jpg"] == groups["3.jpg"] != groups["cat/flip_3.jpg"] == groups["cat/3.jpg"]


def test_without_their_sources():
    images = [f"{name}_{each}.png" for name in CELLS for each in ("orig", "rot90", "rot180", "flip_h")]
    found = copies_pattern(images)
    assert len(set(groups_of(images, found).values())) == len(CELLS)
    assert copies_pattern([f"{name}_orig.png" for name in CELLS]) is None


def test_random_codes_of_a_tool():
    generator = np.random.default_rng(0)
    images = [f"train/{name}_png.rf.{generator.bytes(16).hex()}.jpg" for name in CELLS for _ in range(3)]
    found = copies_pattern(images)
    assert len(set(groups_of(images, found).values())) == len(CELLS)
    assert copies_pattern(images[::3]) is None


# What nobody knows the word for


def labels_of(count, share=0.5):
    return (np.random.default_rng(1).random((count, 1)) < share).astype(np.int8)


def test_of_very_many_images_a_sample_is_enough_and_their_order_counts_for_nothing(monkeypatch):
    monkeypatch.setattr("ova.data.duplicates.augmented._SAMPLED_NAMES", 100)
    images = [
        f"{each}{name}-{number}.png" for name in CELLS for number in range(8) for each in ("", "rot_", "h_")
    ]
    own = labels_of(len(CELLS)).repeat(24, axis=0)
    found = copies_pattern(images, own)
    order = np.random.default_rng(5).permutation(len(images))
    assert copies_pattern([images[row] for row in order], own[order]) == found
    assert len(set(groups_of(images, found).values())) == len(images) // 3
    assert copies_pattern(images[::3], own[::3]) is None


def test_an_unknown_word_counts_where_the_labels_agree():
    images = [f"{name}.png" for name in CELLS] + [f"gespiegelt_{name}.png" for name in CELLS]
    own = labels_of(len(CELLS))
    assert copies_pattern(images) is None
    assert copies_pattern(images, np.vstack([own, 1 - own])) is None
    assert copies_pattern(images, np.vstack([own, own[::-1]])) is None
    assert copies_pattern(images, np.zeros((80, 1), np.int8)) is None
    found = copies_pattern(images, np.vstack([own, own]))
    assert len(set(groups_of(images, found).values())) == len(CELLS)


def test_what_is_told_of_names_cannot_steer_a_terminal():
    own = labels_of(len(CELLS))
    images = [f"{turn}{name}.png" for turn in ("", "\x1b[31mx_", "\n\u202ey_") for name in CELLS]
    found = copies_pattern(images, np.vstack([own] * 3))
    assert found is not None
    assert found.evidence.isprintable()
    assert found.advice().isprintable()
    assert tomllib.loads(found.advice().rpartition("below it ")[2])["pattern"] == found.pattern


def test_numbers_behind_a_name_are_serials_even_where_labels_agree():
    own = labels_of(len(CELLS))
    images = [f"{name}.png" for name in CELLS] + [f"{name}_2.png" for name in CELLS]
    assert copies_pattern(images, np.vstack([own, own])) is None


def test_classes_before_the_name_of_a_sound_image_are_no_copies():
    images = [f"{number}.png" for number in range(50)] + [f"crack_{number}.png" for number in range(50)]
    values = np.repeat([[0], [1]], 50, axis=0).astype(np.int8)
    assert copies_pattern(images, values) is None


# What says nothing

SIGNS = st.sampled_from(["", "_", "-", " ", "."])
WORDS = st.sampled_from(
    [
        "cell",
        "IMG",
        "DSC",
        "crack",
        "no_crack",
        "crack_old",
        "dark",
        "blur",
        "scan",
        "Screenshot",
        "cat",
        "a",
    ]
)
FOLDERS = st.lists(
    st.sampled_from(["cat/", "dog/", "rot/", "aug/1/", "flip_1/", ""]), min_size=1, unique=True
)
SUFFIX = st.sampled_from([".png", ".jpg", ".JPG", "", ".tar.png"])


@given(FOLDERS, st.lists(WORDS, min_size=1, max_size=4, unique=True), SIGNS, st.integers(0, 9999), st.integers(1, 60),
       st.integers(1, 5), SUFFIX, st.booleans())  # fmt: skip
def test_serial_numbers_are_no_copies(folders, words, sign, start, count, digits, suffix, mixed):
    images = [
        f"{folder}{word}{sign}{number:0{digits}d}{suffix}"
        for folder in folders
        for position, word in enumerate(words)
        for number in range(start + mixed * position * count, start + mixed * position * count + count)
    ]
    assert copies_pattern(images) is None
    assert copies_pattern(images, labels_of(len(images))) is None


@given(
    st.lists(
        st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%d_%H-%M-%S")),
        min_size=1,
        max_size=40,
        unique=True,
    ),
    st.lists(st.integers(1, 4), min_size=40, max_size=40),
)
def test_moments_and_serials_behind_them_are_no_copies(moments, counts):
    images = [
        f"{moment}{f'_{serial}' if serial else ''}.png"
        for moment, count in zip(moments, counts, strict=False)
        for serial in range(count)
    ]
    assert copies_pattern(images, labels_of(len(images))) is None


@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=12),
        max_size=40,
        unique=True,
    )
)
def test_random_names_are_no_copies(names):
    assert copies_pattern([f"{name}.png" for name in names]) is None


@given(
    st.lists(
        st.text(st.sampled_from("ab1_-./ rotflip"), min_size=1, max_size=9),
        min_size=1,
        max_size=60,
        unique=True,
    )
)
def test_whatever_is_found_finds_a_group_in_every_image(images):
    found = copies_pattern(images, labels_of(len(images)))
    if found is not None:
        assert all(groups_of(images, found).values())


def test_views_and_plain_names_say_nothing():
    assert (
        copies_pattern([f"{number}_{side}.png" for number in range(50) for side in ("left", "right", "top")])
        is None
    )
    assert copies_pattern([f"part{number}-{letter}.png" for number in range(50) for letter in "abc"]) is None
    assert copies_pattern([]) is None
    assert copies_pattern(["a.png", "a_rot.png"]) is None
