"""Micro F1 over heads, against a search of all thresholds."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored import Scored
from sklearn.metrics import f1_score

from ova.ensembles.rule.micro_f1 import best_micro_f1, micro_thresholds
from ova.ensembles.rule.rows import ThresholdedHead
from ova.errors import DataError
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibration import Adaptation
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold
from ova.heads.recipe import KEPT_DEFAULT, CalibrationSettings
from ova.heads.scores import Scores


def scored(name, seed, positives, rows=300, power=3.0, method="auto"):
    draw = np.random.default_rng(seed)
    labels = (np.arange(rows) < positives).astype(np.int8)
    logits = draw.normal(power * labels - power / 2, 1.2).astype(np.float32).astype(np.float64)
    scores = Scores(tuple(f"{row:03d}" for row in range(rows)), labels, logits)
    chosen = choose_threshold(logits, labels, ThresholdTask(method=method))
    free = chosen.method != KEPT_DEFAULT
    return ThresholdedHead(name, ThresholdTask(method=method), scores, chosen.threshold, free)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=7), st.integers(0, 99))
def test_it_is_the_best_of_all_thresholds(rows, seed):
    draw = np.random.default_rng(seed)
    tables = [(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))]
    tables.append((draw.integers(-2, 3, 6), draw.random(6) < 0.4))
    for _, labels in tables:
        labels[0] = True
    best = 0.0
    for cuts in product(*([*np.unique(scores), 99] for scores, _ in tables)):
        tp = sum(((s >= cut) & y).sum() for (s, y), cut in zip(tables, cuts, strict=True))
        flagged = sum((s >= cut).sum() for (s, _), cut in zip(tables, cuts, strict=True))
        best = max(best, 2 * tp / (flagged + sum(y.sum() for _, y in tables)))
    found = best_micro_f1([Ranking.of(s, y) for s, y in tables], np.zeros(3))
    assert found == pytest.approx(best, abs=1e-12)


def test_thresholds_of_the_exact_method_reach_it():
    heads = [scored("a", 1, 24, method="argmax"), scored("b", 2, 90, power=2, method="argmax")]
    found = micro_thresholds(heads)
    truth = np.concatenate([head.scores.labels for head in heads])
    flagged = np.concatenate([h.scores.logits >= t for h, t in zip(heads, found.thresholds, strict=True)])
    best = best_micro_f1([Ranking.of(h.scores.logits, h.scores.labels) for h in heads], np.zeros(3))
    assert f1_score(truth, flagged) == pytest.approx(best)
    assert f"{best:.3f} on calibration rows" in found.note
    assert [float(np.float32(cut)) for cut in found.thresholds] == list(found.thresholds)


def test_a_hard_rare_label_gives_way_to_the_common_one():
    heads = [scored("easy", 3, 90, power=4.0), scored("hard", 4, 12, power=1.0)]
    easy, hard = micro_thresholds(heads).thresholds
    assert hard > heads[1].threshold  # fewer false alarms than its own F1 would take
    assert abs(easy - heads[0].threshold) < 1.0


def test_a_head_without_calibration_keeps_its_threshold_and_is_counted():
    few = scored("few", 5, 2)
    with pytest.raises(DataError, match="too few positives"):
        micro_thresholds([few])
    alone = micro_thresholds([scored("a", 6, 60)])
    both = micro_thresholds([few, scored("a", 6, 60)])
    assert both.thresholds[0] == few.threshold
    assert both.thresholds[1] != alone.thresholds[0]


def test_a_head_of_another_loss_is_judged_with_the_priors_of_its_own_calibration():
    """Focal and asymmetric losses shift logits by an unknown amount, so their priors are wide."""
    plain = scored("odd", 7, 8, power=2.0, method="plugin")
    weighed = replace(plain, task=replace(plain.task, pos_weight=40.0))
    odd = replace(plain, task=replace(weighed.task, proper_loss=False))
    objective = "cost 1.4:0.6"
    for head in (weighed, odd):
        own = calibrate_scores(
            head.scores.logits,
            head.scores.labels,
            pos_weight=40.0,
            proper_loss=head.task.proper_loss,
            objective=objective,
            method="plugin",
        )
        assert head.choose(objective) == own.threshold
    other = scored("other", 8, 60)
    proper, wide = (micro_thresholds([head, other]).thresholds[0] for head in (weighed, odd))
    assert abs(proper - wide) > 0.1


def test_a_head_that_decides_alone_is_taken_as_it_was_calibrated():
    alone = scored("a", 9, 60)
    calibration = calibrate_scores(alone.scores.logits, alone.scores.labels, pos_weight=3.0)
    head = Scored("a", calibration, CalibrationSettings(), alone.scores, proper_loss=False)
    judged = ThresholdedHead.of(head)
    assert (judged.threshold, judged.free, judged.task.prior) == (calibration.threshold, True, None)
    assert (judged.task.pos_weight, judged.task.proper_loss) == (3.0, False)
    moved = replace(calibration, adaptation=Adaptation(100, 0.2, 0.3, 0.4, "d", "before.json"))
    assert ThresholdedHead.of(replace(head, calibration=moved)).task.prior == calibration.prior
    assert not ThresholdedHead.of(replace(head, calibration=replace(calibration, method="default"))).free
