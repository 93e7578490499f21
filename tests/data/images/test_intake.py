from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from ova.data.files.image_files import FolderFiles
from ova.data.images import intake
from ova.data.images.facts import Decoding, ImageFacts, read_facts, unchanged, write_facts
from ova.data.images.intake import UnreadableImages, examine_images

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(GREY).save(folder / "grey.png")
    Image.fromarray(np.repeat(GREY[..., None], 3, axis=2)).save(folder / "same in RGB.png")
    Image.fromarray(COLOUR).save(folder / "deep" / "colour.png")
    Image.fromarray(GREY.reshape(8, 6)).save(folder / "turned.png")
    return folder


def problems_of(root, images) -> dict[str, str]:
    with pytest.raises(UnreadableImages) as caught:
        examine_images(FolderFiles(root), images)
    message = str(caught.value)
    assert message.startswith(f"{len(caught.value.problems)} of {len(images)} images cannot be used: ")
    assert "\n" not in message
    return dict(caught.value.problems)


def test_facts(root):
    images = ["deep/colour.png", "grey.png"]
    colour, grey = examine_images(FolderFiles(root), images).facts
    path = root / "deep" / "colour.png"
    assert (colour.image, colour.height, colour.width, colour.white_level) == (images[0], 5, 7, 0)
    assert (colour.bytes, colour.modified_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert colour.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (grey.height, grey.width) == (6, 8)


def test_pixels_are_equal_for_what_looks_the_same(root):
    grey, same, turned, colour = examine_images(
        FolderFiles(root), ["grey.png", "same in RGB.png", "turned.png", "deep/colour.png"]
    ).facts
    assert grey.pixels_blake3 == same.pixels_blake3
    assert grey.file_sha256 != same.file_sha256
    # The same bytes in another shape show something else.
    assert len({fact.pixels_blake3 for fact in (grey, turned, colour)}) == 3


@dataclass(frozen=True)
class Corner:
    """A look: the top left pixel, and the process that looked."""

    plus: int = 0

    def __call__(self, index, pixels):
        return index, [value + self.plus for value in pixels[0, 0].tolist()], os.getpid()


@pytest.mark.parametrize(("workers", "processes"), [(1, False), (3, None), (2, True), (1, True)])
def test_looks_and_progress(root, workers, processes):
    images = ["grey.png", "deep/colour.png", "turned.png", "same in RGB.png"] * 50
    told = []

    class Listening:
        def start(self, task, total):
            told.append(total)

        def advance(self, task, done, note=""):
            told.append(done)

        def say(self, text):
            raise AssertionError

    examined = examine_images(
        FolderFiles(root),
        images,
        pixel_measures=[Corner(), Corner(1)],
        progress=Listening(),
        workers=workers,
        processes=processes,
    )
    assert [fact.image for fact in examined.facts] == images
    assert (told[0], told[-1]) == (200, 200)
    assert told[1:] == sorted(set(told[1:]))
    assert len(told) > 4
    for plus, seen in enumerate(examined.seen):
        expected = [[0], COLOUR[0, 0].tolist(), [0], [0]]
        assert [corner for _, corner, _ in seen] == [[v + plus for v in values] for values in expected * 50]
        assert [index for index, _, _ in seen] == list(range(200))
    elsewhere = {process for _, _, process in examined.seen[0]} - {os.getpid()}
    assert bool(elsewhere) == bool(processes and workers > 1)


def test_processes_are_for_many_images(root, monkeypatch):
    used = []
    plain = intake.map_in_order

    def noting(work, items, *, processes, workers):
        used.append(processes)
        return plain(work, items, workers=workers)

    monkeypatch.setattr(intake, "map_in_order", noting)
    for count in (399, 400):
        examine_images(FolderFiles(root), ["turned.png"] * count)
    assert used == [False, True]


def test_looks_see_the_channels_that_there_are(root):
    shapes = []

    def look(index, pixels):
        shapes.append(pixels.shape)

    images = ["grey.png", "same in RGB.png", "deep/colour.png"]
    examine_images(FolderFiles(root), images, pixel_measures=[look], workers=1)
    assert shapes == [(6, 8, 1), (6, 8, 1), (5, 7, 3)]


def test_almost_grey_is_colour(root):
    pixels = np.repeat(GREY[..., None], 3, axis=2)
    pixels[-1, -1, 2] += 1
    Image.fromarray(pixels).save(root / "almost.png")
    almost, grey = examine_images(FolderFiles(root), ["almost.png", "grey.png"]).facts
    assert almost.pixels_blake3 != grey.pixels_blake3


def test_an_error_of_a_look_is_not_hidden(root):
    def look(index, pixels):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        examine_images(FolderFiles(root), ["grey.png"] * 100, pixel_measures=[look])


def test_all_unreadable_files_are_listed(root, tmp_path):
    content = (root / "grey.png").read_bytes()
    (root / "cut.png").write_bytes(content[: len(content) // 2])
    (root / "text.png").write_text("hello")
    (root / "empty.png").touch()
    (root / "folder.png").mkdir()
    os.mkfifo(root / "pipe.png")
    shutil.copy(root / "grey.png", tmp_path / "outside.png")
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    bad = {
        "cut.png": "damaged or cut-off PNG",
        "text.png": "neither JPEG nor PNG",
        "empty.png": "is empty",
        "folder.png": "is a folder",
        "pipe.png": "is not a regular file",
        "link.png": "link out of the image root",
        "none.png": "No such file",
        "../outside.png": "leaves the image root",
    }
    seen = []
    with pytest.raises(UnreadableImages):
        examine_images(
            FolderFiles(root), ["grey.png", *bad], pixel_measures=[lambda index, pixels: seen.append(index)]
        )
    assert seen == [0]
    problems = problems_of(root, ["grey.png", *bad])
    assert problems.keys() == bad.keys()
    for image, reason in bad.items():
        assert reason in problems[image]
        assert image in problems[image]
        assert "\n" not in problems[image]


def test_many_problems_are_counted_and_a_few_named(root):
    images = [f"none{number}.png" for number in range(30)]
    with pytest.raises(UnreadableImages, match="30 of 30 images cannot be used") as caught:
        examine_images(FolderFiles(root), images)
    assert [image for image, _ in caught.value.problems] == images
    assert "and 27 more" in str(caught.value)
    assert caught.value.exit_code == 4


def test_link_within_the_root_and_root_that_is_a_link(root, tmp_path):
    (root / "again.png").symlink_to("deep/colour.png")
    (tmp_path / "linked").symlink_to(root, target_is_directory=True)
    one, other = examine_images(FolderFiles(tmp_path / "linked"), ["again.png", "deep/colour.png"]).facts
    assert one.pixels_blake3 == other.pixels_blake3


def test_white_level(root):
    Image.fromarray(GREY.astype(np.uint16) * 80).save(root / "deep.png")
    (plain,) = examine_images(FolderFiles(root), ["deep.png"]).facts
    (declared,) = examine_images(FolderFiles(root), ["deep.png"], decoding=Decoding(4095)).facts
    assert (plain.white_level, declared.white_level) == (0, 4095)
    assert plain.pixels_blake3 != declared.pixels_blake3
    known = {"deep.png": plain}
    assert unchanged(FolderFiles(root), "deep.png", known, Decoding()) == plain
    assert unchanged(FolderFiles(root), "deep.png", known, Decoding(4095)) is None
    assert unchanged(FolderFiles(root), "deep.png", known, Decoding(draft_side=9)) is None
    with pytest.raises(UnreadableImages, match="above white_level 255"):
        examine_images(FolderFiles(root), ["deep.png"], decoding=Decoding(255))


def test_facts_are_stored(root, tmp_path):
    (root / 'a,b "c".png').write_bytes((root / "grey.png").read_bytes())
    facts = examine_images(
        FolderFiles(root), ["grey.png", 'a,b "c".png', "deep/colour.png"], decoding=Decoding(4095, 100)
    ).facts
    write_facts(tmp_path / "runs" / "images.csv", facts)
    assert read_facts(tmp_path / "runs" / "images.csv") == {fact.image: fact for fact in facts}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("bytes", "size", 1),
        lambda text: text[:-20],
        lambda text: text.replace(",6,8,0", ",6,8,x"),
        lambda text: "\udcff",
        lambda text: "",
    ],
)
def test_damaged_facts_are_looked_at_again(root, tmp_path, damage):
    path = tmp_path / "images.csv"
    assert read_facts(path) == {}
    write_facts(path, examine_images(FolderFiles(root), ["deep/colour.png", "grey.png"]).facts)
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    assert read_facts(path) == {}


def test_unchanged_sees_size_time_and_absence(root):
    (fact,) = examine_images(FolderFiles(root), ["grey.png"]).facts
    known = {"grey.png": fact}
    assert unchanged(FolderFiles(root), "grey.png", known, Decoding()) is fact
    assert unchanged(FolderFiles(root), "turned.png", known, Decoding()) is None
    assert (
        unchanged(
            FolderFiles(root), "grey.png", {"grey.png": replace(fact, bytes=fact.bytes + 1)}, Decoding()
        )
        is None
    )
    path = root / "grey.png"
    os.utime(path, ns=(fact.modified_ns, fact.modified_ns + 1))
    assert unchanged(FolderFiles(root), "grey.png", known, Decoding()) is None
    os.utime(path, ns=(fact.modified_ns, fact.modified_ns))
    assert unchanged(FolderFiles(root), "grey.png", known, Decoding()) is fact
    path.unlink()
    assert unchanged(FolderFiles(root), "grey.png", known, Decoding()) is None


def test_facts_are_values():
    fact = ImageFacts("a.png", 1, 2, 0, "x", "y", 3, 4)
    assert fact == ImageFacts("a.png", 1, 2, 0, "x", "y", 3, 4)
    assert fact != replace(fact, pixels_blake3="z")
