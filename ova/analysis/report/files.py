"""The page of an ensemble, and everything that it shows beside it as CSV, JSON and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ova.analysis.head_plots import HistoryRows, loss_curves_png, precision_recall_png
from ova.analysis.head_result import HeadEvidence, HeadResult
from ova.analysis.measures.values import HeadMeasures
from ova.analysis.report.gallery import Thumbnails
from ova.analysis.report.head import HeadSection
from ova.analysis.report.heat import HeatMap, heat_map
from ova.analysis.report.mistakes import JudgedImage, find_mistakes
from ova.analysis.report.plots import curve_plots
from ova.analysis.report.report import report_page
from ova.analysis.result import Analysis
from ova.data.images.originals import Pictures, open_pictures
from ova.errors import DataError
from ova.heads.calibration.calibration import Calibration
from ova.heads.load import load_head
from ova.progress import Progress
from ova.spreadsheets import neutralised
from ova.storage import write_bytes, write_csv, write_json
from ova.workspace import Workspace, slug

SHOWN = 6
"""Images of each kind that a head's part of the page shows."""
_MISTAKE_COLUMNS = ("list", "rank", *(field.name for field in fields(JudgedImage)))


@dataclass(frozen=True, eq=False)
class HeadSource:
    """What a head's run left, as the page needs it."""

    evidence: HeadEvidence
    calibration: Calibration
    history: HistoryRows
    best_epochs: Sequence[int]


def write_report(
    workspace: Workspace,
    folder: Path,
    analysis: Analysis,
    sources: Sequence[HeadSource],
    progress: Progress,
    *,
    heat_maps: bool = False,
) -> list[Path]:
    """Write the page of an ensemble and its tables and pictures; return the files, the page first.

    Images that cannot be read are left out of the page, which says so: the figures do not depend on them.

    Args:
        workspace: Where the images are named.
        folder: Where to.
        analysis: The measures of the heads, all of them.
        sources: The heads, in any order.
        progress: Told after every head.
        heat_maps: Show where the heads looked in their worst mistakes.

    Raises:
        ArtefactError: A history is damaged, or with heat maps a head.
        EnvironmentFault: The disk refuses, or captum is missing.
    """
    by_name = {source.evidence.name: source for source in sources}
    heads: list[HeadSection] = []
    progress.start("drawing curves", len(sources))
    files: list[Path] = []
    for result, measures in zip(analysis.heads, analysis.measures, strict=True):
        heads.append(_section(result, measures, by_name[result.name]))
        files += _write_head(folder, heads[-1], precision_recall_png(by_name[result.name].evidence, result))
        progress.advance("drawing curves", len(heads))
    thumbnails, notices = _thumbnails(workspace, heads, progress, heat_maps=heat_maps)
    for head in heads:
        if (grid := thumbnails.grid(head.result, head.mistakes)) is not None:
            files.append(folder / f"mistakes-{slug(head.result.name)}.png")
            write_bytes(files[-1], grid)
    page = folder / "report.html"
    write_bytes(page, report_page(analysis, heads, thumbnails, notices))
    return [page, *files]


def _section(result: HeadResult, measures: HeadMeasures, source: HeadSource) -> HeadSection:
    return HeadSection(
        result=result,
        evidence=source.evidence,
        measures=measures,
        calibration=source.calibration,
        plots=curve_plots(measures, result.threshold),
        loss=_loss_curves(source, result.name),
        mistakes=find_mistakes(source.evidence, source.calibration, SHOWN),
    )


def _loss_curves(source: HeadSource, name: str) -> bytes | None:
    if not source.history:
        return None
    return loss_curves_png(source.history, name, best_epochs=source.best_epochs)


def _write_head(folder: Path, head: HeadSection, precision_recall: bytes) -> list[Path]:
    name = slug(head.result.name)
    pictures = {key: plot.png for key, plot in head.plots.items()}
    pictures |= {"precision-recall": precision_recall}
    if head.loss is not None:
        pictures["loss"] = head.loss
    for key, png in pictures.items():
        write_bytes(folder / f"{key}-{name}.png", png)
    write_csv(folder / f"mistakes-{name}.csv", _MISTAKE_COLUMNS, _mistake_rows(head))
    write_json(folder / f"mistakes-{name}.json", head.mistakes.to_json())
    tables = [f"mistakes-{name}.csv", f"mistakes-{name}.json"]
    return [folder / file for file in (*(f"{key}-{name}.png" for key in pictures), *tables)]


def _mistake_rows(head: HeadSection) -> list[list[Any]]:
    return [
        [name, rank, *neutralised(astuple(judged))]
        for name, several in head.mistakes.lists().items()
        for rank, judged in enumerate(several, start=1)
    ]


def _thumbnails(
    workspace: Workspace, heads: Sequence[HeadSection], progress: Progress, *, heat_maps: bool
) -> tuple[Thumbnails, list[str]]:
    """Read the images that are shown; if one cannot be read, none is shown and the page says why."""
    images = [image for head in heads for image in head.mistakes.images()]
    try:
        pictures = open_pictures(workspace)
        maps = _heat_maps(workspace, heads, pictures, progress) if heat_maps else {}
        return Thumbnails.of(pictures, images, maps), []
    except DataError as error:
        return Thumbnails({}), [f"The images are not shown: {error}."]


def _heat_maps(
    workspace: Workspace, heads: Sequence[HeadSection], pictures: Pictures, progress: Progress
) -> dict[tuple[str, str], HeatMap]:
    wrong = {head.result.name: [*head.mistakes.false_alarms, *head.mistakes.missed] for head in heads}
    progress.start("heat maps", sum(map(len, wrong.values())))
    maps: dict[tuple[str, str], HeatMap] = {}
    for name, mistakes in wrong.items():
        head = load_head(workspace, name).head
        for judged in mistakes:
            pixels = pictures.decode(judged.image, head.input_spec.channels)
            maps[name, judged.image] = heat_map(head, pixels)
            progress.advance("heat maps", len(maps))
    return maps
