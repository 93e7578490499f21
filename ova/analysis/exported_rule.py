"""What the exported ensemble answers to the test rows of its heads.

Its rule was made from calibration rows alone and lies in the manifest, as in the model file. Here it is
applied to the scores that the heads' runs left, so that no image is read.

Shape letters: n images that any head was tested on, K heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ova.analysis.argmax_result import Choices
from ova.analysis.gather import Tested
from ova.data.labels.table import UNKNOWN
from ova.digests import digest_json
from ova.ensembles.recipe import EnsembleRecipe
from ova.ensembles.rule.numpy_rule import decide
from ova.ensembles.rule.rule import describe_rule, heads_needed
from ova.ensembles.runtime.manifest import MANIFEST_FILE, Manifest, read_manifest
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Exported:
    """Heads with the answers of their ensemble."""

    heads: tuple[Tested, ...]
    told: tuple[str, ...] = ()
    """What the rule does, in words."""
    choices: Choices | None = None
    """In argmax mode."""


def apply_exported_rule(
    workspace: Workspace, name: str, recipe: EnsembleRecipe, tested: Sequence[Tested], progress: Progress
) -> Exported:
    """Decide test rows as the exported model does; where each head stands alone, nothing is changed.

    An answer that depends on a head which has no score for the image (its label is unknown there) is not
    known.

    Args:
        workspace: Where the ensemble was exported.
        name: The ensemble.
        recipe: Its recipe.
        tested: Its heads, in its order.
        progress: Told where the exported model is of an earlier state but decides by the heads alone.

    Raises:
        ArtefactError: The ensemble has a rule of its own and was not exported, or its export is of other
            heads, weights, calibrations, or of another recipe.
    """
    path = workspace.ensemble_output(name) / MANIFEST_FILE
    manifest = read_manifest(path) if path.is_file() else None
    plain = _asks_for_nothing(recipe) and (manifest is None or _does_nothing(manifest))
    if manifest is None:
        if plain:
            return Exported(tuple(tested))
        raise ArtefactError(
            f"{name} decides by a rule of the exported model, which is missing; run: ova export {name}"
        )
    stale = _why_stale(manifest, recipe, tested)
    if plain:
        if stale:
            progress.say(f"{path} {stale}; the heads are measured as they are now")
        return Exported(tuple(tested))
    if stale:
        raise ArtefactError(f"{path} {stale}; run: ova export {name}")
    return _apply(manifest, tested)


def _apply(manifest: Manifest, tested: Sequence[Tested]) -> Exported:
    names = [head.name for head in tested]
    rows = _Rows.of(tested)
    calibrations = [head.calibration for head in tested]
    decided = decide(calibrations, names, manifest.rule, manifest.none_prior, rows.logits)
    found = []
    for column, needed in enumerate(heads_needed(names, manifest.rule)):
        known = rows.scored[:, sorted(needed)].all(axis=1)
        answers = np.where(known, decided.decisions[:, column], UNKNOWN).astype(np.int8)
        found.append(_with_answers(tested[column], answers[rows.of_head[column]]))
    told = describe_rule(manifest.rule, names, {head.name: head.record.label for head in tested})
    choices = None if decided.choice is None else _count(manifest, rows, decided.choice)
    return Exported(tuple(found), told, choices)


def _with_answers(head: Tested, answers: NDArray[np.int8]) -> Tested:
    alone = head.calibration.decide(head.scores.logits)
    return head if (answers == alone).all() else replace(head, by_rule=answers)


def _count(manifest: Manifest, rows: _Rows, choice: NDArray[np.int64]) -> Choices:
    """Count the argmax choices on rows that every head has scored; those that are withheld are none."""
    made = rows.scored.all(axis=1) & (choice <= len(manifest.heads))
    return Choices.of(manifest.labels, rows.truth[made], choice[made])


@dataclass(frozen=True, eq=False)
class _Rows:
    """All test rows of all heads, by image."""

    logits: NDArray[np.float64]
    """(n, K), 0 where a head has none."""
    truth: NDArray[np.int8]
    """(n, K)."""
    scored: NDArray[np.bool_]
    """(n, K) whether the head has a score."""
    of_head: tuple[NDArray[np.intp], ...]
    """(K,) positions of each head's own rows, in its order."""

    @classmethod
    def of(cls, tested: Sequence[Tested]) -> _Rows:
        images = sorted({image for head in tested for image in head.scores.images})
        row_of = {image: row for row, image in enumerate(images)}
        logits = np.zeros((len(images), len(tested)))
        truth = np.full(logits.shape, UNKNOWN, np.int8)
        own = []
        for column, head in enumerate(tested):
            own.append(np.array([row_of[image] for image in head.scores.images], np.intp))
            logits[own[-1], column] = head.scores.logits
            truth[own[-1], column] = head.scores.labels
        return cls(logits, truth, truth != UNKNOWN, tuple(own))


def _asks_for_nothing(recipe: EnsembleRecipe) -> bool:
    alone = recipe.mode == "multilabel" and recipe.objective == "own" and recipe.stacking == "off"
    return alone and not recipe.exclusive


def _does_nothing(manifest: Manifest) -> bool:
    rule = manifest.rule
    return not (rule.stack or rule.objective or rule.exclusive or rule.coupling)


def _why_stale(manifest: Manifest, recipe: EnsembleRecipe, tested: Sequence[Tested]) -> str | None:
    if manifest.rule.recipe_digest != digest_json(recipe.model_dump(mode="json")):
        return "was made by another recipe of the ensemble"
    current = [
        (head.name, head.record.weights_digest, digest_json(head.calibration.to_json())) for head in tested
    ]
    exported = [(head.name, head.weights_digest, head.calibration_digest) for head in manifest.heads]
    return None if current == exported else "is of other heads, weights or calibrations"
