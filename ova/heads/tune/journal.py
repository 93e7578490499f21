"""Where a study lies, and Optuna's journal of it.

Optuna keeps its journal itself: lines of JSON that it appends to as trials go on, the one file of a workspace
that `ova.storage` does not write. Its file backend takes no snapshots, so nothing is pickled.

study.json   what is searched; another recipe, space, data, seed or criterion is another study
journal.log  every trial with its choices and figures
trials/NNNN  history and held-out scores of a trial
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ova.errors import ArtefactError, EnvironmentFault
from ova.heads.selection import Criterion
from ova.storage import read_json, write_json
from ova.workspace import Workspace

_PRUNE_AFTER = 4  # finished trials before one may be given up


def load_optuna() -> Any:
    """Import Optuna, quiet.

    Raises:
        EnvironmentFault: It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise EnvironmentFault('tuning needs optuna; install it with: pip install "ova[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def study_folder(workspace: Workspace, name: str, identity: dict[str, Any]) -> Path:
    """Return the folder of the newest study of the same things, or that of a new one."""
    root, identity = workspace.tuning(name), json.loads(json.dumps(identity))
    known = sorted(path.parent for path in root.glob("[0-9]*/study.json"))
    for folder in reversed(known):
        if read_json(folder / "study.json") == identity:
            return folder
    number = max((int(folder.name) for folder in known), default=0) + 1
    write_json(root / f"{number:04d}" / "study.json", identity)
    return root / f"{number:04d}"


def open_study(optuna: Any, folder: Path, criterion: Criterion) -> Any:
    """Open the `optuna.Study` of a folder, or begin it.

    Raises:
        ArtefactError: Its journal is damaged.
    """
    journal, path = optuna.storages.journal, str(folder / "journal.log")
    backend = journal.JournalFileBackend(path, lock_obj=journal.JournalFileOpenLock(path))
    try:
        return optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=folder.name,
            direction="maximize" if criterion == "average-precision" else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_PRUNE_AFTER),
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:
        raise ArtefactError(f"{path} is damaged: {error}; remove {folder} to search anew") from error
