from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ova.analysis.head_result import ByRule
from ova.analysis.report.files import write_report
from ova.errors import RecipeError
from ova.metrics import Counts
from ova.progress import Silent

pytestmark = pytest.mark.slow


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


def test_the_page_shows_what_the_rule_of_the_ensemble_changes(made, tmp_path):
    plain = made.files[0].read_text(encoding="utf-8")
    for words in ("The rule of the ensemble", "F1 alone", "otherwise"):
        assert words not in plain
    assert "Test rows, each head at its own threshold" in plain
    analysis, sources = made.alone("spot")
    (head,) = analysis.heads
    ruled = replace(head, by_rule=ByRule(Counts(tp=20, fp=1, fn=4, tn=40), 9, 7))
    analysis = replace(analysis, heads=(ruled,), macro_f1=ruled.exported.f1, rule=("<b>Stacked.</b>",))
    page = write_report(made.workspace, tmp_path, analysis, sources, Silent())[0].read_text(encoding="utf-8")
    by_rule, alone = f"{40 / 45:.3f}", f"{head.f1:.3f}"
    assert by_rule != alone
    assert "&lt;b&gt;Stacked.&lt;/b&gt; This changes 9 of 65 answers to test rows" in page
    assert f"macro F1 is {by_rule} instead of {alone}" in page
    assert "Test rows, as the exported ensemble decides" in page
    assert "The exported ensemble answers 9 test rows otherwise" in page
    assert "F1 on test rows, as the ensemble decides" in page
    row = re.search(r"By the rule and alone, on test rows.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert row is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1])
    found = [by_rule, alone, "20", f"{head.counts.tp}", "1", f"{head.counts.fp}", "9", "7"]
    assert [cell.strip() for cell in cells if " to " not in cell] == found
