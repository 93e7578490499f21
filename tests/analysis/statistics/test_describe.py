"""`ova data stats` as a user meets it: JSON, tables, files, and what training changes in it."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from PIL import Image
from small import draw_images, head_recipe

from ova.analysis.statistics.describe import describe_data
from ova.data.dataset import open_dataset
from ova.ensembles.train import train_heads
from ova.storage import read_csv

HOSTILE = "<script>alert(1)</script>"
ATTACK = '"><img src=x onerror=alert(2)>'
FORMULA = "=HYPERLINK(1)"


def columns_of(count, *names):
    labels = draw_images(count)[1]
    return {name: labels[:, place % 2].tolist() for place, name in enumerate(names)}


def test_json_holds_what_the_table_holds(make_workspace, run_cli):
    workspace = make_workspace({"spot": head_recipe(), "bar": head_recipe("bar")})
    code, out, err = run_cli("-C", workspace.root, "data", "stats", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found == json.loads((workspace.statistics / "statistics.json").read_text())
    table = pd.read_csv(workspace.root / "data/images/data.csv", sep=";")
    assert found["rows"] == found["images"] == len(table)
    assert {each["label"]: each["positives"] for each in found["labels"]} == table[
        ["spot", "bar"]
    ].sum().to_dict()
    split = pd.read_csv(workspace.split_table).set_index("image").part
    assert found["parts"]["images"] == split.value_counts().to_dict()
    training = table[table.filename.map(split) == "train"]
    assert found["pixels"]["training_images"] == found["pixels"]["measured"] == len(training)
    for head in found["heads"]:
        (network,) = head["networks"]
        positives = int(training[head["label"]].sum())
        assert network["rows"] == {"positives": positives, "negatives": len(training) - positives}
    assert found["sizes"]["height"]["median"] == 24
    assert found["sizes"]["suggested_input"]["size"] == 32
    assert found["pairs"]["by"] == "likeness"


def test_the_console_shows_the_short_tables(make_workspace, run_cli):
    workspace = make_workspace(dataset={"split": {"folds": 3}})
    code, out, err = run_cli("-C", workspace.root, "-q", "data", "stats", "--sample", "5")
    assert code == 0, err
    for title in (
        "images per label",
        "label combinations",
        "positives per part",
        "before and after balancing",
    ):
        assert title in out
    assert "fold-1 of 3" in out
    assert "suggested input: size = 32" in out
    assert re.search(r"worth a look: fewer than 20 positives outside the test: .*bar \(", out)
    assert out.splitlines()[-1].startswith(f"wrote {workspace.statistics}/statistics.html and ")
    assert err == ""
    assert run_cli("-C", workspace.root, "data", "stats", "--sample", "0")[0] == 2


def test_tables_are_safe_for_spreadsheets_and_keep_every_digit(make_workspace):
    workspace = make_workspace({"spot": head_recipe(FORMULA)}, columns=columns_of(72, FORMULA, "bar"))
    report = describe_data(workspace)
    assert {path.name for path in report.files} == {path.name for path in workspace.statistics.iterdir()}
    assert all(path.stat().st_size for path in report.files)
    for path in workspace.statistics.glob("*.csv"):
        cells = [cell for row in csv.reader(io.StringIO(path.read_text())) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@"))], path.name
    labels = {row["label"]: row for row in read_csv(workspace.statistics / "labels.csv")}
    assert float(labels["'" + FORMULA]["share"]) == 24 / 72
    parts = pd.read_csv(workspace.statistics / "parts.csv")
    assert parts.groupby("label").positives.sum().to_dict() == {"'" + FORMULA: 24, "bar": 18}
    together = pd.read_csv(workspace.statistics / "together.csv")
    assert len(together) == 4


class Page(HTMLParser):
    """What a browser would make of a page: tags closed in order, links, and its text."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "srcset", "action", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_escapes_names_and_loads_nothing(make_workspace):
    quoted = ATTACK.replace('"', '""')
    columns = columns_of(72, HOSTILE, "bar", f'"{quoted}"')
    workspace = make_workspace({"spot": head_recipe(HOSTILE)}, columns=columns)
    (workspace.root / "data/images/<b>x.png").write_bytes(b"")
    describe_data(workspace)
    text = (workspace.statistics / "statistics.html").read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert ATTACK in page.text
    assert "<b>x.png" in page.text
    assert len([link for link in page.links if link.startswith("data:image/png;base64,")]) >= 10
    assert all(re.match(r"data:|#[a-z]+$", link) for link in page.links)
    assert "url(" not in text
    assert "@import" not in text


def test_no_test_image_is_shown_or_measured(make_workspace, monkeypatch):
    workspace = make_workspace({"spot": head_recipe(), "bar": head_recipe("bar")})
    dataset = open_dataset(workspace)
    read = []
    original = type(dataset.files).read
    monkeypatch.setattr(
        type(dataset.files), "read", lambda self, image: read.append(image) or original(self, image)
    )
    statistics = describe_data(workspace).statistics
    assert {dataset.split.part_of[image] for image in read} == {"train"}
    (pair,) = statistics.pairs.pairs
    assert {dataset.split.part_of[image] for image in (*pair.only_first, *pair.only_second)} == {"train"}


def test_test_images_have_no_say_in_the_suggested_input(make_workspace):
    workspace = make_workspace()
    part_of = open_dataset(workspace).split.part_of
    others = sorted(image for image, part in part_of.items() if part != "test")
    large = [*(image for image, part in part_of.items() if part == "test"), *others[: len(others) // 2 - 1]]
    for image in large:
        path = workspace.root / "data/images" / image
        Image.open(path).resize((300, 300)).save(path)
    sizes = describe_data(workspace).statistics.counts.sizes
    assert open_dataset(workspace).split.part_of == part_of
    assert sizes.measures["height"]["median"] == 300
    assert sizes.suggestion.setting == 32
    assert "median shorter side is 24 " in sizes.suggestion.reason


def test_the_same_data_give_the_same_bytes(make_workspace):
    def content(workspace):
        describe_data(workspace)
        return {path.name: path.read_bytes() for path in sorted(workspace.statistics.iterdir())}

    first = content(make_workspace(folder="one"))
    assert first == content(make_workspace(folder="two"))


@pytest.mark.slow
def test_trained_heads_choose_the_pairs_and_a_damaged_one_is_told(make_workspace, run_cli):
    # Heads of one epoch: they confuse much.
    heads = {name: head_recipe(name, training={"epochs": 1}) for name in ("spot", "bar")}
    workspace = make_workspace(heads, count=140)
    train_heads(workspace, device="cpu")
    found = describe_data(workspace).statistics.pairs
    assert found.by == "confusion"
    record = json.loads(workspace.current_run("bar").read_text())["run"]
    (workspace.head_runs("bar") / record / "scores.csv").write_text("image,label,logit\na,2,x\n")
    code, out, err = run_cli("-C", workspace.root, "data", "stats", "--json")
    assert code == 0
    assert "pairs are chosen without head bar: " in err
    assert json.loads(out)["pairs"]["pairs"]
