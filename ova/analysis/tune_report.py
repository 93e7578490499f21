"""What a search found: accuracy against size and time, as tables and a picture, and a new recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w
from matplotlib.axes import Axes

from ova.analysis.figure import BLUE, GREEN, GREY, ORANGE, png_figure
from ova.heads.tune.found import Found, Trial
from ova.heads.tune.study import TuneSettings, search
from ova.progress import Progress, Silent, Watch, never
from ova.spreadsheets import neutralise
from ova.storage import write_bytes, write_csv, write_json
from ova.workspace import Workspace

_CHOICES = ("backbone", "size", "learning_rate", "batch_size", "augment", "balance")
_FIGURES = (
    "average_precision",
    "log_loss",
    "rows",
    "positives",
    "parameters",
    "megabytes",
    "milliseconds",
    "seconds",
)
_COSTS = {"milliseconds": "milliseconds per image", "megabytes": "megabytes of weights"}


@dataclass(frozen=True, eq=False)
class TuneReport:
    """A search, and the files that were written of it."""

    head: str
    found: Found
    front: frozenset[int]
    """Numbers of the trials that no other beats in both accuracy and time."""
    recipe: Path | None
    """Of the best trial; None if nothing was better than the recipe that was there."""
    files: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the object that `ova tune --json` prints; strict JSON."""
        best = self.found.best
        return {
            "head": self.head,
            "study": str(self.found.folder),
            "criterion": self.found.criterion,
            "stopped": self.found.stopped,
            "best": None if best is None else best.number,
            "recipe": None if self.recipe is None else str(self.recipe),
            "trials": [asdict(trial) | {"front": trial.number in self.front} for trial in self.found.trials],
        }


def tune_head(
    workspace: Workspace,
    name: str,
    settings: TuneSettings,
    *,
    device: str = "auto",
    trackers: Sequence[str] = (),
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> TuneReport:
    """Search a better recipe of a head, and write what was found; see `ova.heads.tune.study.search`.

    Writes `trials.csv`, `trials.json` and `tradeoff.png` into the folder of the study, and the best recipe as
    `heads/NAME-tuned.toml` (or `-tuned-2`, ...; a file that is there is never changed).

    Raises:
        OvaError: As `search`, or the disk refuses.
    """
    found = search(
        workspace,
        name,
        settings,
        device=device,
        trackers=trackers,
        watch=Watch(progress or Silent(), should_stop),
    )
    report = TuneReport(name, found, front(found), _write_recipe(workspace, name, found), ())
    rows = [_row(trial, report.front) for trial in found.trials]
    files = [found.folder / each for each in ("trials.csv", "trials.json", "tradeoff.png")]
    write_csv(files[0], ("trial", "state", *_FIGURES, *_CHOICES, "front", "reason"), rows)
    write_json(files[1], report.to_json())
    if found.best is None:
        files.pop()
    else:
        write_bytes(files[2], _tradeoff_png(found))
    return TuneReport(name, found, report.front, report.recipe, tuple(files))


def front(found: Found, cost: str = "milliseconds") -> frozenset[int]:
    """Return the trials that no other beats in accuracy and cost at once (the Pareto front)."""
    done = _complete(found)
    sign = 1 if found.criterion == "average-precision" else -1

    def beats(one: Trial, other: Trial) -> bool:
        gain = sign * ((one.figure or 0.0) - (other.figure or 0.0))
        saved = other.measured[cost] - one.measured[cost]
        return gain >= 0 and saved >= 0 and (gain > 0 or saved > 0)

    return frozenset(each.number for each in done if not any(beats(other, each) for other in done))


def _tradeoff_png(found: Found) -> bytes:
    """Draw accuracy against time and size, a point per complete trial."""
    with png_figure(9.0, 4.2) as (figure, png):
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (cost, name) in zip(panels, _COSTS.items(), strict=True):
            _draw(axes, found, cost)
            axes.set_xlabel(name)
        panels[0].set_ylabel(f"held-out {found.criterion.replace('-', ' ')}")
        panels[0].legend(loc="best", fontsize="small")
        return png()


def _draw(axes: Axes, found: Found, cost: str) -> None:
    done, best = _complete(found), found.best
    assert best is not None  # noqa: S101 (asked before)
    on_front = front(found, cost)
    line = sorted((each.measured[cost], each.figure or 0.0) for each in done if each.number in on_front)
    axes.scatter(
        [each.measured[cost] for each in done], [each.figure or 0.0 for each in done], color=GREY, s=18
    )
    axes.plot(
        *zip(*line, strict=True), color=BLUE, marker="o", markersize=4, label="none is better and cheaper"
    )
    axes.plot(best.measured[cost], best.figure or 0.0, "D", color=ORANGE, label=f"best: trial {best.number}")
    start = next((each for each in done if each.number == 0), None)
    if start is not None:
        axes.plot(
            start.measured[cost],
            start.figure or 0.0,
            "s",
            color=GREEN,
            mfc="none",
            label="the recipe as it is",
        )
    if min(each.measured[cost] for each in done) > 0:
        axes.set_xscale("log")
    axes.grid(visible=True, alpha=0.3)


def _complete(found: Found) -> list[Trial]:
    return [trial for trial in found.trials if trial.state == "complete"]


def _row(trial: Trial, on_front: frozenset[int]) -> list[object]:
    figures = [trial.measured.get(name) for name in _FIGURES]
    choices = [trial.choice.get(name) for name in _CHOICES]
    reason = neutralise(trial.reason or "")
    return [trial.number, trial.state, *figures, *choices, int(trial.number in on_front), reason]


def _write_recipe(workspace: Workspace, name: str, found: Found) -> Path | None:
    """Write the best recipe beside the one that it was made from, unless that is the best or it is there."""
    best = found.best
    if best is None or best.number == 0:
        return None
    content = tomli_w.dumps(found.space.make(best.choice).as_toml())
    lines = [
        f"# Trial {best.number} of runs/tune/{name}/{found.folder.name}: held-out {found.criterion}"
        f" {best.figure:.4f}{_before(found.trials)}.",
        "# The best of many is measured a little too well; no test row was looked at.",
    ]
    text = ("\n".join(lines) + "\n" + content).encode()
    for number in range(1, len(found.trials) + 1000):
        path = workspace.head_recipe(f"{name}-tuned" + (f"-{number}" if number > 1 else ""))
        if not path.exists():
            write_bytes(path, text)
            return path
        if path.read_bytes().endswith(content.encode()):
            return path
    return None


def _before(trials: Sequence[Trial]) -> str:
    start = next((each.figure for each in trials if each.number == 0), None)
    return "" if start is None else f", the recipe as it was {start:.4f}"
