"""How much F1 a threshold rule loses, how true the probabilities are, and what coupling gains.

For score families whose truth is known, each rule sees one calibration sample and is charged the population
F1 that its threshold loses against the best one (regret). Limit: the exact empirical optimum (`argmax`),
which every tool that sweeps a grid searches, too; scikit-learn's `TunedThresholdClassifierCV` runs beside it.

    python benchmarks/thresholds.py            tables
    python benchmarks/thresholds.py --json     one JSON object
    python benchmarks/thresholds.py --repeats 1000   finer; 400 are usual
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from families import CHOSEN_ON, OTHERS, Family
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from threshold_measures import SEED, excess_log_loss, regrets
from unlike_heads import argmax_mode

from ova.heads.calibration.calibrate_scores import calibrate_scores


def hundred_heads(workers: int) -> dict[str, float]:
    """Return the seconds to calibrate 100 heads on 100,000 scores each, and what sorting them alone takes."""
    draw = np.random.default_rng([SEED, 3])
    tables = []
    for number in range(100):
        positives = (24, 1_000, 22_000)[number % 3]
        labels = np.repeat([1, 0], [positives, 100_000 - positives])
        tables.append((draw.normal(4.0 * labels - 2.0, 1.6), labels))
    pool = Parallel(n_jobs=workers, prefer="threads")
    with threadpool_limits(1):  # threads of threads would only get in each other's way
        started = time.perf_counter()
        pool(delayed(np.sort)(scores) for scores, _ in tables)
        sorted_at = time.perf_counter()
        pool(delayed(calibrate_scores)(*table) for table in tables)
    return {"seconds": time.perf_counter() - sorted_at, "seconds_of_sorting": sorted_at - started}


def over_families(
    measure: Callable[..., dict[str, float]],
    families: Mapping[str, Family],
    size: str,
    repeats: int,
    pool: Parallel,
) -> dict[str, dict[str, Any]]:
    """Return mean, worst and the worst family of every rule."""
    found = pool(delayed(measure)(family, name, size, repeats) for name, family in families.items())
    results = dict(zip(families, found, strict=True))
    table = {}
    for rule in next(iter(results.values())):
        values = {name: each[rule] for name, each in results.items()}
        worst = max(values, key=values.__getitem__)
        table[rule] = {"mean": float(np.mean(list(values.values()))), "worst": values[worst], "where": worst}
    return table


def main() -> None:
    """Run everything and print tables, or one JSON object."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--repeats", type=int, default=400, help="samples per family at 24/400")
    chosen = options.parse_args()
    workers = os.cpu_count() or 1
    result: dict[str, Any] = {}
    with Parallel(n_jobs=workers) as pool:
        for size, share in (("24/400", 1.0), ("122/2000", 0.4)):
            repeats = max(2, round(share * chosen.repeats))
            result[size] = over_families(regrets, CHOSEN_ON, size, repeats, pool)
            result[f"{size} others"] = over_families(regrets, OTHERS, size, repeats, pool)
        repeats = max(2, chosen.repeats // 8)
        result["excess_log_loss"] = over_families(excess_log_loss, CHOSEN_ON, "24/400", repeats, pool)
        result["excess_log_loss others"] = over_families(excess_log_loss, OTHERS, "24/400", repeats, pool)
    result["argmax_mode"] = argmax_mode(max(2, chosen.repeats // 20), SEED)
    result["hundred_heads"] = hundred_heads(workers)
    if chosen.json:
        print(json.dumps(result, indent=2))
        return
    for title, table in result.items():
        print(f"\n{title}")
        for name, values in table.items():
            if isinstance(values, dict):
                print(
                    f"  {name:20} mean {values['mean']:.4f}  worst {values['worst']:.4f}  {values['where']}"
                )
            else:
                print(f"  {name:24} {values:.4f}")


if __name__ == "__main__":
    main()
