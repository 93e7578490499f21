"""What benchmarks/thresholds.py measures on one score family; a module, so that workers import it."""

from __future__ import annotations

import numpy as np
from families import Family
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import TunedThresholdClassifierCV

from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold

SIZES = {"24/400": (24, 400), "122/2000": (122, 2000)}
SEED = 2026
RULES = ("auto", "argmax", "bagged", "plugin")
# scikit-learn's tuner takes 0.15 s, ours 0.002 to 0.005 s: it runs on the first samples only.
TUNED = 25

Scores = NDArray[np.float64]


class Scored(ClassifierMixin, BaseEstimator):
    """A classifier whose only feature is the logit of a trained head."""

    def fit(self, rows: Scores, labels: NDArray[np.int64]) -> Scored:
        """Remember the classes; the head is trained already."""
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, rows: Scores) -> Scores:
        """Sigmoid of the logit."""
        positive = expit(rows[:, 0])
        return np.column_stack([1 - positive, positive])

    def predict(self, rows: Scores) -> NDArray[np.int64]:
        """Decide at 0.5."""
        return (rows[:, 0] >= 0).astype(int)


def tuned_by_scikit_learn(scores: Scores, labels: NDArray[np.int64]) -> float:
    """Return the logit at which scikit-learn's tuner cuts a head that is trained already."""
    head = FrozenEstimator(Scored().fit(scores[:, None], labels))
    tuned = TunedThresholdClassifierCV(head, scoring="f1", cv="prefit", refit=False)
    with np.errstate(divide="ignore"):
        return float(logit(tuned.fit(scores[:, None], labels).best_threshold_))


def regrets(family: Family, name: str, size: str, repeats: int) -> dict[str, float]:
    """Return the mean regret of every rule on one family."""
    positives, rows = SIZES[size]
    labels = np.repeat([1, 0], [positives, rows - positives])
    weight = (rows - positives) / positives
    chosen: dict[str, list[float]] = {rule: [] for rule in (*RULES, "tuned_threshold_cv")}
    draw = np.random.default_rng([SEED, positives, *name.encode()])
    for repeat in range(repeats):
        scores = family.draw(positives, rows - positives, draw)
        for rule in RULES:
            chosen[rule].append(
                choose_threshold(scores, labels, ThresholdTask(weight, method=rule)).threshold
            )
        if repeat < TUNED:
            chosen["tuned_threshold_cv"].append(tuned_by_scikit_learn(scores, labels))
    prior = positives / rows
    best = family.best_f1(prior)
    losses = {rule: best - float(family.f1(cuts, prior).mean()) for rule, cuts in chosen.items()}
    return losses | {"one half": best - float(family.f1(0.0, prior))}


def excess_log_loss(family: Family, name: str, size: str, repeats: int) -> dict[str, float]:
    """Return nats per row above the true posterior, of calibrated, isotonic and raw probabilities."""
    positives, rows = SIZES[size]
    prior, labels = positives / rows, np.repeat([1, 0], [positives, rows - positives])
    draw = np.random.default_rng([SEED, 1, positives, *name.encode()])
    test = family.draw(4_000, 16_000, draw)
    weights = np.repeat([prior / 4_000, (1 - prior) / 16_000], [4_000, 16_000])
    truth = np.repeat([True, False], [4_000, 16_000])
    least = 1e-12

    def loss(probability: Scores) -> float:
        clipped = np.clip(probability, least, 1 - least)
        return float(-np.sum(weights * np.log(np.where(truth, clipped, 1 - clipped))))

    found: dict[str, list[float]] = {"calibrated": [], "isotonic": [], "raw": [loss(expit(test))] * repeats}
    for _ in range(repeats):
        scores = family.draw(positives, rows - positives, draw)
        calibration = calibrate_scores(scores, labels, pos_weight=(rows - positives) / positives)
        found["calibrated"].append(loss(calibration.probability(test)))
        smooth = (np.arange(rows) < positives) * (1 - 2 / rows) + 1 / rows  # no log of 0 for isotonic
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(scores, smooth)
        found["isotonic"].append(loss(isotonic.predict(test)))
    floor = loss(family.posterior(test, prior))
    return {name: float(np.mean(losses)) - floor for name, losses in found.items()}
