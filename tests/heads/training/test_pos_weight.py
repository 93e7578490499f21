"""What is done against few positives, said as counts, a weight and a shift of the logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from ova.errors import DataError, RecipeError
from ova.heads.recipe import BalanceSettings
from ova.heads.training.pos_weight import Balance, plan_balance


def rows(negatives: int, positives: int) -> np.ndarray:
    return np.array([0] * negatives + [1] * positives, np.int8)


def plan(negatives: int, positives: int, **settings: Any) -> Balance:
    return plan_balance(rows(negatives, positives), BalanceSettings(**settings))


@pytest.mark.parametrize(
    ("settings", "weight", "per_epoch"),
    [
        ({}, 9, (900, 100)),
        ({"pos_weight": "sqrt"}, 3, (900, 100)),
        ({"pos_weight": "none"}, 1, (900, 100)),
        ({"pos_weight": 2.5}, 2.5, (900, 100)),
        ({"pos_weight_cap": 4.0}, 4, (900, 100)),
        ({"pos_weight_cap": 40.0}, 9, (900, 100)),
        ({"pos_weight": "sqrt", "pos_weight_cap": 2.0}, 2, (900, 100)),
        ({"sampler": "balanced"}, 1, (900, 900)),
        ({"sampler": "sqrt"}, 3, (900, 300)),
        ({"sampler": "sqrt", "pos_weight": "none"}, 1, (900, 300)),
        ({"sampler": 2.5}, 3.6, (900, 250)),
        ({"max_negatives": 400}, 4, (400, 100)),
        ({"max_negatives": 4000}, 9, (900, 100)),
        ({"negatives_per_positive": 1.5}, 1.5, (150, 100)),
        ({"max_negatives": 400, "sampler": "balanced"}, 1, (400, 400)),
        ({"max_negatives": 50, "sampler": "balanced"}, 0.5, (50, 100)),
        ({"prototypes": 300}, 3, (300, 100)),
        ({"prototypes": 300, "max_negatives": 200}, 2, (200, 100)),
        ({"prototypes": 3000}, 9, (900, 100)),
        ({"loss": "focal"}, 1, (900, 100)),
        ({"loss": "asymmetric", "pos_weight": 2.0}, 2, (900, 100)),
        ({"loss": "asymmetric", "sampler": "sqrt"}, 1, (900, 300)),
    ],
)
def test_the_weight_is_that_of_what_an_epoch_shows(
    settings: dict[str, Any], weight: float, per_epoch: tuple[int, int]
) -> None:
    found = plan(900, 100, **settings)
    assert found.pos_weight == pytest.approx(weight)
    assert found.per_epoch == per_epoch
    assert found.shown == sum(per_epoch)
    odds = found.pos_weight * per_epoch[1] / per_epoch[0]
    assert found.log_odds_shift == pytest.approx(math.log(odds) - math.log(100 / 900))


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from(["none", "balanced", "sqrt", 1.5, 7.0]))
def test_weight_and_sampler_together_make_classes_equal_and_no_more(
    negatives: int, positives: int, sampler: float | str
) -> None:
    found = plan(negatives, positives, sampler=sampler)
    shown = found.per_epoch
    assert found.pos_weight * shown[1] == pytest.approx(shown[0])
    assert found.log_odds_shift == pytest.approx(math.log(negatives / positives), abs=1e-9)
    assert shown >= (negatives, positives)
    if sampler == "balanced":
        assert shown[0] == shown[1] == max(negatives, positives)


def test_full_strength_is_scikit_learns_balanced_weight() -> None:
    labels = rows(37, 5)
    zero, one = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert plan_balance(labels, BalanceSettings()).pos_weight == pytest.approx(one / zero)


def test_unknown_rows_and_the_order_of_rows_are_of_no_consequence() -> None:
    labels = rows(8, 2)
    settings = BalanceSettings(sampler="sqrt", max_negatives=7)
    expected = plan_balance(labels, settings)
    shuffled = np.random.default_rng(0).permutation(np.concatenate([labels, np.full(5, -1, np.int8)]))
    assert plan_balance(shuffled, settings) == expected


def test_the_rare_class_of_each_head_gets_the_weight_whatever_value_comes_first() -> None:
    # A predecessor took weights in the order of value_counts, and labels in another: the rarest class of its toy
    # should have weighed 5.0 and got 1.25.
    classes = np.array([1, 0, 1, 2, 0, 1, 1, 0, 0, 1])
    for order in (np.arange(10), np.arange(10)[::-1], np.random.default_rng(1).permutation(10)):
        weights = [
            plan_balance((classes[order] == each).astype(np.int8), BalanceSettings()).pos_weight
            for each in range(3)
        ]
        assert weights == pytest.approx([6 / 4, 5 / 5, 9 / 1])


def test_the_shift_is_what_a_fitted_model_shows() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random(60_000) < 0.1).astype(np.int8)
    scores = generator.normal(1.5 * labels)[:, None]
    found = plan_balance(labels, BalanceSettings(sampler="sqrt", max_negatives=20_000, pos_weight=1.5))
    chosen = [
        generator.choice(np.flatnonzero(labels == label), count, replace=count > (labels == label).sum())
        for label, count in enumerate(found.per_epoch)
    ]
    seen = np.concatenate(chosen)
    weights = np.where(labels[seen] == 1, found.pos_weight, 1.0)
    plain = LogisticRegression(C=1e6).fit(scores, labels)
    moved = LogisticRegression(C=1e6).fit(scores[seen], labels[seen], sample_weight=weights)
    assert (moved.intercept_ - plain.intercept_).item() == pytest.approx(found.log_odds_shift, abs=0.1)
    assert found.log_odds_shift > 1.5


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "balanced", "pos_weight": 9.0},
        {"sampler": "balanced", "pos_weight": 1.2},
        {"sampler": "sqrt", "pos_weight": 9.0},
        {"max_negatives": 100, "pos_weight": 9.0},
        {"max_negatives": 50, "pos_weight": "none"},
        {"prototypes": 100, "pos_weight": 9.0},
        {"sampler": 20.0, "pos_weight": "none"},
        {"loss": "focal", "pos_weight": 9.0},
        {"loss": "focal", "sampler": "balanced"},
        {"loss": "asymmetric", "pos_weight": 12.0},
        {"loss": "asymmetric", "max_negatives": 100},
    ],
)
def test_correcting_twice_is_refused_unless_the_recipe_says_so(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"corrects twice.*allow_over_correction") as refused:
        plan(900, 100, **settings)
    assert "\n" not in str(refused.value)
    allowed = plan(900, 100, **settings, allow_over_correction=True)
    assert allowed.log_odds_shift >= math.log(9) - 1e-9


def test_a_large_weight_alone_is_the_users_choice() -> None:
    assert plan(900, 100, pos_weight=50.0).log_odds_shift == pytest.approx(math.log(50))


def test_a_majority_of_positives_is_balanced_the_other_way() -> None:
    found = plan(100, 900, sampler="balanced")
    assert (found.per_epoch, found.pos_weight) == ((900, 900), 1)
    with pytest.raises(RecipeError, match="corrects twice"):
        plan(100, 900, sampler="balanced", pos_weight=0.5)
    assert plan(100, 900, sampler="sqrt", pos_weight="none").per_epoch == (300, 900)
    assert plan(100, 100, sampler="balanced", loss="focal").per_epoch == (100, 100)
    assert [plan(*counts).rarer for counts in ((3, 2), (2, 3), (2, 2))] == [1, 0, 1]
    assert plan(900, 100, prototypes=50).rarer == 1  # what the training rows say, not what is left of them


@pytest.mark.parametrize(("negatives", "positives"), [(0, 5), (5, 0), (0, 0)])
def test_one_class_alone_is_refused(negatives: int, positives: int) -> None:
    with pytest.raises(DataError, match="needs both"):
        plan(negatives, positives)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, ["pos_weight 9 (auto)"]),
        ({"pos_weight_cap": 4.0}, ["pos_weight 4 (auto: 9, capped)"]),
        (
            {"sampler": "balanced"},
            [
                "pos_weight 1 (auto of what an epoch shows)",
                "sampler balanced: an epoch shows 900 positives from 100 rows",
            ],
        ),
        (
            {"max_negatives": 400, "rotate_negatives": False, "pos_weight": "none"},
            ["pos_weight 1 (none)", "cap of negatives: an epoch shows 400 of 900, the same in every epoch"],
        ),
        (
            {"prototypes": 300, "negatives_per_positive": 2.0, "augment_only": "minority"},
            [
                "pos_weight 2 (auto of what an epoch shows)",
                "prototypes: 300 of 900 negatives are trained on, one per cluster",
                "cap of negatives: an epoch shows 200 of 300, others in the next",
                "augment_only: positives alone are augmented",
            ],
        ),
        (
            {"loss": "focal", "focal_gamma": 1.5},
            [
                "pos_weight 1 (auto: the focal loss corrects already)",
                "loss: focal, gamma 1.5; validation shows cross-entropy",
            ],
        ),
        (
            {"loss": "asymmetric", "asymmetric_clip": 0.0},
            [
                "pos_weight 1 (auto: the asymmetric loss corrects already)",
                "loss: asymmetric, gamma 1 for positives and 4 for negatives, clip 0; validation shows cross-entropy",
            ],
        ),
    ],
)
def test_every_setting_is_told_in_one_line(settings: dict[str, Any], told: list[str]) -> None:
    assert list(plan(900, 100, **settings).lines) == told
