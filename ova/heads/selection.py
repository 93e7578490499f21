"""Which run of a head is the best, by how good each is on rows that it was not trained on.

Those are validation or out-of-fold rows, and never test rows. The log-loss is that of probabilities that are
made as the head's own will be, beta and isotonic curves included: a curve is chosen and fitted without the
rows that it is judged on, like the line.

Shape letter: n rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ova.data.split.split import TEST
from ova.errors import ArtefactError, DataError, RecipeError, first_few
from ova.heads.calibration.calibrate_run import calibrate_run, test_rows
from ova.heads.calibration.calibrators.choose_calibrator import choose_curve, fit_probabilities
from ova.heads.calibration.ranking import Ranking
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import HeadRecord, RunFolder, all_runs, current_run, use_run
from ova.heads.scores import read_scores
from ova.metrics import average_precision
from ova.storage import read_csv
from ova.workspace import Workspace

Criterion = Literal["average-precision", "log-loss"]
_CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
_FOLDS = 5


@dataclass(frozen=True)
class RankedRun:
    """A run and its figures on the held-out rows that all runs of the choice share."""

    run: RunFolder
    held_out: HeldOut


@dataclass(frozen=True)
class BestRun:
    """The choice among a head's runs."""

    head: str
    criterion: Criterion
    ranked: tuple[RankedRun, ...]
    """The best first."""
    excluded: Mapping[str, str]
    """Run -> why it could not be chosen."""

    @property
    def run(self) -> RunFolder:
        """The best."""
        return self.ranked[0].run

    def line(self) -> str:
        """Say in one line what was chosen, over what."""
        best = self.ranked[0].held_out
        figures = ", ".join(
            f"{each.run.path.name} {_figure_text(each.held_out, self.criterion)}" for each in self.ranked
        )
        text = (
            f"{self.head}: run {self.run.path.name} is the best of {len(self.ranked)} by {self.criterion}"
            f" on {best.rows} held-out rows with {best.positives} positives: {figures}"
        )
        left = [f"{run} ({why})" for run, why in self.excluded.items()]
        return f"{text}; not considered: {first_few(left, 5)}" if left else text


def _figure_text(held_out: HeldOut, criterion: Criterion) -> str:
    value = held_out.figure(criterion)
    return "ranks backwards" if value is None else f"{value:.3f}"


def best_run(workspace: Workspace, name: str, criterion: Criterion = "average-precision") -> BestRun:
    """Rank the finished runs of a head on held-out rows that are the same for all of them.

    A run is not considered if it is of another label, or was trained on images that are test rows now. Of
    equal runs the newest is taken.

    Args:
        workspace: Where the runs lie.
        name: The head.
        criterion: "average-precision" or "log-loss".

    Raises:
        ArtefactError: No run can be chosen, or they share no held-out rows of both kinds.
    """
    label, tested = read_head_recipe(workspace, name).label, test_rows(workspace)
    candidates: list[_Candidate] = []
    excluded: dict[str, str] = {}
    for run in all_runs(workspace, name):
        reason = _why_not(run, label, tested)
        if reason is None:
            candidates.append(_Candidate.read(run, tested))
        else:
            excluded[run.path.name] = reason
    if not candidates:
        why = "; ".join(f"run {run}: {reason}" for run, reason in excluded.items())
        raise ArtefactError(
            f"head {name!r} has no run to choose: {why or 'none was made'}; run: ova train {name}"
        )
    shared = _shared_rows(candidates)
    positives = sum(label for _, label in shared)
    if not 0 < positives < len(shared):
        runs = ", ".join(each.run.path.name for each in candidates)
        raise ArtefactError(
            f"runs {runs} of head {name!r} share {len(shared)} held-out rows with {positives} positives,"
            f" which cannot rank them; remove runs of an earlier split, or export without --best"
        )
    ranked = [RankedRun(each.run, each.measure(shared)) for each in candidates]
    ranked.sort(key=lambda each: (each.held_out.gain(criterion), each.run.path.name), reverse=True)
    return BestRun(name, criterion, tuple(ranked), excluded)


def _why_not(run: RunFolder, label: str, tested: Set[str]) -> str | None:
    if not run.finished:
        return "not finished"
    if run.read_record().label != label:
        return f"of the label {run.read_record().label!r}"
    seen = sum(row["image"] in tested and row["part"] != TEST for row in read_csv(run.rows))
    return f"trained or tuned on {seen} images that are test rows now" if seen else None


@dataclass(frozen=True)
class _Candidate:
    run: RunFolder
    record: HeadRecord
    scores: Mapping[str, tuple[int, float]]
    """Image -> label and logit."""

    @classmethod
    def read(cls, run: RunFolder, tested: Set[str]) -> _Candidate:
        found = read_scores(run.scores)
        rows = zip(found.images, found.labels.tolist(), found.logits.tolist(), strict=True)
        return cls(run, run.read_record(), {image: (y, s) for image, y, s in rows if image not in tested})

    def measure(self, shared: Set[tuple[str, int]]) -> HeldOut:
        images = sorted(image for image, _ in shared)
        return measure_held_out(
            images,
            np.array([self.scores[image][0] for image in images], np.int8),
            np.array([self.scores[image][1] for image in images]),
            shift=float(np.mean(self.record.log_odds_shift)),
            proper=self.record.recipe.balance.proper,
        )


def _shared_rows(candidates: Sequence[_Candidate]) -> Set[tuple[str, int]]:
    """Return (image, label) that every candidate scored, with the same label."""
    every = [{(image, label) for image, (label, _) in each.scores.items()} for each in candidates]
    return set.intersection(*every)


def use_best_runs(workspace: Workspace, names: Sequence[str], criterion: Criterion) -> dict[str, BestRun]:
    """Choose the best run of every head, and put it in use; a run that was not is calibrated by the recipe.

    Raises:
        ArtefactError: A head has no run that can be chosen; then nothing has changed.
    """
    choices = {name: best_run(workspace, name, criterion) for name in names}
    for name, choice in choices.items():
        if choice.run != current_run(workspace, name):
            calibrate_run(choice.run, read_head_recipe(workspace, name).calibration, test_rows(workspace))
            use_run(
                workspace, name, choice.run, chosen=f"the best of {len(choice.ranked)} runs by {criterion}"
            )
    return choices


def read_criterion(text: str) -> Criterion:
    """Check the name of a criterion.

    Raises:
        RecipeError: It is none.
    """
    for criterion in _CRITERIA:
        if text == criterion:
            return criterion
    raise RecipeError(f"{text!r} is no criterion; choose from {', '.join(_CRITERIA)}")


@dataclass(frozen=True)
class HeldOut:
    """Figures on held-out rows, of one run or one training."""

    rows: int
    positives: int
    average_precision: float
    """Of all rows pooled: higher is better."""
    log_loss: float | None
    """Mean cross-entropy in nats, each fifth of the rows calibrated on the others: lower is better.
    None if the head ranks backwards, so that it cannot be calibrated."""

    def gain(self, criterion: Criterion) -> float:
        """Return the figure of a criterion, turned so that higher is better."""
        if criterion == "average-precision":
            return self.average_precision
        return -math.inf if self.log_loss is None else -self.log_loss

    def figure(self, criterion: Criterion) -> float | None:
        """Return the figure of a criterion as it is."""
        return self.average_precision if criterion == "average-precision" else self.log_loss


def measure_held_out(
    images: Sequence[str],
    labels: NDArray[np.int8],
    logits: NDArray[np.float64],
    *,
    shift: float = 0.0,
    proper: bool = True,
) -> HeldOut:
    """Measure held-out scores.

    Args:
        images: (n,) ids; they decide the fifths, so that the order of rows does not matter.
        labels: (n,) 0 or 1, with some of both.
        logits: (n,) raw scores.
        shift: What weights and sampling added to the logits (`HeadRecord.log_odds_shift`).
        proper: Whether the loss has its minimum at the true probability.

    Raises:
        DataError: There is no positive or no negative.
    """
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"{len(labels)} held-out rows hold {int(labels.sum())} positives; both kinds are needed"
        )
    precision = average_precision(labels, logits)
    assert precision is not None  # noqa: S101 (there is a positive)
    fold_of_row = np.array([_fold_of(image) for image in images])
    try:
        loss = _nested_log_loss(labels, logits, fold_of_row, shift, proper)
    except DataError:
        loss = None
    return HeldOut(len(labels), int(labels.sum()), precision, loss)


def _nested_log_loss(
    labels: NDArray[np.int8],
    logits: NDArray[np.float64],
    fold_of_row: NDArray[np.int64],
    shift: float,
    proper: bool,
) -> float:
    losses = np.empty(len(labels))
    for number in np.unique(fold_of_row):
        inside = fold_of_row == number
        scores, truth = logits[~inside].astype(np.float32), labels[~inside]
        line = fit_probabilities(scores, truth, shift, proper)
        curve = choose_curve(Ranking.of(scores, truth)) if truth.any() else None
        odds = line.log_odds(logits[inside]) if curve is None else curve(logits[inside])
        losses[inside] = np.logaddexp(0.0, odds) - labels[inside] * odds
    return float(losses.mean())


def _fold_of(image: str) -> int:
    return hashlib.sha256(image.encode()).digest()[0] % _FOLDS
