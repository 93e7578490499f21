from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ova.analysis.argmax_result import Choices
from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.files import write_measures
from ova.analysis.measures.several_heads import MOST_OTHERS, averaged_f1, measure_across
from ova.analysis.measures.values import as_json
from ova.metrics import Counts, f1_interval
from ova.storage import read_csv


def draw(seed, rows=300, heads=2, skill=2.5):
    """Truth and decisions (n, k); the second label nearly always comes with the first."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((rows, heads)) < 0.2).astype(np.int8)
    if heads > 1:
        truth[:, 1] = truth[:, 0] * (generator.random(rows) < 0.3)
    hard = generator.normal(0, 0.7, (rows, 1))  # images that are hard for all heads
    scores = skill * truth + generator.normal(0, 0.7, (rows, heads)) + hard
    return truth, (scores >= 1.5).astype(np.int8)


def evidence(truth, answers, names=("crack", "inactive"), keep=None):
    heads = []
    for column, name in enumerate(names):
        rows = np.arange(len(truth)) if keep is None else np.flatnonzero(keep[:, column])
        heads.append(
            HeadEvidence(
                name,
                name,
                0.5,
                truth[rows, column],
                answers[rows, column].astype(float),
                tuple(f"{row:03d}.png" for row in rows),
            )
        )
    return heads


def images(rows):
    return [f"{row:03d}" for row in range(rows)]


@pytest.mark.parametrize("heads", [1, 2, 5])
def test_averages_are_those_of_scikit_learn(heads):
    truth, answers = draw(heads, heads=heads)
    macro, micro = averaged_f1(truth, answers, images(300))
    assert macro.value == pytest.approx(
        f1_score(truth, answers, average="macro") if heads > 1 else micro.value
    )
    if heads > 1:
        assert micro.value == pytest.approx(f1_score(truth, answers, average="micro"))
    for each in (macro, micro):
        assert each.low < each.value < each.high


def test_one_head_has_its_own_interval():
    truth, answers = draw(0, heads=1)
    macro, micro = averaged_f1(truth, answers, images(300))
    expected = f1_interval(Counts.of(truth[:, 0], answers[:, 0]))
    assert (macro.low, macro.high) == pytest.approx(expected)
    assert micro.low <= expected.low + 1e-12
    assert micro.high - micro.low < 1.3 * (expected.high - expected.low)


def test_intervals_cover_the_averages_of_a_population():
    truth, answers = draw(99, rows=200_000)
    wanted = f1_score(truth, answers, average="macro"), f1_score(truth, answers, average="micro")
    covered = []
    for seed in range(150):
        sample = averaged_f1(*draw(seed), images(300))
        covered.append([each.low <= true <= each.high for each, true in zip(sample, wanted, strict=True)])
    assert (np.mean(covered, axis=0) >= 0.91).all()


def test_copies_of_images_make_no_interval_narrower():
    truth, answers = draw(1)
    single = averaged_f1(truth, answers, images(300))
    copies = np.repeat(truth, 6, axis=0), np.repeat(answers, 6, axis=0)
    grouped = averaged_f1(*copies, [name for name in images(300) for _ in range(6)])
    apart = averaged_f1(*copies, images(1800))
    assert grouped[1].value == pytest.approx(single[1].value)
    assert grouped[1].high - grouped[1].low == pytest.approx(single[1].high - single[1].low, rel=0.15)
    assert apart[1].high - apart[1].low < 0.6 * (single[1].high - single[1].low)


def test_perfect_heads_are_not_certain():
    truth, _ = draw(2)
    for each in averaged_f1(truth, truth, images(300)):
        assert each.value == each.high == 1
        assert 0.7 < each.low < 1


def test_a_head_without_positives_is_left_out_of_the_macro_f1():
    truth, answers = draw(3)
    with_empty = np.column_stack([truth, np.zeros(300, np.int8)])
    macro, micro = averaged_f1(with_empty, np.column_stack([answers, np.ones(300, np.int8)]), images(300))
    before = averaged_f1(truth, answers, images(300))
    assert macro.value == pytest.approx(before[0].value)
    assert micro.value < before[1].value  # its false alarms count
    nothing = averaged_f1(with_empty[:, 2:], with_empty[:, 2:], images(300))
    assert [each.reason for each in nothing] == ["no head has a positive"] * 2


def test_labels_that_come_together_are_counted_where_both_are_known():
    truth, answers = draw(4)
    keep = np.random.default_rng(0).random((300, 2)) < 0.8
    found = measure_across(evidence(truth, answers, keep=keep)).co_occurrence
    assert found.heads == ("crack", "inactive")
    for row in range(2):
        for column in range(2):
            both = keep[:, row] & keep[:, column]
            assert found.known[row][column] == both.sum()
            assert found.truth[row][column] == (both & (truth[:, row] == 1) & (truth[:, column] == 1)).sum()
            said = (answers[:, row] == 1) & (answers[:, column] == 1)
            assert found.predicted[row][column] == (both & said).sum()


def test_slices_are_the_rows_with_and_without_the_other_label():
    truth, answers = draw(5)
    slices = {(each.head, each.present): each for each in measure_across(evidence(truth, answers)).slices}
    assert set(slices) == {(head, present) for head in ("crack", "inactive") for present in (True, False)}
    for present in (True, False):
        rows = truth[:, 1] == present
        counts = Counts.of(truth[rows, 0], answers[rows, 0])
        found = slices["crack", present]
        assert (found.other, found.positives, found.negatives) == (
            "inactive",
            counts.positives,
            counts.negatives,
        )
        assert found.f1.value == counts.f1
        assert found.recall.value == counts.recall
    alone = slices["inactive", False]  # inactive never comes without a crack here
    assert (alone.positives, alone.f1.value, alone.recall.reason) == (0, None, "no positive")


def test_many_heads_have_the_slices_that_matter_most():
    truth, answers = draw(6, heads=14)
    names = tuple(f"head-{number:02d}" for number in range(14))
    slices = measure_across(evidence(truth, answers, names)).slices
    assert len(slices) == 14 * MOST_OTHERS * 2
    assert ("head-00", "head-01") in {(each.head, each.other) for each in slices}


def test_order_of_images_does_not_matter_and_json_is_strict():
    truth, answers = draw(7)
    heads = evidence(truth, answers)
    order = np.random.default_rng(1).permutation(300)
    shuffled = [
        HeadEvidence(
            head.name,
            head.label,
            head.threshold,
            head.labels[order],
            head.logits[order],
            tuple(head.images[row] for row in order),
        )
        for head in heads
    ]
    found = measure_across(heads, {"000.png": "a", "001.png": "a"})
    assert measure_across(shuffled, {"000.png": "a", "001.png": "a"}) == found
    value = as_json(found)
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_tables_of_heads_together(tmp_path):
    truth, answers = draw(8)
    across = measure_across(evidence(truth, answers))
    choices = Choices.of(("crack", "=inactive"), truth, np.zeros(300, int))
    files = {path.stem: read_csv(path) for path in write_measures(tmp_path, [], across, choices)}
    assert [(row["measure"], float(row["low"])) for row in files["measures"]] == [
        ("macro_f1", across.macro_f1.low),
        ("micro_f1", across.micro_f1.low),
    ]
    pairs = {(row["head"], row["other"]): int(row["truth"]) for row in files["co-occurrence"]}
    assert pairs["crack", "inactive"] == across.co_occurrence.truth[0][1] == (truth.sum(axis=1) == 2).sum()
    (alone,) = [row for row in files["slices"] if (row["head"], row["other_present"]) == ("inactive", "0")]
    assert (alone["positives"], alone["f1"]) == ("0", "")
    header, *_ = (tmp_path / "confusion.csv").read_text().splitlines()
    assert header.endswith("crack,'=inactive,none")  # no formula for a spreadsheet
    assert int(files["confusion"][0]["crack"]) == choices.matrix[0][0]
