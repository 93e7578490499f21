from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

from ova.analysis.argmax_result import Choices
from ova.analysis.head_result import HeadEvidence, HeadResult
from ova.analysis.result import Analysis, analyse_heads, write_tables
from ova.errors import ArtefactError, RecipeError
from ova.metrics import Counts, f1_interval


def evidence_of(labels, logits, *, threshold=0.0, name="crack", label="crack", seconds=None) -> HeadEvidence:
    return HeadEvidence(
        name=name,
        label=label,
        threshold=threshold,
        labels=np.asarray(labels, np.int8),
        logits=np.asarray(logits, np.float64),
        images=tuple(f"{row}.png" for row in range(len(labels))),
        seconds=seconds,
    )


def random_evidence(seed, *, name="crack", rows=200, prior=0.2, threshold=0.3) -> HeadEvidence:
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < prior).astype(np.int8)
    logits = (generator.normal(0, 1, rows) + 2 * labels).round(1).astype(np.float32)
    return evidence_of(labels, logits, threshold=threshold, name=name, label=name, seconds=12.5)


def analyse(*evidence, ensemble="solar-cell", mode="multilabel", choices=None) -> Analysis:
    return analyse_heads(evidence, ensemble=ensemble, mode=mode, choices=choices)


def only(evidence: HeadEvidence) -> HeadResult:
    return analyse(evidence).heads[0]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=st.integers(2, 40), threshold=st.floats(-3, 3, width=32))
def test_measures_agree_with_scikit_learn(data, rows, threshold):
    labels = data.draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows).filter(any))
    # Few distinct values, so that scores tie with each other and with the threshold.
    scores = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, threshold])
    logits = data.draw(st.lists(scores, min_size=rows, max_size=rows))
    result = only(evidence_of(labels, logits, threshold=threshold))
    decisions = [logit >= threshold for logit in logits]
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, decisions, average="binary", zero_division=np.nan
    )
    assert result.precision == (pytest.approx(precision) if any(decisions) else None)
    assert result.recall == pytest.approx(recall)
    assert result.f1 == pytest.approx(f1)
    assert result.average_precision == pytest.approx(average_precision_score(labels, logits))
    tn, fp, fn, tp = confusion_matrix(labels, decisions, labels=[0, 1]).ravel().tolist()
    assert result.counts == Counts(tp=tp, fp=fp, fn=fn, tn=tn)
    assert (result.positives, result.negatives) == (tp + fn, tn + fp)
    always = precision_recall_fscore_support(labels, [1] * rows, average="binary")
    assert result.always_yes_f1 == pytest.approx(always[2])
    assert result.f1_interval == f1_interval(result.counts)


def test_logit_at_the_threshold_is_yes_and_the_next_below_is_no():
    threshold = float(np.float32(0.1))
    below = float(np.nextafter(np.float32(threshold), np.float32(-1)))
    assert only(evidence_of([1, 1], [threshold, below], threshold=threshold)).counts == Counts(tp=1, fn=1)


def test_comparison_is_made_in_float32():
    # In float64 the threshold lies just above the logit; in the float32 of a model the two are the same.
    logit = float(np.float32(0.1))
    threshold = float(np.nextafter(logit, 1))
    assert threshold > logit
    assert only(evidence_of([1], [logit], threshold=threshold)).counts == Counts(tp=1)


def test_json_has_exactly_the_published_keys():
    value = analyse(random_evidence(0)).to_json()
    assert list(value) == ["ensemble", "mode", "macro_f1", "heads"]
    assert (value["ensemble"], value["mode"]) == ("solar-cell", "multilabel")
    (head,) = value["heads"]
    assert list(head) == ["name", "label", "threshold", "test"]
    published = [
        "f1",
        "f1_low",
        "f1_high",
        "precision",
        "recall",
        "average_precision",
        "tp",
        "fp",
        "fn",
        "tn",
    ]
    extra = ["always_yes_f1", "chance_f1", "positives", "negatives", "reason"]
    assert list(head["test"]) == published + extra
    assert head["test"]["reason"] is None
    assert head["test"]["f1_low"] < head["test"]["f1"] < head["test"]["f1_high"]
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_head_without_positives_is_null_with_the_reason():
    analysis = analyse(evidence_of([0, 0, 0], [1.0, -1.0, -2.0]), random_evidence(1, name="inactive"))
    test = json.loads(json.dumps(analysis.to_json(), allow_nan=False))["heads"][0]["test"]
    for measure in ("f1", "f1_low", "f1_high", "recall", "average_precision", "always_yes_f1", "chance_f1"):
        assert test[measure] is None, measure
    assert test["precision"] == 0
    assert (test["tp"], test["fp"], test["fn"], test["tn"]) == (0, 1, 0, 2)
    assert test["reason"] == "no positive among 3 labelled rows"
    assert analysis.undefined == 1
    assert analysis.macro_f1 == analysis.heads[1].f1


def test_head_that_never_says_yes_has_no_precision_and_says_why():
    result = only(evidence_of([1, 0], [0.0, 0.0], threshold=5.0))
    assert (result.precision, result.recall, result.f1) == (None, 0.0, 0.0)
    assert result.undefined == "no row reaches the threshold, so there is no precision"


def test_head_without_rows_is_undefined_throughout():
    analysis = analyse(evidence_of([], []))
    assert analysis.heads[0].undefined == "no labelled rows"
    assert analysis.macro_f1 is None
    json.dumps(analysis.to_json(), allow_nan=False)


def test_scarcest_head_comes_first_and_ties_go_by_name():
    heads = [
        evidence_of([1, 1, 0], [1, 1, 1], name="common"),
        evidence_of([1, 0, 0], [1, 1, 1], name="b-rare"),
        evidence_of([1, 0, 0], [1, 1, 1], name="a-rare"),
    ]
    assert [head.name for head in analyse(*heads).heads] == ["a-rare", "b-rare", "common"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), data=st.data())
def test_order_of_rows_and_of_heads_does_not_matter(seed, data):
    heads = [random_evidence(seed + number, name=f"head{number}") for number in range(3)]
    shuffled = []
    for head in data.draw(st.permutations(heads)):
        order = np.random.default_rng(seed).permutation(len(head.labels))
        images = tuple(head.images[row] for row in order)
        shuffled.append(
            HeadEvidence(
                head.name,
                head.label,
                head.threshold,
                head.labels[order],
                head.logits[order],
                images,
                head.seconds,
            )
        )
    assert analyse(*shuffled) == analyse(*heads)


def test_macro_f1_is_the_mean_over_heads():
    analysis = analyse(random_evidence(3, name="one"), random_evidence(4, name="two"))
    assert analysis.macro_f1 == pytest.approx(np.mean([head.f1 for head in analysis.heads]))
    assert analysis.undefined == 0


@pytest.mark.parametrize(
    ("labels", "logits", "threshold", "what"),
    [
        ([1, 0], [np.nan, 0.0], 0.0, "finite logits"),
        ([1, 0], [1e300, 0.0], 0.0, "finite logits"),
        ([1, 0], [0.0, 0.0], np.inf, "a finite threshold"),
        ([1, 0], [0.0, 0.0], np.nan, "a finite threshold"),
        ([1, -1], [0.0, 0.0], 0.0, "labels of 0 or 1"),
        ([1, 0], [0.0], 0.0, "of one length"),
    ],
)
def test_damaged_scores_are_refused_in_one_line(labels, logits, threshold, what):
    with pytest.raises(ArtefactError, match=what) as caught:
        analyse(evidence_of(labels, logits, threshold=threshold))
    assert "crack" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_head_and_a_head_named_twice_are_refused():
    with pytest.raises(RecipeError, match="no head"):
        analyse()
    with pytest.raises(RecipeError, match="twice: crack"):
        analyse(random_evidence(0), random_evidence(1))


def test_choices_of_argmax_are_published_with_the_heads():
    choices = Choices.of(("crack",), [[1], [0], [-1]], [0, 0, 1])
    value = analyse(random_evidence(0), mode="argmax", choices=choices).to_json()
    assert list(value) == ["ensemble", "mode", "macro_f1", "heads", "accuracy", "confusion"]
    assert value["accuracy"] == 0.5
    confusion = value["confusion"]
    assert confusion["labels"] == ["crack", "none"]
    assert (confusion["matrix"], confusion["left_out"]) == ([[1, 0], [1, 0]], 1)
    assert [each["recall"] for each in confusion["classes"]] == [1, 0]
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_rows_are_text_and_leave_out_what_says_nothing():
    plain = analyse(random_evidence(0)).rows()
    assert "label" not in plain[0]
    assert "note" not in plain[0]
    damaged = analyse(
        evidence_of([0, 0], [1.0, 2.0], label="Riss $1"), random_evidence(1, name="inactive")
    ).rows()
    assert "label" in damaged[0]
    table = [dict(zip(damaged[0], row, strict=True)) for row in damaged[1:]]
    assert table[0]["label"] == "Riss $1"
    assert table[0]["F1 (95 % interval)"] == "undefined"
    assert table[0]["note"] == "no positive among 2 labelled rows"
    assert (table[1]["label"], table[1]["note"]) == ("", "")
    assert all(isinstance(cell, str) for row in damaged for cell in row)


def test_tables_hold_every_digit_and_the_same_as_json(tmp_path):
    analysis = analyse(random_evidence(0), evidence_of([0], [1.0], name="inactive"))
    paths = write_tables(tmp_path / "new", analysis)
    assert [path.name for path in paths] == ["metrics.csv", "metrics.json"]
    assert json.loads(paths[1].read_text()) == analysis.to_json()
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["inactive", "crack"]
    for row, head in zip(rows, analysis.heads, strict=True):
        test = head.to_json()["test"]
        assert {key: row[key] for key in test} == {
            key: "" if value is None else str(value) for key, value in test.items()
        }
        assert float(row["threshold"]) == head.threshold
    assert [row["seconds"] for row in rows] == ["", "12.5"]


def test_label_that_looks_like_a_formula_is_neutralised_in_csv_only(tmp_path):
    formula = '=HYPERLINK("http://example.org")'
    analysis = analyse(evidence_of([1, 0], [1.0, -1.0], threshold=-0.5, label=formula))
    table, document = write_tables(tmp_path, analysis)
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["label"] == f"'{formula}"
    assert row["threshold"] == "-0.5"  # a number stays a number
    assert json.loads(document.read_text())["heads"][0]["label"] == formula
