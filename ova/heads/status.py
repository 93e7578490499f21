"""What state each head is in, told from recipes and records alone: no table or weight is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from filelock import FileLock, Timeout

from ova.data.files.location import image_root, labels_digest
from ova.data.recipe import DatasetRecipe
from ova.errors import OvaError
from ova.heads.recipe import KEPT_DEFAULT, HeadRecipe, read_head_recipe
from ova.heads.runs import RunFolder, all_runs, current_run
from ova.recipes import load_recipe
from ova.storage import read_json
from ova.workspace import Workspace


@dataclass(frozen=True)
class HeadStatus:
    """One line of `ova list`."""

    name: str
    state: str
    """new, running, interrupted, trained, calibrated, stale, or damaged."""
    reason: str | None = None
    label: str | None = None
    backbone: str | None = None
    run: str | None = None
    threshold: float | None = None
    validation_average_precision: float | None = None


def head_statuses(workspace: Workspace) -> list[HeadStatus]:
    """Return the state of every head that has a recipe, by name."""
    labels = _label_digest(workspace)
    return [_head_status(workspace, name, labels) for name in workspace.head_names()]


def _head_status(workspace: Workspace, name: str, labels: Callable[[], str | None]) -> HeadStatus:
    """Return the state of a head; `labels` gives the digest of the label table as it is now."""
    try:
        recipe = read_head_recipe(workspace, name)
    except OvaError as error:
        return HeadStatus(name, "damaged", str(error))
    base = HeadStatus(name, "new", label=recipe.label, backbone=recipe.backbone.name)
    try:
        return _judge(workspace, base, recipe, labels)
    except (OvaError, KeyError, TypeError) as error:
        return replace(base, state="damaged", reason=str(error))


def _judge(
    workspace: Workspace, base: HeadStatus, recipe: HeadRecipe, labels: Callable[[], str | None]
) -> HeadStatus:
    runs = all_runs(workspace, base.name)
    if not runs:
        return replace(base, state="new", reason="not trained yet")
    newest = runs[-1]
    if not newest.finished:
        if _is_locked(newest):
            return replace(base, state="running", reason=f"run {newest.path.name}")
        return replace(base, state="interrupted", reason="ova train goes on with it")
    run = current_run(workspace, base.name)
    origin, record = read_json(run.origin), run.read_record()
    precision = [value for value in record.validation_average_precision if value is not None]
    found = replace(
        base,
        state="trained",
        run=run.path.name,
        validation_average_precision=sum(precision) / len(precision) if precision else None,
    )
    chosen = read_json(workspace.current_run(base.name)).get("chosen")
    if origin["recipe"] != recipe.training_digest() and not chosen:
        return replace(found, state="stale", reason="the recipe has changed since; run: ova train")
    if origin["labels"] != labels():
        return replace(
            found, state="stale", reason="the label table has changed; ova train sees whether it matters here"
        )
    state = _calibrated(found, run, recipe)
    return replace(state, reason="; ".join(filter(None, (chosen, state.reason)))) if chosen else state


def _calibrated(found: HeadStatus, run: RunFolder, recipe: HeadRecipe) -> HeadStatus:
    if not run.calibration.is_file():
        return replace(found, state="trained", reason="run: ova calibrate")
    content = read_json(run.calibration)
    if content["weights_digest"] != run.read_record().weights_digest:
        return replace(found, state="stale", reason="the calibration is of other weights; run: ova calibrate")
    fitted = (content["objective"], content["method"], content.get("confidence"))
    wanted = (recipe.calibration.objective, recipe.calibration.method, recipe.calibration.confidence)
    if fitted != wanted and content["method"] != KEPT_DEFAULT:
        return replace(
            found, state="stale", reason="the calibration recipe has changed since; run: ova calibrate"
        )
    return replace(
        found, state="calibrated", reason=content.get("note"), threshold=float(content["threshold"])
    )


def _is_locked(run: RunFolder) -> bool:
    lock = FileLock(run.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _label_digest(workspace: Workspace) -> Callable[[], str | None]:
    """Digest the label table once, and only if somebody asks."""
    found: list[str | None] = []

    def digest() -> str | None:
        if not found:
            recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
            try:
                found.append(labels_digest(workspace, image_root(workspace, recipe), recipe))
            except OvaError:
                found.append(None)
        return found[0]

    return digest
