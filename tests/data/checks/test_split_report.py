from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from ova.data.checks.split_report import report_split, write_split_report
from ova.data.dataset import open_dataset
from ova.errors import OvaError
from ova.storage import read_csv

ROWS = 60


@pytest.fixture
def workspace(make_workspace):
    """Sixty images; 22 of them are of one module, and one label is known of some only."""
    generator = np.random.default_rng(0)
    columns = {
        "crack": (generator.random(ROWS) < 0.3).astype(int).tolist(),
        "dust": [1 if row % 5 == 0 else "" if row % 7 == 0 else 0 for row in range(ROWS)],
        "never": [0] * ROWS,
        "module": ["=large" if row < 22 else f"m{row // 2}" for row in range(ROWS)],
    }
    return make_workspace(count=ROWS, columns=columns, dataset={"group": {"column": "module"}})


@pytest.fixture
def report(workspace):
    return report_split(workspace, open_dataset(workspace))


def test_combinations_are_counted_per_part(workspace, report):
    dataset = open_dataset(workspace)
    names = {1: "{}", -1: "{}?"}
    expected: dict[str, Counter[str]] = {}
    for image, row in zip(dataset.table.images, dataset.table.values.tolist(), strict=True):
        held = {
            value: [
                names[value].format(label)
                for label, cell in zip(dataset.table.labels, row, strict=True)
                if cell == value
            ]
            for value in (1, -1)
        }
        name = " + ".join(held[1] + held[-1]) or "none of the labels"
        expected.setdefault(name, Counter())[dataset.split.part_of[image]] += 1
    assert report.combinations == {name: dict(parts) for name, parts in expected.items()}
    totals = [sum(parts.values()) for parts in report.combinations.values()]
    assert totals == sorted(totals, reverse=True)
    assert "dust?" in report.combinations


def test_leaks_groups_and_what_is_missing_are_told(report):
    lines = report.lines()
    assert lines[0] == "leaks between parts: 0 (0 identical pixels, 0 groups, 0 near duplicates)"
    assert lines[1] == "20 groups of images that stay together, single images included"
    assert "not met: never: train has 0 positives, 2 wanted: there is none" in lines
    large = report.largest[0]
    assert (large.first, large.images) == ("000.png", 22)
    assert lines[-1].startswith(
        f"warning: 22 of 60 images belong together (000.png ...), all in {large.part};"
    )


def test_leaks_are_counted_from_the_data_and_not_from_the_groups_of_the_splitter(workspace):
    dataset = open_dataset(workspace)
    part_of = dict(dataset.split.part_of)
    other = "test" if part_of["000.png"] == "train" else "train"
    part_of["000.png"] = other
    object.__setattr__(dataset.split, "part_of", part_of)
    report = report_split(workspace, dataset)
    assert len(report.leaks.groups) == 1
    assert report.to_json()["leaks"] == {
        "identical": [],
        "groups": [list(report.leaks.groups[0])],
        "near": [],
    }


def test_the_table_holds_a_fact_per_row(workspace, report):
    write_split_report(workspace, report)
    rows = read_csv(workspace.split_report)
    parts = {row["part"]: int(row["images"]) for row in rows if row["kind"] == "part"}
    assert parts == report.counts.parts
    crack = {row["part"]: row for row in rows if row["kind"] == "label" and row["name"] == "crack"}
    positives, negatives, unknown = report.counts.labels["crack"]["test"]
    found = crack["test"]
    assert (int(found["positives"]), int(found["negatives"]), int(found["unknown"])) == (
        positives,
        negatives,
        unknown,
    )
    whole = sum(numbers[0] for numbers in report.counts.labels["crack"].values())
    assert float(found["share"]) == pytest.approx(positives / whole, abs=1e-4)
    assert {row["kind"] for row in rows if row["kind"].startswith("leak")} == {
        "leak: identical",
        "leak: groups",
        "leak: near",
    }
    assert next(row["note"] for row in rows if row["kind"] == "not met") == "2 wanted: there is none"
    assert sum(int(row["images"]) for row in rows if row["kind"] == "combination") == ROWS


def test_moved_images_are_told(workspace):
    part_of = open_dataset(workspace).split.part_of
    tested = min(image for image, part in part_of.items() if part == "test")
    trained = min(image for image, part in part_of.items() if part == "train")
    table = workspace.root / "data/images/data.csv"
    lines = table.read_text().splitlines()
    module = next(line for line in lines if line.startswith(trained)).split(";")[-1]
    joined = [f"{line.rsplit(';', 1)[0]};{module}" if line.startswith(tested) else line for line in lines]
    table.write_text("\n".join(joined) + "\n")
    report = report_split(workspace, open_dataset(workspace))
    assert (tested, "test", "train") in [(each.image, each.before, each.after) for each in report.moved]
    assert report.leaks.total == 0
    assert f"{tested} from test to train" in report.lines()[-1]


def test_the_command_shows_and_writes_it(workspace, run_cli):
    code, out, _ = run_cli("-C", workspace.root, "data", "split", "--report")
    assert code == 0
    assert "leaks between parts: 0" in out
    assert "none of the labels" in out
    assert str(workspace.split_report) in out.replace("\n", "")
    code, out, _ = run_cli("-C", workspace.root, "data", "split", "--report", "--json")
    content = json.loads(out)
    assert code == 0
    assert {
        "parts",
        "labels",
        "combinations",
        "leaks",
        "shortfalls",
        "groups",
        "largest_groups",
        "moved",
    } <= content.keys()
    assert content["shortfalls"][0] == {
        "label": "never",
        "part": "train",
        "has": 0,
        "wanted": 2,
        "why": "there is none",
    }


def test_a_damaged_split_is_one_error(workspace):
    open_dataset(workspace)
    workspace.split_table.write_text("image,part\n")
    with pytest.raises(OvaError, match="no longer matches"):
        report_split(workspace, open_dataset(workspace))
