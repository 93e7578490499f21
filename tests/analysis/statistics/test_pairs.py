from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.analysis.statistics import pairs as module
from ova.analysis.statistics.labels import count_labels
from ova.analysis.statistics.pairs import HeadAnswers, choose_pairs, images_to_compare


def rows_of(table):
    return np.arange(len(table.images))


def pictures(table, brightness):
    """Thumbnails whose grey is that of the image's first positive label."""
    found = {}
    for image, row in zip(table.images, table.values, strict=True):
        label = table.labels[int(np.argmax(row == 1))]
        found[image] = np.full((32, 32), brightness[label], np.uint8)
    return found


def answers_of(table, label, yes, rows):
    images = [table.images[row] for row in rows]
    return HeadAnswers(label, images, table.column(label)[rows], np.asarray(yes, bool))


@pytest.fixture
def classes(table_of):
    """Four labels, one per image, ten images of each."""
    return table_of(np.repeat(np.eye(4), 10, axis=0), ("a", "b", "c", "d"))


def test_labels_whose_images_look_alike_come_first(classes):
    thumbnails = pictures(classes, {"a": 10, "b": 100, "c": 112, "d": 200})
    drawn = images_to_compare(classes, rows_of(classes), classes.labels)
    found = choose_pairs(classes, rows_of(classes), answers=[], drawn=drawn, thumbnails=thumbnails, most=3)
    assert found.by == "likeness"
    assert [(pair.first, pair.second, pair.figure) for pair in found.pairs] == [
        ("b", "c", 12.0),
        ("c", "d", 88.0),
        ("a", "b", 90.0),
    ]
    assert "average grey picture" in found.explain()


def test_mistakes_of_trained_heads_choose_where_there_are_any(classes):
    thumbnails = pictures(classes, {"a": 10, "b": 100, "c": 112, "d": 200})
    drawn = images_to_compare(classes, rows_of(classes), classes.labels)
    rows = rows_of(classes)
    # The head of a takes 4 of the 10 images of d for a; the head of d takes 1 of the 10 images of a for d.
    a_says, d_says = classes.column("a") == 1, classes.column("d") == 1
    a_says[30:34], d_says[0] = True, True
    answers = [answers_of(classes, "a", a_says, rows), answers_of(classes, "d", d_says, rows)]
    found = choose_pairs(classes, rows, answers=answers, drawn=drawn, thumbnails=thumbnails)
    assert found.by == "confusion"
    assert [(pair.first, pair.second, pair.figure) for pair in found.pairs] == [("a", "d", 0.25)]
    assert "heads confuse" in found.explain()


@given(st.integers(0, 2**32 - 1))
def test_confusion_is_counted_as_by_hand(seed):
    from ova.data.labels.table import LabelTable

    generator = np.random.default_rng(seed)
    values = generator.choice([-1, 0, 1], (60, 3), p=[0.1, 0.5, 0.4]).astype(np.int8)
    images = tuple(f"{row}.png" for row in range(60))
    table = LabelTable(images, ("a", "b", "c"), values, images)
    answers, hits = [], {}
    for label in ("a", "b"):
        rows = generator.permutation(np.flatnonzero(table.column(label) >= 0))
        answers.append(answers_of(table, label, generator.random(len(rows)) < 0.3, rows))
    for pair in (("a", "b"), ("a", "c"), ("b", "c")):
        says = [
            bool(yes)
            for head in answers
            if head.label in pair
            for image, own, yes in zip(head.images, head.labels, head.yes, strict=True)
            if own == 0 and table.column(pair[pair[0] == head.label])[images.index(image)] == 1
        ]
        if len(says) >= module.FEWEST_SCORES and any(says):
            hits[pair] = sum(says) / len(says)
    found = {(one, other): figure for figure, one, other in module._by_confusion(table, answers)}
    assert found == pytest.approx(hits)


def test_scores_of_images_that_are_gone_are_left_out(classes):
    lost = HeadAnswers("a", ["gone.png"] * 20, np.zeros(20, np.int8), np.ones(20, bool))
    assert module._by_confusion(classes, [lost]) == []


def test_examples_are_given_rows_known_to_have_one_label_only(random_table):
    table = random_table(300, 3)
    rows = np.random.default_rng(0).permutation(300)[:120]
    labels = [each.label for each in count_labels(table).labels]
    drawn = images_to_compare(table, rows, labels)
    thumbnails = pictures(table, dict.fromkeys(labels, 50))
    found = choose_pairs(table, rows, answers=[], drawn=drawn, thumbnails=thumbnails, examples=5)
    assert len(found.pairs) == 3
    allowed = {table.images[row] for row in rows}
    for pair in found.pairs:
        sides = ((pair.first, pair.second, pair.only_first), (pair.second, pair.first, pair.only_second))
        for own, other, images in sides:
            assert len(images) == 5
            assert set(images) <= allowed
            places = [table.images.index(image) for image in images]
            assert (table.column(own)[places] == 1).all()
            assert (table.column(other)[places] == 0).all()


def test_a_pair_without_examples_of_both_sides_is_left_out(table_of):
    table = table_of([[1, 1], [1, 0], [1, 1], [0, 0]], ("crack", "inactive"))  # never inactive alone
    drawn = images_to_compare(table, rows_of(table), table.labels)
    thumbnails = pictures(table, {"crack": 5, "inactive": 5})
    assert not choose_pairs(table, rows_of(table), answers=[], drawn=drawn, thumbnails=thumbnails).pairs


def test_one_label_or_a_label_without_positives_makes_no_pair(table_of):
    for values in ([[1], [0]], [[1, 0], [0, 0]]):
        table = table_of(values)
        drawn = images_to_compare(table, rows_of(table), table.labels)
        thumbnails = pictures(table, dict.fromkeys(table.labels, 5))
        found = choose_pairs(table, rows_of(table), answers=[], drawn=drawn, thumbnails=thumbnails)
        assert found.pairs == ()
        assert found.to_json()["pairs"] == []


def test_few_images_are_drawn_of_each_of_many_labels(random_table):
    table = random_table(400, 300)
    drawn = images_to_compare(table, rows_of(table), table.labels)
    assert len(drawn) == module.MOST_LABELS
    assert {len(images) for images in drawn.values()} == {6}
