from __future__ import annotations

import os
from dataclasses import replace

import pytest
from PIL import Image

from ova.analysis.statistics.row_check import check_rows
from ova.data.dataset import open_dataset
from ova.errors import DataError


def test_rows_and_images_match(make_workspace):
    found = check_rows(open_dataset(make_workspace(count=20)))
    assert (found.rows, found.images, found.without_image, found.without_row) == (20, 20, (), ())


def test_images_without_a_row_and_rows_without_an_image_are_named(make_workspace):
    workspace = make_workspace(count=20)
    images = workspace.root / "data/images"
    (images / "more").mkdir()
    for name in ("extra.png", "more/b.jpg"):
        Image.new("L", (8, 8)).save(images / name)
    dataset = open_dataset(workspace)
    facts = dict(dataset.facts)
    del facts["007.png"]
    found = check_rows(replace(dataset, facts=facts))
    assert found.without_row == ("extra.png", "more/b.jpg")
    assert found.without_image == ("007.png",)
    assert found.to_json() == {
        "rows": 20,
        "images": 19,
        "rows_without_image": 1,
        "images_without_row": 2,
        "examples_without_image": ["007.png"],
        "examples_without_row": ["extra.png", "more/b.jpg"],
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_unicode_is_told_all_the_same(make_workspace):
    workspace = make_workspace(count=20)
    with open(os.fsencode(workspace.root / "data/images") + b"/\xff.png", "wb"):  # noqa: PTH123
        pass
    assert check_rows(open_dataset(workspace)).without_row == ("?.png",)


def test_a_folder_that_cannot_be_listed_is_one_line(make_workspace, monkeypatch):
    dataset = open_dataset(make_workspace(count=20))

    def refuse(self):
        raise PermissionError(13, "Permission denied", "images/locked")

    monkeypatch.setattr(type(dataset.files), "images", refuse)
    with pytest.raises(DataError, match="images/locked: cannot be listed"):
        check_rows(dataset)
