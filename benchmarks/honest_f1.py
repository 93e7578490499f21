"""How far apparent and nested F1 are from the truth, on score families of which the truth is known.

    python benchmarks/honest_f1.py [--samples 100] [--method auto] [--json]

24 positives of 400 rows. Bias is the mean of (estimate - population F1 at the threshold that was chosen on
all rows); coverage is how often the interval of the nested F1 holds that F1.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import numpy as np
from families import CHOSEN_ON, Family

from ova.analysis.measures.f1 import nested_f1
from ova.heads.calibration.calibrate_scores import calibrate_scores

POSITIVES, ROWS = 24, 400


def measure(family: Family, samples: int, method: str) -> dict[str, float]:
    """Return mean biases and coverage on one family."""
    rule = partial(calibrate_scores, method=method)
    groups = [f"{row:03d}" for row in range(ROWS)]
    labels = (np.arange(ROWS) < POSITIVES).astype(np.int8)
    found = []
    for seed in range(samples):
        scores = family.draw(POSITIVES, ROWS - POSITIVES, np.random.default_rng([seed, 7]))
        calibration, nested = rule(scores, labels), nested_f1(scores, labels, groups, rule)
        true = float(family.f1(calibration.threshold, POSITIVES / ROWS))
        assert calibration.f1 is not None
        assert nested.value is not None
        assert nested.low is not None
        assert nested.high is not None
        found.append((calibration.f1 - true, nested.value - true, nested.low <= true <= nested.high))
    apparent, honest, covered = np.mean(found, axis=0).tolist()
    return {"apparent_bias": apparent, "nested_bias": honest, "coverage": covered}


def main() -> None:
    """Measure all families, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    result = {name: measure(family, chosen.samples, chosen.method) for name, family in CHOSEN_ON.items()}
    means = {key: float(np.mean([each[key] for each in result.values()])) for key in result["skewed"]}
    result["mean"] = means
    if chosen.json:
        print(json.dumps(result))
        return
    for name, each in result.items():
        print(f"{name:18} " + "  ".join(f"{key} {value:+.4f}" for key, value in each.items()))


if __name__ == "__main__":
    main()
