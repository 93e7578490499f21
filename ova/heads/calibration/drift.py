"""Move finished heads to the prior of images that nobody has labelled, from their scores; no training.

Acts only where the evidence is plain: the interval of the new prior leaves out the one in use, about twenty
positives are among the images, and the new scores can be a mixture of the old positives and negatives. If
they cannot, something else than the prior has changed, and only labels help.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.digests import digest_arrays
from ova.errors import ArtefactError
from ova.heads.calibration.calibrate_run import Training, calibration_inputs, read_calibration, test_rows
from ova.heads.calibration.calibrate_scores import calibrate_for
from ova.heads.calibration.calibration import Adaptation, Calibration
from ova.heads.calibration.prior_shift import (
    mixture_p_value,
    most_likely_prior,
    prior_deviation,
    read_unlabeled,
)
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.guarantees import guaranteed_threshold
from ova.heads.recipe import KEPT_DEFAULT, CalibrationSettings, read_head_recipe
from ova.heads.runs import RunFolder, current_run
from ova.heads.scores import Scores
from ova.heads.threshold_objectives import Budget, parse_objective
from ova.storage import read_json, write_json
from ova.workspace import Workspace

_FEWEST_EXPECTED = 20.0
_NORMAL_95 = 1.959963984540054
_NOT_A_MIXTURE = 0.001


@dataclass(frozen=True)
class Drift:
    """What unlabelled scores say about one head, and what was done."""

    head: str
    acted: bool
    """Whether a new calibration was written."""
    told: str
    """What was done or why not, in words."""
    rows: int
    """Unlabelled rows."""
    prior_before: float
    prior: float | None = None
    """The most likely prior of the unlabelled rows."""
    prior_low: float | None = None
    prior_high: float | None = None
    """Interval (95 %) of it."""
    mixture_p_value: float | None = None
    """Small if more than the prior has changed."""
    threshold_before: float = 0.0
    threshold: float = 0.0
    """The one in use now."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def adapt_heads(workspace: Workspace, table: Path, names: Sequence[str] = ()) -> list[Drift]:
    """Move heads to the prior of unlabelled images, where the scores say so.

    Args:
        workspace: Where the heads lie.
        table: Scores of the images as CSV; see `ova.heads.calibration.prior_shift.read_unlabeled`.
        names: Heads; all trained heads of which the table has scores if empty.

    Raises:
        ArtefactError: A head is not trained or not calibrated, or its files are damaged.
        DataError: The table has no scores of a named head, or a cell is not a number.
    """
    trained = workspace.trained_heads()
    if not (names or trained):
        raise ArtefactError("no head is trained yet; run: ova train")
    labels = {name: read_head_recipe(workspace, name).label for name in names or trained}
    found = read_unlabeled(table, labels, all_of_them=bool(names))
    tested = test_rows(workspace)
    return [_adapt(workspace, name, logits, tested) for name, logits in found.items()]


def _adapt(workspace: Workspace, name: str, unlabeled: NDArray[np.float64], tested: Set[str]) -> Drift:
    run = current_run(workspace, name)
    record = run.read_record()
    before = read_calibration(run, record)
    settings = read_head_recipe(workspace, name).calibration
    scores, training = calibration_inputs(run, record, tested)
    drift, prior = judge_drift(name, scores, training, before, unlabeled)
    if prior is None:
        return drift
    adapted = adapt(scores, training, settings, prior, unlabeled)
    old = run.next_old_calibration()
    adaptation = Adaptation(
        rows=drift.rows,
        prior_before=before.prior,
        prior_low=drift.prior_low or 0.0,
        prior_high=drift.prior_high or 0.0,
        scores_digest=digest_arrays({"scores": np.sort(unlabeled)}),
        replaced=old.name,
    )
    return _store(run, old, replace(adapted, adaptation=adaptation).bound_to(record.weights_digest), drift)


def judge_drift(
    name: str, scores: Scores, training: Training, before: Calibration, unlabeled: NDArray[np.float64]
) -> tuple[Drift, float | None]:
    """Estimate the prior of unlabelled scores and decide whether to act on it.

    Args:
        name: The head.
        scores: Its calibration rows.
        training: What calibration must know of its training.
        before: The calibration in use.
        unlabeled: (n,) raw logits, n >= 1.

    Returns:
        What was found, and the prior to move to; None if nothing is to be done.
    """
    base = calibrate_for(scores.logits, scores.labels, training.threshold_task())
    drift = Drift(
        head=name,
        acted=False,
        told="",
        rows=unlabeled.size,
        prior_before=before.prior,
        threshold_before=before.threshold,
        threshold=before.threshold,
    )
    if base.method == KEPT_DEFAULT:
        return replace(drift, told=f"unchanged: the head itself is not calibrated ({base.note})"), None
    mean = float(base.probability(scores.logits).mean())
    prior, deviation = most_likely_prior(base.calibrated(unlabeled), mean)
    uncertain = prior_deviation(scores.logits, scores.labels, unlabeled, training.shift, training.proper)
    spread = _NORMAL_95 * math.hypot(deviation, uncertain)
    fit = mixture_p_value(scores.logits, scores.labels, unlabeled, prior)
    drift = replace(
        drift,
        prior_before=before.prior if before.adaptation else mean,
        prior=prior,
        prior_low=max(0.0, prior - spread),
        prior_high=min(1.0, prior + spread),
        mixture_p_value=fit,
    )
    why_not = _why_not(drift)
    return (replace(drift, told=f"unchanged: {why_not}"), None) if why_not else (drift, prior)


def _why_not(drift: Drift) -> str | None:
    assert drift.prior is not None and drift.mixture_p_value is not None  # noqa: S101, PT018
    low, high = drift.prior_low or 0.0, drift.prior_high or 0.0
    between = f"{low:.3g} to {high:.3g} (95 %, {drift.rows} images)"
    if drift.mixture_p_value < _NOT_A_MIXTURE:
        return (
            "the new scores are no mixture of the known positives and negatives (p = "
            f"{drift.mixture_p_value:.1g}), so this is not a prior shift; collect labels of the new images"
        )
    if drift.rows * drift.prior < _FEWEST_EXPECTED:
        return (
            f"about {drift.rows * drift.prior:.0f} positives among {drift.rows} images are too few to tell, "
            f"{_FEWEST_EXPECTED:.0f} are needed"
        )
    if low <= drift.prior_before <= high:
        return f"the prior in use, {drift.prior_before:.3g}, lies within {between}"
    if drift.prior >= 1.0:
        return "every image seems to be positive; collect labels of the new images"
    return None


def adapt(
    scores: Scores,
    training: Training,
    settings: CalibrationSettings,
    prior: float,
    unlabeled: NDArray[np.float64],
) -> Calibration:
    """Calibrate a head for another prior, with the objective of its recipe.

    Args:
        scores: Its calibration rows.
        training: What calibration must know of its training.
        settings: What the threshold is to be best at.
        prior: Share of positives where it will work, above 0, below 1.
        unlabeled: (n,) raw logits from there; a budget of alarms is kept on these.
    """
    aim = parse_objective(settings.objective)
    if not isinstance(aim, Budget):
        return calibrate_for(scores.logits, scores.labels, training.threshold_task(settings, prior))
    # What share of the images is flagged needs no labels: the promise is made on the new scores themselves.
    plain = replace(training.threshold_task(prior=prior), confidence=settings.confidence)
    moved = calibrate_for(scores.logits, scores.labels, plain)
    kept = guaranteed_threshold(Ranking.of_unlabeled(unlabeled), aim, settings.confidence)
    return replace(
        moved,
        threshold=kept.threshold,
        objective=settings.objective,
        f1=None,
        note=kept.note,
        threshold_low=None,
        threshold_high=None,
    )


def _store(run: RunFolder, old: Path, calibration: Calibration, drift: Drift) -> Drift:
    """Keep the old calibration first, so that it is never lost, then put the new one in its place."""
    write_json(old, read_json(run.calibration))
    write_json(run.calibration, calibration.to_json())
    told = (
        f"prior {drift.prior_before:.3g} -> {calibration.prior:.3g} ({drift.prior_low or 0:.3g} to "
        f"{drift.prior_high or 0:.3g}, 95 %, {drift.rows} images), threshold {drift.threshold_before:.4f} -> "
        f"{calibration.threshold:.4f}; weights untouched, the old calibration is {old.name}; export again"
    )
    return replace(drift, acted=True, told=told, threshold=calibration.threshold)
