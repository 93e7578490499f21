"""Everything that is wrong with the data of a workspace, or worth a look, once and with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ova.data.checks.counts import PartCounts, count_parts
from ova.data.checks.examples import draw_examples
from ova.data.checks.findings import (
    BLURRED,
    CONFLICT,
    FINDING_KINDS,
    NEAR,
    ONE_SHADE,
    PARTED,
    SMALL,
    Bounds,
    Finding,
    conflicts_by_label,
    find_all,
    usual_bounds,
)
from ova.data.checks.survey import MISSING, UNREADABLE, Survey, survey_data
from ova.data.dataset import open_dataset
from ova.errors import DataError
from ova.progress import Progress
from ova.spreadsheets import neutralise, neutralised
from ova.storage import write_csv
from ova.workspace import Workspace

_EXAMPLES = 2


@dataclass(frozen=True, eq=False)
class DataReport:
    """What `ova data check` found."""

    findings: Sequence[Finding]
    bounds: Bounds
    conflicts: dict[str, int]
    """Label -> clusters of duplicates that contradict each other in it; without those that have none."""
    clusters: Sequence[Sequence[str]]
    """Near duplicates and identical images."""
    notes: Sequence[str]
    """What of the tables is not in use, and why."""
    counts: PartCounts | None
    """Labels per part of the split; None where the images are refused."""
    refusal: DataError | None
    """The error with which training refuses these images."""
    files: Sequence[Path]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the single findings as one JSON object."""
        counted = {kind: sum(each.finding == kind for each in self.findings) for kind in FINDING_KINDS}
        return {
            **(self.counts.to_json() if self.counts else {}),
            "findings": {kind: count for kind, count in counted.items() if count},
            "conflicts": self.conflicts,
            "duplicates": {
                "clusters": len(self.clusters),
                "images": sum(map(len, self.clusters)),
                "largest": max(map(len, self.clusters), default=0),
            },
            "bounds": self.bounds._asdict(),
            "notes": list(self.notes),
            "advice": self.advice(),
            "refused": None if self.refusal is None else str(self.refusal),
            "files": [str(path) for path in self.files],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return a table for people: a kind of finding per row."""
        rows = [("finding", "images", "for example")]
        for kind in FINDING_KINDS:
            some = [each for each in self.findings if each.finding == kind]
            if some:
                shown = "; ".join(f"{each.image}: {each.note}" for each in some[:_EXAMPLES])
                rows.append((kind, f"{len(some):,}", shown + ("; ..." if len(some) > _EXAMPLES else "")))
        return rows

    def advice(self) -> list[str]:
        """Say what to do, a line each."""
        counts = Counter(each.finding for each in self.findings)
        lines = []
        if parted := counts[PARTED]:
            what = f"{parted:,} images are near duplicates of an image in another part of the split"
            lines.append(f"{what}: a section [duplicates] in data/dataset.toml keeps them together")
        if counts[NEAR]:
            largest = max(map(len, self.clusters))
            lines.append(
                f"largest cluster of duplicates: {largest:,} images; look at some before they are joined"
            )
        if counts[CONFLICT]:
            told = ", ".join(f"{label} {count:,}" for label, count in self.conflicts.items())
            lines.append(f"clusters of duplicates with conflicting labels: {told}; look whether one is wrong")
        settings = [
            f"--min-side {round(self.bounds.min_side)}" if counts[SMALL] else "",
            f"--sharpness {self.bounds.sharpness:.3g}" if counts[BLURRED] else "",
        ]
        chosen = " ".join(setting for setting in settings if setting)
        if chosen or any(counts[kind] for kind in (MISSING, UNREADABLE, ONE_SHADE)):
            lines.append(f"to leave images out: {f'ova data clean {chosen}'.rstrip()}")
        return lines


def check_data(workspace: Workspace, progress: Progress | None = None) -> DataReport:
    """Read the labels, decode all images, list every finding in `runs/findings.csv`, count labels per part.

    The measures of all sound images go to `runs/quality.csv`. Images that training would refuse are listed in
    `runs/intake.csv` as well, and are no error here: see `DataReport.refusal`.

    Raises:
        RecipeError: dataset.toml is wrong.
        DataError: The label table or the list of exclusions is refused.
        EnvironmentFault: The disk is full or read-only.
    """
    survey = survey_data(workspace, progress)
    refusal = survey.refusal(workspace)
    dataset = None if refusal else open_dataset(workspace, progress=progress)
    findings = find_all(survey, dataset.split.part_of if dataset else None)
    files = [*_write_tables(workspace, survey, findings), *draw_examples(workspace, survey, findings)]
    return DataReport(
        findings=findings,
        bounds=usual_bounds(survey.source.recipe.clean, survey.facts, survey.qualities),
        conflicts=conflicts_by_label(survey.table, survey.clusters),
        clusters=survey.clusters,
        notes=survey.table.lines(),
        counts=count_parts(dataset) if dataset else None,
        refusal=refusal,
        files=tuple(files),
    )


def _write_tables(workspace: Workspace, survey: Survey, findings: Sequence[Finding]) -> tuple[Path, ...]:
    write_csv(workspace.findings, Finding._fields, map(neutralised, findings))
    measures = ("sharpness", "spread", "chroma", "black", "white")
    columns = [getattr(survey.qualities, name).tolist() for name in measures]
    rows = (
        (neutralise(fact.image), fact.height, fact.width, *(f"{value:.4g}" for value in values))
        for fact, *values in zip(survey.facts, *columns, strict=True)
    )
    write_csv(workspace.quality_table, ("image", "height", "width", *measures), rows)
    return workspace.findings, workspace.quality_table
