"""Files that are no sound image, among others that are, in a folder and in a zip.

None of them reaches a store, each is listed once with its reason, and sound images are not blamed.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ova.data.dataset import open_dataset
from ova.data.files.find import open_files
from ova.data.files.image_files import ImageFiles
from ova.data.images.intake import UnreadableImages, examine_images
from ova.data.images.store import StoreSpec
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError
from ova.recipes import load_recipe
from ova.workspace import Workspace

SPEC = StoreSpec(8, 8, 1)


def encode(kind: str, seed: int = 0, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def cuts(content: bytes) -> list[bytes]:
    """Cut at every 5 %; what is left of 0 % is the file of no bytes."""
    return [content[: len(content) * share // 100] for share in range(0, 100, 5)]


def mutants() -> dict[str, tuple[bytes | None, str]]:
    """Name -> (content, or None for a folder; a word of the reason)."""
    found: dict[str, tuple[bytes | None, str]] = {}
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png")):
        for share, content in enumerate(cuts(encode(kind))):
            reason = "damaged or cut-off" if len(content) > 8 else "empty"
            found[f"cut-{share * 5:02d}.{suffix}"] = (content, reason)
        sound = encode(kind)
        found[f"flipped.{suffix}"] = (sound[:-200] + b"\xff" * 150 + sound[-50:], "damaged or cut-off")
        found[f"zeros.{suffix}"] = (bytes(len(sound)), "neither JPEG nor PNG")
        found[f"behind-a-line.{suffix}"] = (b"\r\n" + sound, "neither JPEG nor PNG")
        found[f"as-text.{suffix}"] = (sound.decode("latin-1").encode(), "neither JPEG nor PNG")
        found[f"folder.{suffix}"] = (None, "folder")
    found["login.jpg"] = (b"<!DOCTYPE html><html><title>Sign in</title></html>", "neither JPEG nor PNG")
    found["error.png"] = (b'{"error": "not found"}', "neither JPEG nor PNG")
    found["lfs.png"] = (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "neither JPEG nor PNG",
    )
    found["drawing.png"] = (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "neither JPEG nor PNG")
    found["nested.png"] = (zip_of(b"x"), "neither JPEG nor PNG")
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA"):
        found[f"{kind.lower()}.jpg"] = (encode(kind), "neither JPEG nor PNG")
    return found


def zip_of(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("a.png", content)
    return target.getvalue()


MUTANTS = mutants()
# The content says what an image is; its name does not.
SOUND = {
    "sound.png": encode("PNG", 1),
    "sound.jpg": encode("JPEG", 2),
    "png-named.jpg": encode("PNG", 3),
    "jpeg-named.png": encode("JPEG", 4),
    "no-suffix": encode("PNG", 5),
    "more-behind-the-end.png": encode("PNG", 6) + b"more",
}


@pytest.fixture(params=["folder", "zip"])
def workspace(tmp_path, request):
    workspace = Workspace(tmp_path / "workspace")
    data = workspace.root / "data"
    (data / "images").mkdir(parents=True)
    contents = {**{name: content for name, (content, _) in of_kind(request.param).items()}, **SOUND}
    rows = "".join(f"images/{name},{number % 2}\n" for number, name in enumerate(contents))
    (data / "labels.csv").write_text(f"file,crack\n{rows}")
    for name, content in contents.items():
        if content is None:
            (data / "images" / name).mkdir()
        else:
            (data / "images" / name).write_bytes(content)
    recipe = 'labels = "labels.csv"\n'
    if request.param == "zip":
        recipe += 'archive = "images.zip"\n'
        with zipfile.ZipFile(data / "images.zip", "w", zipfile.ZIP_DEFLATED) as made:
            for name in contents:
                made.write(data / "images" / name, f"images/{name}")
        (data / "images").rename(tmp_path / "away")
    workspace.dataset_recipe.write_text(recipe)
    return workspace


def of_kind(kind):
    """A folder in place of an image is no entry of a zip: there it is missing, and told before any is decoded."""
    return {name: mutant for name, mutant in MUTANTS.items() if kind == "folder" or mutant[0] is not None}


def open_dataset_files(workspace: Workspace) -> ImageFiles:
    recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
    return open_files(recipe, workspace.dataset_recipe.parent)


def test_there_are_many_mutants():
    assert len(MUTANTS) >= 60
    assert len({content for content, _ in MUTANTS.values()}) >= len(MUTANTS) - 2, (
        "two empty files, two folders"
    )


def test_none_reaches_the_loader_and_each_is_listed_with_its_reason(workspace):
    sound: list[str] = []
    files = open_dataset_files(workspace)
    images = [f"images/{name}" for name in (*MUTANTS, *SOUND)]
    with pytest.raises(UnreadableImages):
        examine_images(
            files, images, pixel_measures=[lambda index, _: sound.append(images[index])], processes=False
        )
    assert sorted(sound) == sorted(f"images/{name}" for name in SOUND)
    with pytest.raises(DataError) as caught:
        open_dataset(workspace, [SPEC])
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    bad = of_kind("zip" if (workspace.root / "data/images.zip").exists() else "folder")
    assert f"{len(bad)} of {len(bad) + len(SOUND)} images cannot be used" in str(caught.value)
    with workspace.intake_problems.open(encoding="utf-8", newline="") as file:
        problems = {Path(row["image"]).name: row["problem"] for row in csv.DictReader(file)}
    assert problems.keys() == bad.keys()
    for name, (_, reason) in bad.items():
        assert reason in problems[name], name
        assert name in problems[name]
        assert "\n" not in problems[name]
    assert not workspace.split_table.exists()
    assert not workspace.stores.exists() or not list(workspace.stores.iterdir())


def test_without_them_the_rest_is_sound(workspace):
    table = workspace.root / "data/labels.csv"
    rows = "".join(f"images/{name},{number % 2}\n" for number, name in enumerate(SOUND))
    table.write_text(f"file,crack\n{rows}")
    workspace.dataset_recipe.write_text(
        workspace.dataset_recipe.read_text() + "[split]\ntest = 0.3\nvalidation = 0.3\n"
    )
    dataset = open_dataset(workspace, [SPEC])
    assert len(dataset.facts) == len(SOUND)
    assert len(dataset.stores[SPEC]) == len(SOUND)
