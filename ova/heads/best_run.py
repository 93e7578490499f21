"""Which of a head's runs is the best by validation, and why; test rows choose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from ova.data.splits import TEST
from ova.errors import ArtefactError, first_few
from ova.heads.calibrated import calibrate_run, test_rows
from ova.heads.held_out import Criterion, HeldOut, measure_held_out
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import HeadRecord, RunFolder, all_runs, current_run, use_run
from ova.heads.scores import read_scores
from ova.storage import read_csv
from ova.workspace import Workspace


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
            f"{each.run.path.name} {_figure(each.held_out, self.criterion)}" for each in self.ranked
        )
        text = (
            f"{self.head}: run {self.run.path.name} is the best of {len(self.ranked)} by {self.criterion}"
            f" on {best.rows} held-out rows with {best.positives} positives: {figures}"
        )
        left = [f"{run} ({why})" for run, why in self.excluded.items()]
        return f"{text}; not considered: {first_few(left, 5)}" if left else text


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


def _why_not(run: RunFolder, label: str, tested: Set[str]) -> str | None:
    if not run.finished:
        return "not finished"
    if run.read_record().label != label:
        return f"of the label {run.read_record().label!r}"
    seen = sum(row["image"] in tested and row["part"] != TEST for row in read_csv(run.rows))
    return f"trained or tuned on {seen} images that are test rows now" if seen else None


def _figure(held_out: HeldOut, criterion: Criterion) -> str:
    value = held_out.figure(criterion)
    return "ranks backwards" if value is None else f"{value:.3f}"
