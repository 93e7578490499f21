from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import fbeta_score

from ova.errors import RecipeError
from ova.heads.threshold_objectives import Budget, Cost, FBeta, Floor, at_odds, parse_objective


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("f1", FBeta(1)),
        ("f2", FBeta(2)),
        (" f0.5 ", FBeta(0.5)),
        ("cost 10:1", Cost(10, 1)),
        ("cost 2.5 : 0.5", Cost(2.5, 0.5)),
        ("recall >= 0.9", Floor("recall", 0.9)),
        ("precision>=0.8", Floor("precision", 0.8)),
        ("alarms <= 0.05", Budget(0.05)),
    ],
)
def test_forms(text, objective):
    assert parse_objective(text) == objective


@pytest.mark.parametrize(
    "text",
    [
        "",
        "F1",
        "f",
        "f-1",
        "accuracy",
        "recall > 0.9",
        "recall >= 90%",
        "alarms >= 0.1",
        "cost 10",
        "f1 f2",
        "f1e3",
    ],
)
def test_other_texts_are_refused_with_the_forms(text):
    with pytest.raises(RecipeError, match=r"recall >= 0\.9"):
        parse_objective(text)


@pytest.mark.parametrize(
    "text", ["f0", "f101", "cost 0:1", "cost 1:0", "recall >= 1", "precision >= 0", "alarms <= 1.5"]
)
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(RecipeError, match="objective"):
        parse_objective(text)


@pytest.mark.parametrize("beta", [0.3, 1, 2])
def test_f_beta_is_that_of_scikit_learn(beta):
    tp, fp, fn, tn = 7, 3, 2, 30
    truth = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
    answers = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    cells = (np.array([float(cell)]) for cell in (tp, fp, fn, tn))
    assert FBeta(beta)(*cells)[0] == pytest.approx(fbeta_score(truth, answers, beta=beta))


def test_cost_is_the_price_per_row():
    cells = (np.array([float(cell)]) for cell in (7, 3, 2, 30))
    assert Cost(10, 1)(*cells)[0] == pytest.approx(-(2 * 10 + 3) / 42)


def test_at_other_odds_every_positive_counts_for_more():
    draw = np.random.default_rng(0)
    truth, flagged = draw.random(200) < 0.3, draw.random(200) < 0.4
    cells = [
        np.array(float((a & b).sum()))
        for a, b in ((truth, flagged), (~truth, flagged), (truth, ~flagged), (~truth, ~flagged))
    ]
    repeated = np.concatenate([np.repeat(truth[truth], 3), truth[~truth]])
    answers = np.concatenate([np.repeat(flagged[truth], 3), flagged[~truth]])
    for beta in (1.0, 2.0):
        moved = at_odds(FBeta(beta), 3.0)
        assert isinstance(moved, FBeta)
        assert moved(*cells) == pytest.approx(fbeta_score(repeated, answers, beta=beta))
    assert at_odds(Cost(10, 1), 3.0) == Cost(30, 1)
    with pytest.raises(RecipeError, match="--unlabeled"):
        at_odds(Budget(0.1), 3.0)
