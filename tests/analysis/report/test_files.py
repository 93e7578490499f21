from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ova.analysis.report.files import write_report
from ova.errors import RecipeError
from ova.progress import Silent


def test_all_that_is_shown_lies_beside_the_page_as_tables_and_pictures(made):
    assert made.files[0].name == "report.html"
    assert sorted(made.folder.iterdir()) == sorted(made.files)
    few = ("scores", "reliability", "precision-recall", "loss")
    for name, pictures in {"spot": (*few, "roc", "thresholds"), "never": few}.items():
        found = {path.name for path in made.files if path.stem.endswith(f"-{name}")}
        expected = {f"{picture}-{name}.png" for picture in pictures}
        tables = {f"mistakes-{name}.{kind}" for kind in ("csv", "json", "png")}
        assert found == expected | tables
    for path in made.files:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert np.asarray(image.convert("L")).std() > 5  # not blank


def test_tables_of_mistakes_hold_what_the_head_decided(made):
    mistakes = json.loads((made.folder / "mistakes-spot.json").read_text(encoding="utf-8"))
    counts = next(head.counts for head in made.analysis.heads if head.name == "spot")
    assert mistakes["totals"] == {"false_alarms": counts.fp, "missed": counts.fn}
    with (made.folder / "mistakes-spot.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["image"] for row in listed] == [
        each["image"] for name in ("false_alarms", "missed", "doubtful") for each in mistakes[name]
    ]


def test_a_page_without_its_images_says_so_and_keeps_the_figures(made, tmp_path):
    everything = made.workspace.root / "data"
    hidden = everything.rename(made.workspace.root / "hidden")
    try:
        everything.mkdir()
        (everything / "dataset.toml").write_text('labels = "labels.csv"')
        files = write_report(made.workspace, tmp_path, *made.alone("never"), Silent())
    finally:
        (everything / "dataset.toml").unlink()
        everything.rmdir()
        hidden.rename(everything)
    page = files[0].read_text(encoding="utf-8")
    assert "The images are not shown" in page
    assert "image/jpeg" not in page
    assert [path.name for path in files[1:]] == [
        *(f"{name}-never.png" for name in ("scores", "reliability", "precision-recall", "loss")),
        "mistakes-never.csv",
        "mistakes-never.json",
    ]
    for path in files[1:]:
        assert path.read_bytes() == (made.folder / path.name).read_bytes()


def test_names_never_become_paths(made, tmp_path):
    analysis, (source,) = made.alone("spot")
    evil = replace(source, evidence=replace(source.evidence, name="../evil"))
    analysis = replace(analysis, heads=tuple(replace(head, name="../evil") for head in analysis.heads))
    with pytest.raises(RecipeError, match="not a name"):
        write_report(made.workspace, tmp_path, analysis, [evil], Silent())
    assert not list(tmp_path.iterdir())
