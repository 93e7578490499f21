"""One class per image among heads that were trained unlike each other, for benchmarks/thresholds.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.metrics import f1_score

from ova.ensembles.rule.argmax import choose, couple, none_prior_of
from ova.heads.calibration.calibrate_scores import calibrate_scores

SHARES = np.array([0.15, 0.08, 0.05, 0.02])
NONE = len(SHARES)
WEIGHTS = (1 - SHARES) / SHARES

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class UnlikeHeads:
    """A head per class, each with its own power, slope and bias, trained with pos_weight.

    A head's logit is slope * (log odds of its class by its own view, + log pos_weight) + bias.
    """

    distances: Scores
    slopes: Scores
    biases: Scores

    @classmethod
    def make(cls, draw: np.random.Generator) -> UnlikeHeads:
        """Draw heads."""
        return cls(draw.uniform(2.2, 3.2, NONE), draw.uniform(0.7, 2.5, NONE), draw.normal(0, 0.7, NONE))

    def logits(self, classes: NDArray[np.int64], draw: np.random.Generator) -> Scores:
        """Score images of these classes (n,): (n, K)."""
        own = classes[:, None] == np.arange(NONE)
        view = draw.normal(np.where(own, self.distances / 2, -self.distances / 2))
        return self.slopes * (self.distances * view + logit(SHARES) + np.log(WEIGHTS)) + self.biases


def argmax_mode(repeats: int, seed: int) -> dict[str, float]:
    """Compare odds coupling with the largest raw sigmoid (none below one half).

    70 % of the images have none of four classes of 15, 8, 5 and 2 %. Each repeat draws heads, calibrates them
    on 400 images and tests on 20,000.
    """
    found: dict[str, list[float]] = {name: [] for name in ("raw", "raw_f1", "coupled", "coupled_f1")}
    for repeat in range(repeats):
        draw = np.random.default_rng([seed, repeat])
        heads = UnlikeHeads.make(draw)
        fit, test = (draw.choice(NONE + 1, size, p=[*SHARES, 1 - SHARES.sum()]) for size in (400, 20_000))
        fit_logits, test_logits = heads.logits(fit, draw), heads.logits(test, draw)
        raw = np.where(test_logits.max(axis=1) < 0, NONE, test_logits.argmax(axis=1))
        for name, answer in (("raw", raw), ("coupled", _coupled(fit_logits, fit, test_logits))):
            found[name].append(float((answer == test).mean()))
            found[f"{name}_f1"].append(
                float(f1_score(test, answer, labels=range(NONE), average="macro", zero_division=0))
            )
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    return {
        "accuracy": mean["coupled"],
        "accuracy_of_raw_sigmoid": mean["raw"],
        "accuracy_gain": mean["coupled"] - mean["raw"],
        "macro_f1": mean["coupled_f1"],
        "macro_f1_of_raw_sigmoid": mean["raw_f1"],
        "macro_f1_gain": mean["coupled_f1"] - mean["raw_f1"],
    }


def _coupled(fit_logits: Scores, classes: NDArray[np.int64], test_logits: Scores) -> NDArray[np.int64]:
    labels = (classes[:, None] == np.arange(NONE)).astype(np.int8)
    heads = [
        calibrate_scores(fit_logits[:, k], labels[:, k], pos_weight=float(WEIGHTS[k])) for k in range(NONE)
    ]
    calibrated = [head.calibrated(test_logits[:, k]) for k, head in enumerate(heads)]
    priors = [head.prior for head in heads]
    return choose(couple(np.column_stack(calibrated), priors, none_prior_of(labels)))
