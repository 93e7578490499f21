from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from ova.analysis.report.files import write_report
from ova.errors import RecipeError
from ova.progress import Silent


def test_all_that_is_shown_lies_beside_the_page_as_tables_and_pictures(made):
    assert made.files[0].name == "report.html"
    assert sorted(made.folder.iterdir()) == sorted(made.files)
    both = ("precision-recall", "roc", "thresholds", "scores", "loss")
    for name, pictures in {
        "spot": both,
        "bar": both,
        "never": ("scores", "precision-recall", "loss"),
    }.items():
        found = {path.name for path in made.files if path.stem.endswith(f"-{name}")}
        expected = {f"{picture}-{name}.png" for picture in pictures}
        tables = {f"thresholds-{name}.csv", *(f"mistakes-{name}.{kind}" for kind in ("csv", "json", "png"))}
        assert found == expected | tables
    for path in made.files:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert np.asarray(image.convert("L")).std() > 5  # not blank


def test_tables_hold_what_the_head_decided(made):
    with (made.folder / "thresholds-spot.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    evidence = next(each.evidence for each in made.sources if each.evidence.name == "spot")
    for row in rows[:: len(rows) // 7]:
        decisions = evidence.scores >= np.float32(row["threshold"])
        assert float(row["f1"]) == pytest.approx(f1_score(evidence.labels, decisions))
    mistakes = json.loads((made.folder / "mistakes-spot.json").read_text(encoding="utf-8"))
    counts = next(head.counts for head in made.analysis.heads if head.name == "spot")
    assert mistakes["totals"] == {"false_alarms": counts.fp, "missed": counts.fn}
    with (made.folder / "mistakes-spot.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["image"] for row in listed] == [
        each["image"] for name in ("false_alarms", "missed", "doubtful") for each in mistakes[name]
    ]


def test_a_page_without_its_images_says_so_and_keeps_the_figures(made, tmp_path):
    lost = made.workspace.root / "data" / made.sources[0].evidence.images[0]
    everything = made.workspace.root / "data"
    hidden = everything.rename(made.workspace.root / "hidden")
    try:
        everything.mkdir()
        (everything / "dataset.toml").write_text('labels = "labels.csv"')
        files = write_report(made.workspace, tmp_path, made.analysis, made.sources, Silent())
    finally:
        (everything / "dataset.toml").unlink()
        everything.rmdir()
        hidden.rename(everything)
    assert lost.is_file()
    page = files[0].read_text(encoding="utf-8")
    assert "The images are not shown" in page
    assert "image/jpeg" not in page
    shown = [path for path in made.files if not (path.name.startswith("mistakes-") and path.suffix == ".png")]
    assert [path.name for path in files] == [path.name for path in shown]
    for path, same in zip(files[1:], shown[1:], strict=True):
        assert path.read_bytes() == same.read_bytes()


def test_names_never_become_paths(made, tmp_path):
    from dataclasses import replace

    source = made.sources[0]
    evil = replace(source, evidence=replace(source.evidence, name="../evil"))
    heads = tuple(replace(head, name="../evil") for head in made.analysis.heads if head.name == "spot")
    with pytest.raises(RecipeError, match="not a name"):
        write_report(made.workspace, tmp_path, replace(made.analysis, heads=heads), [evil], Silent())
    assert not list(tmp_path.iterdir())
