from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import draw_images, head_recipe

from ova.analysis.doubts import find_doubts, review_labels
from ova.ensembles.train import train_heads
from ova.errors import ArtefactError, DataError, RecipeError
from ova.storage import read_csv

pytestmark = pytest.mark.slow


def planted(wrong: int, size: int = 400):
    """Labels of a good head, some of them turned around."""
    draw = np.random.default_rng(0)
    truth = (draw.random(size) < 0.2).astype(np.int8)
    logits = draw.normal(np.where(truth == 1, 4.0, -4.0), 1.2)
    labels = truth.copy()
    turned = draw.choice(size, wrong, replace=False)
    labels[turned] = 1 - labels[turned]
    return [f"{row:03d}.png" for row in range(size)], labels, 1 / (1 + np.exp(-logits)), set(turned.tolist())


def test_planted_errors_are_found_and_come_first():
    images, labels, probabilities, turned = planted(20)
    doubts = find_doubts(images, labels, probabilities)
    suspects = {int(doubt.image[:3]) for doubt in doubts if doubt.suspect}
    assert len(suspects & turned) >= 15
    assert len(suspects - turned) <= 2
    assert len({int(doubt.image[:3]) for doubt in doubts[:20]} & turned) >= 18


def test_what_a_doubt_says():
    images, labels, probabilities, _ = planted(5)
    doubts = find_doubts(images, labels, probabilities)
    row = {image: number for number, image in enumerate(images)}
    for doubt in doubts:
        p = probabilities[row[doubt.image]]
        assert doubt.probability == p
        assert doubt.label == labels[row[doubt.image]]
        assert doubt.quality == pytest.approx(p if doubt.label else 1 - p)
    assert [doubt.quality for doubt in doubts] == sorted(doubt.quality for doubt in doubts)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.01, 0.99)), min_size=4, max_size=30), st.randoms())
def test_the_order_of_rows_is_of_no_consequence(rows, random):
    if len({label for label, _ in rows}) < 2:
        return
    table = [(f"{number}.png", label, p) for number, (label, p) in enumerate(rows)]
    mixed = random.sample(table, len(table))

    def found(rows):
        images, labels, probabilities = zip(*rows, strict=True)
        return find_doubts(images, np.array(labels, np.int8), np.array(probabilities))

    assert found(table) == found(mixed)


def test_one_label_value_is_refused():
    with pytest.raises(DataError, match="only one label value"):
        find_doubts(["a", "b"], np.array([1, 1], np.int8), np.array([0.2, 0.9]))


@pytest.fixture
def trained(make_workspace):
    """A head on labels of which six validation rows may be wrong."""
    _, labels = draw_images(120)
    spot = labels[:, 0].copy()
    spot[::17] = 1 - spot[::17]
    recipe = head_recipe("spot", training={"epochs": 6})
    workspace = make_workspace(
        {"spot": recipe, "untrained": head_recipe("bar")},
        count=120,
        columns={"spot": spot.tolist(), "bar": labels[:, 1].tolist()},
        dataset={"split": {"folds": 3}},
    )
    assert [outcome.status for outcome in train_heads(workspace, ["spot"])] == ["trained"]
    return workspace


def test_a_trained_head_lists_and_shows_its_doubts(trained, run_cli):
    report = review_labels(trained, top=6)
    assert [head.head for head in report.heads] == ["spot"]
    part_of = {row["image"]: row["part"] for row in read_csv(trained.split_table)}
    judged = {doubt.image for doubt in report.heads[0].doubts}
    assert judged == {image for image, part in part_of.items() if part != "test"}
    table, page = report.files
    rows = read_csv(table)
    assert [row["image"] for row in rows] == [doubt.image for doubt in report.heads[0].doubts]
    assert [row["rank"] for row in rows[:2]] == ["1", "2"]
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png") == 6
    assert rows[0]["image"] in html

    code, out, _ = run_cli("-C", trained.root, "data", "doubts", "--top", 3, "--json")
    assert code == 0
    shown = json.loads(out)["heads"][0]
    assert [doubt["image"] for doubt in shown["doubts"]] == [row["image"] for row in rows[:3]]
    code, out, _ = run_cli("-C", trained.root, "data", "doubts", "spot")
    assert code == 0
    assert "labels are suspect" in out

    with pytest.raises(ArtefactError, match="untrained"):
        review_labels(trained, ["untrained"])


def test_nothing_trained_is_told(make_workspace):
    with pytest.raises(RecipeError, match="no head is trained"):
        review_labels(make_workspace())
