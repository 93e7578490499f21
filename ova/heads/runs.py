"""The folder of one training of a head: what lies in it, which one is in use, and who writes to it.

run.json          what it is made from; written first
rows.csv          which image was in which part, with the digest of its pixels
prototypes-N.csv  the negatives that were trained on, where balance.prototypes left others out
checkpoint-N.safetensors, member-N.safetensors   while it runs
head.safetensors  the weights
history.csv       one row per epoch
scores.csv        logits of rows that the network was not trained on: calibration reads these
test.csv          logits of test rows: only analysis reads these
calibration.json  threshold and probability, bound to the digest of the weights
calibration-N.json  earlier ones, kept when unlabelled scores moved the head to another prior
head.json         the record; written last, so that its presence means finished
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ova.errors import ArtefactError, EnvironmentFault
from ova.heads.recipe import HeadRecipe
from ova.recipes import Settings
from ova.storage import read_json, write_json
from ova.workspace import Workspace


class HeadRecord(Settings):
    """`head.json`."""

    format: Literal[1] = 1
    ova_version: str
    name: str
    label: str
    digest: str
    """Of recipe, rows, labels and pixels."""
    recipe: HeadRecipe
    input: dict[str, Any]
    """`InputSpec`."""
    white_level: int | None
    """Declared white of 16-bit images."""
    draft_side: int | None = None
    """How small JPEGs were decoded."""
    members: int
    """Networks whose logits are averaged: 1, or one per fold."""
    weights_digest: str
    trunk_digest: str
    initial_weights: str
    """scratch, a package, the hub's name, or a file."""
    licence: str | None
    """Of the initial weights."""
    pos_weight: tuple[float, ...]
    """Weight of a positive in the loss, per member."""
    per_epoch: tuple[tuple[int, int], ...]
    """(negatives, positives) that an epoch showed, repeats counted, per member."""
    log_odds_shift: tuple[float, ...]
    """What weight and sampling added to the logits, per member; calibration takes it back."""
    balance: tuple[str, ...]
    """What was done about few positives, in words, for the first member."""
    rows: dict[str, tuple[int, int]]
    """Part -> (positives, negatives)."""
    unknown: int
    """Images left out because their label is blank."""
    strengths: tuple[float, ...] = ()
    """Per fold, where classifiers were fitted on a frozen trunk and their mean became one member: the inverse
    of the penalty."""
    best_epochs: tuple[int, ...]
    """Per member or fold, counted from 1."""
    validation_average_precision: tuple[float | None, ...]
    """Per member, at its best epoch."""
    seconds: float
    """Time spent in epochs."""
    device: str
    threads: int
    torch_version: str


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run of a head."""

    path: Path

    @property
    def origin(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    @property
    def rows(self) -> Path:
        """rows.csv."""
        return self.path / "rows.csv"

    @property
    def weights(self) -> Path:
        """head.safetensors."""
        return self.path / "head.safetensors"

    @property
    def history(self) -> Path:
        """history.csv."""
        return self.path / "history.csv"

    @property
    def scores(self) -> Path:
        """scores.csv."""
        return self.path / "scores.csv"

    @property
    def test_scores(self) -> Path:
        """test.csv."""
        return self.path / "test.csv"

    @property
    def calibration(self) -> Path:
        """calibration.json."""
        return self.path / "calibration.json"

    def next_old_calibration(self) -> Path:
        """Where the calibration in use is kept when another takes its place."""
        taken = [int(path.stem.split("-")[1]) for path in self.path.glob("calibration-*.json")]
        return self.path / f"calibration-{max(taken, default=0) + 1:04d}.json"

    @property
    def record(self) -> Path:
        """head.json."""
        return self.path / "head.json"

    def prototypes(self, member: int) -> Path:
        """The negatives that a network is trained on, if not all."""
        return self.path / f"prototypes-{member}.csv"

    def checkpoint(self, member: int) -> Path:
        """The state of a network in training."""
        return self.path / f"checkpoint-{member}.safetensors"

    def member(self, number: int) -> Path:
        """A finished network of an unfinished head."""
        return self.path / f"member-{number}.safetensors"

    def forget_members(self, count: int) -> None:
        """Remove what only an unfinished head needs of its networks."""
        for number in range(count):
            self.checkpoint(number).unlink(missing_ok=True)
            self.member(number).unlink(missing_ok=True)

    @property
    def lock(self) -> Path:
        """Held by the process that trains this run."""
        return self.path / ".lock"

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.record.is_file()

    def read_record(self) -> HeadRecord:
        """Read head.json.

        Raises:
            ArtefactError: It is missing, damaged, or of another format.
        """
        content = read_json(self.record)
        try:
            return HeadRecord.model_validate_json(json.dumps(content))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ArtefactError(
                f"{self.record} is not a record of this version: {where}: {first['msg']}"
            ) from error


def all_runs(workspace: Workspace, name: str) -> list[RunFolder]:
    """Return the runs of a head, oldest first."""
    folder = workspace.head_runs(name)
    found = sorted(path for path in folder.glob("[0-9]*") if (path / "run.json").is_file())
    return [RunFolder(path) for path in found]


def run_of_digest(workspace: Workspace, name: str, digest: str) -> RunFolder | None:
    """Return the newest run made from the same recipe, rows and pixels, finished or not."""
    for run in reversed(all_runs(workspace, name)):
        if read_json(run.origin).get("digest") == digest:
            return run
    return None


def new_run(workspace: Workspace, name: str) -> RunFolder:
    """Return the folder of the next run; it is created by the first write into it."""
    numbers = [int(run.path.name) for run in all_runs(workspace, name)]
    return RunFolder(workspace.head_runs(name) / f"{max(numbers, default=0) + 1:04d}")


def current_run(workspace: Workspace, name: str) -> RunFolder:
    """Return the run of a head that is in use.

    Raises:
        ArtefactError: The head was not trained yet.
    """
    pointer = workspace.current_run(name)
    if not pointer.is_file():
        raise ArtefactError(f"head {name!r} is not trained yet; run: ova train {name}")
    run = RunFolder(workspace.head_runs(name) / str(read_json(pointer)["run"]))
    if not run.finished:
        raise ArtefactError(
            f"{pointer} names run {run.path.name}, which is not finished; run: ova train {name}"
        )
    return run


def use_run(workspace: Workspace, name: str, run: RunFolder, *, chosen: str | None = None) -> None:
    """Make a finished run the one in use; `chosen` says why, if it is not simply that of the recipe."""
    reason = {} if chosen is None else {"chosen": chosen}
    write_json(workspace.current_run(name), {"run": run.path.name, **reason})


@contextmanager
def only_one(lock_file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock against a second process; it dies with its holder.

    Args:
        lock_file: In a folder that is there.
        refusal: What is said where another process holds it.

    Raises:
        EnvironmentFault: Another process holds it.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise EnvironmentFault(refusal) from error
    try:
        yield
    finally:
        lock.release()
