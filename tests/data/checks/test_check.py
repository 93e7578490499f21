from __future__ import annotations

import csv

import numpy as np
import pytest
from messy import CELLS, SOUND, add_mess, add_unusable, sound_workspace
from PIL import Image

from ova.data import workers
from ova.data.checks.check import check_data
from ova.data.images import intake
from ova.errors import DataError


@pytest.fixture
def made(tmp_path):
    return sound_workspace(tmp_path)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_sound_data_has_no_findings(made):
    report = check_data(made.workspace)
    assert (report.findings, report.advice(), report.refusal) == ([], [], None)
    assert report.to_json()["findings"] == {}
    assert report.counts is not None
    assert report.counts.images == CELLS
    assert not made.workspace.findings_picture.exists()
    assert rows_of(made.workspace.findings) == []
    measures = rows_of(made.workspace.quality_table)
    assert [row["image"] for row in measures] == SOUND
    assert {(row["height"], row["width"]) for row in measures} == {("96", "96")}


def test_findings_are_listed_counted_and_shown(made):
    add_mess(made)
    report = check_data(made.workspace)
    assert report.refusal is None
    counted = report.to_json()["findings"]
    listed = rows_of(made.workspace.findings)
    assert sum(counted.values()) == len(listed) == len(report.findings)
    assert {kind: int(count) for kind, count, _ in report.rows()[1:]} == counted
    assert report.conflicts == {"crack": 1}
    told = " ".join(report.advice())
    assert "ova data clean --min-side 24 --sharpness" in told
    assert "conflicting labels: crack 1" in told
    with Image.open(made.workspace.findings_picture) as picture:
        assert picture.mode == "RGB"  # one image is in colour
        shown = np.asarray(picture)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 100
    assert made.workspace.findings_picture in report.files


def test_what_training_refuses_is_listed_once_with_where(made):
    add_mess(made)
    add_unusable(made)
    report = check_data(made.workspace)
    assert isinstance(report.refusal, DataError)
    assert report.refusal.exit_code == 4
    told = str(report.refusal)
    assert "\n" not in told
    assert "1 of 36 images are not below" in told
    assert "2 of 35 images cannot be used" in told
    assert told.endswith(f"all are listed in {made.workspace.intake_problems}")
    listed = rows_of(made.workspace.intake_problems)
    assert [row["image"] for row in listed] == ["gone.png", "page.png", "cut.png"]
    assert listed[0]["where"] == f"{made.data / 'data.csv'}:35"
    assert listed[1] == {
        "image": "page.png",
        "problem": "is neither JPEG nor PNG (it begins with b'<html>'); convert or remove it",
        "where": str(made.path("page.png")),
    }
    assert report.counts is None
    assert report.to_json()["refused"] == told
    assert not made.workspace.split_table.exists()
    made.workspace.exclusions.write_text("image,reason\ngone.png,x\npage.png,x\ncut.png,x\n")
    assert check_data(made.workspace).refusal is None
    assert not made.workspace.intake_problems.exists()


def test_images_that_may_be_missing_are_listed_and_no_error(made):
    made.add("gone.png", None)
    made.declare("allow_missing = 1\n")
    report = check_data(made.workspace)
    assert report.refusal is None
    assert [(each.image, each.finding) for each in report.findings] == [("gone.png", "missing")]
    assert [row["image"] for row in rows_of(made.workspace.intake_problems)] == ["gone.png"]


def test_tables_that_are_wrong_are_refused_with_all_that_is(made):
    made.add("gone.png", None)
    made.add(SOUND[0], None, "yes")
    made.add(SOUND[1], None, 7)
    made.declare()
    with pytest.raises(DataError) as caught:
        check_data(made.workspace)
    assert all(text in str(caught.value) for text in ("gone.png", "'yes'", "'7'"))
    assert len(rows_of(made.workspace.intake_problems)) == 3


def test_a_root_without_any_image_is_told_as_such(made):
    for image in SOUND:
        made.path(image).unlink()
    with pytest.raises(DataError, match="24 of 24 images are not below"):
        check_data(made.workspace)
    assert len(rows_of(made.workspace.intake_problems)) == CELLS


def test_a_second_check_decodes_nothing_but_what_it_shows(made, decoded):
    add_mess(made)
    first = check_data(made.workspace)
    assert len(decoded) == len(made.labels)
    written = {path: path.read_bytes() for path in made.workspace.root.rglob("runs/*.*")}
    second = check_data(made.workspace)
    assert len(decoded) == len(made.labels)
    assert second.to_json() == first.to_json()
    assert {path: path.read_bytes() for path in written} == written


def test_near_duplicates_in_several_parts_are_counted_until_they_are_joined(made):
    pairs = 10
    for number in range(pairs):  # a fault put in: as many are found
        copy = Image.open(made.path(SOUND[number])).transpose(Image.Transpose.ROTATE_90)
        made.add(f"turned {number}.png", copy, *made.labels[SOUND[number]])
    made.declare()
    report = check_data(made.workspace)
    counted = report.to_json()
    assert counted["duplicates"] == {"clusters": pairs, "images": 2 * pairs, "largest": 2}
    assert counted["findings"]["near duplicate"] == 2 * pairs
    assert counted["findings"]["in several parts"] > 0
    assert any("[duplicates]" in line for line in report.advice())
    made.declare("[duplicates]\n")
    assert "in several parts" not in check_data(made.workspace).to_json()["findings"]


def test_the_order_of_the_table_does_not_matter(made):
    add_mess(made)
    first = check_data(made.workspace).to_json()
    made.labels = dict(reversed(made.labels.items()))
    made.declare()
    assert check_data(made.workspace).to_json() == first


def test_many_images_are_measured_in_processes(made, monkeypatch):
    add_mess(made)
    with_threads = check_data(made.workspace).to_json()
    for path in made.workspace.root.rglob("runs/*.*"):
        path.unlink()
    monkeypatch.setattr(intake, "PROCESSES_FROM", 1)
    started = []
    run = workers.map_in_order
    monkeypatch.setattr(
        intake, "map_in_order", lambda *given, **how: started.append(how["processes"]) or run(*given, **how)
    )
    assert check_data(made.workspace).to_json() == with_threads
    assert started[0] is True
