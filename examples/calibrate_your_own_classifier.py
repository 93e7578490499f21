"""Calibrate a scikit-learn classifier that was trained with weighted classes: threshold and probabilities.

Weighting the rare class helps a classifier to learn it, but it also makes every probability too high, and 0.5
a poor threshold. `ova.calibrate_scores` is told the weight, and finds out the rest on held-out rows.
"""

from __future__ import annotations

from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from sklearn.model_selection import train_test_split

import ova


def main() -> None:
    """Train on two fifths, calibrate on 1,800 other rows, and measure on the last 1,800."""
    # One row in twenty is positive. Your own features and classifier go here.
    rows, labels = make_classification(
        6000,
        weights=[0.95],
        n_informative=5,
        n_redundant=0,
        n_clusters_per_class=1,
        class_sep=1.2,
        flip_y=0,
        random_state=2,
    )
    train, rest, train_labels, rest_labels = train_test_split(
        rows, labels, test_size=0.6, stratify=labels, random_state=0
    )
    held_out, test, held_out_labels, test_labels = train_test_split(
        rest, rest_labels, test_size=0.5, stratify=rest_labels, random_state=0
    )
    weight = float((train_labels == 0).sum() / (train_labels == 1).sum())
    model = LogisticRegression(class_weight={0: 1, 1: weight}).fit(train, train_labels)

    # Scores are log odds; where a classifier gives probabilities only, take log(p / (1 - p)).
    held_out_scores, test_scores = model.decision_function(held_out), model.decision_function(test)
    calibration = ova.calibrate_scores(held_out_scores, held_out_labels, pos_weight=weight)
    print(f"weight of the positives {weight:.1f}, share of positives in the test {test_labels.mean():.3f}")
    raw, calibrated = model.predict_proba(test)[:, 1], calibration.probability(test_scores)
    print(f"mean probability: raw {raw.mean():.3f}, calibrated {calibrated.mean():.3f}")
    before = f1_score(test_labels, raw >= 0.5)
    after = f1_score(test_labels, calibration.decide(test_scores))
    print(f"test F1: {before:.3f} at 0.5, {after:.3f} at the threshold of ova")

    # A promise about rows that are still to come: nine of ten positives, with 95 % confidence.
    promise = ova.calibrate_scores(
        held_out_scores, held_out_labels, pos_weight=weight, objective="recall >= 0.9"
    )
    flagged = promise.decide(test_scores)
    recall = recall_score(test_labels, flagged)
    print(f"recall >= 0.9: test recall {recall:.3f}, {flagged.mean():.3f} of the rows flagged")
    if promise.note:  # too few positives to promise that much
        print(promise.note)


if __name__ == "__main__":
    main()
