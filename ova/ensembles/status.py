"""What state each ensemble is in, told from recipes, records and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ova.digests import digest_json
from ova.ensembles.recipe import EnsembleRecipe, read_ensemble_recipe
from ova.ensembles.runtime.manifest import MANIFEST_FILE, read_manifest
from ova.errors import OvaError
from ova.heads.runs import current_run
from ova.heads.status import HeadStatus
from ova.storage import read_json
from ova.workspace import Workspace


@dataclass(frozen=True)
class EnsembleStatus:
    """One line of `ova list`."""

    name: str
    state: str
    """new, exported, stale, or damaged."""
    reason: str | None = None
    heads: tuple[str, ...] = ()
    mode: str | None = None
    macro_f1: float | None = None
    """On test rows, when it was last analysed."""


def ensemble_statuses(workspace: Workspace, heads: Mapping[str, HeadStatus]) -> list[EnsembleStatus]:
    """Return the state of every ensemble that has a recipe, by name."""
    return [_status(workspace, name, heads) for name in workspace.ensemble_names()]


def _status(workspace: Workspace, name: str, heads: Mapping[str, HeadStatus]) -> EnsembleStatus:
    try:
        recipe = read_ensemble_recipe(workspace, name)
    except OvaError as error:
        return EnsembleStatus(name, "damaged", str(error))
    try:
        state, reason = _judge(workspace, name, recipe, heads)
        metrics = workspace.ensemble_output(name) / "metrics.json"
        macro = read_json(metrics).get("macro_f1") if metrics.is_file() else None
    except (OvaError, KeyError, TypeError) as error:
        return EnsembleStatus(name, "damaged", str(error), recipe.heads, recipe.mode)
    return EnsembleStatus(name, state, reason, recipe.heads, recipe.mode, macro)


def _judge(
    workspace: Workspace, name: str, recipe: EnsembleRecipe, heads: Mapping[str, HeadStatus]
) -> tuple[str, str | None]:
    path = workspace.ensemble_output(name) / MANIFEST_FILE
    if not path.is_file():
        waiting = [head for head in recipe.heads if head not in heads or heads[head].threshold is None]
        return "new", f"waits for {', '.join(waiting)}" if waiting else f"run: ova export {name}"
    manifest = read_manifest(path)
    absent = [head.name for head in manifest.absent]
    present = tuple(head for head in recipe.heads if head not in absent)
    same = tuple(head.name for head in manifest.heads) == present and set(absent) <= set(recipe.heads)
    same = same and manifest.rule.recipe_digest == digest_json(recipe.model_dump(mode="json"))
    if not same or manifest.mode != recipe.mode:
        return "stale", f"the recipe has changed since; run: ova export {name}"
    for head in absent:
        if workspace.current_run(head).is_file():
            return "stale", f"head {head} is trained now; run: ova export {name}"
    for head in manifest.heads:
        run = current_run(workspace, head.name)
        same = run.read_record().weights_digest == head.weights_digest
        if not same or digest_json(read_json(run.calibration)) != head.calibration_digest:
            return "stale", f"head {head.name} has changed since; run: ova export {name}"
    return "exported", f"without {', '.join(absent)}" if absent else None
