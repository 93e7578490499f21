"""One binary model per class, calibrated, merged into one file, and honest about how good each is.

Importing this package is light; every name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ova.analysis.analyse import analyse as analyse
    from ova.analysis.compare.compare import compare as compare
    from ova.data.dataset import open_dataset as open_dataset
    from ova.ensembles.export.export import export as export
    from ova.ensembles.runtime.model import CombinedModel as CombinedModel
    from ova.ensembles.train import train_heads as train_heads
    from ova.heads.calibration.calibrate_run import calibrate_head as calibrate_head
    from ova.heads.calibration.calibrate_scores import calibrate_scores as calibrate_scores
    from ova.heads.calibration.calibration import Calibration as Calibration
    from ova.workspace import Workspace as Workspace

__version__ = "0.1.0"

__all__ = [
    "Calibration",
    "CombinedModel",
    "Workspace",
    "__version__",
    "analyse",
    "calibrate_head",
    "calibrate_scores",
    "compare",
    "export",
    "open_dataset",
    "train_heads",
]

_HOME_OF = {
    "Calibration": "ova.heads.calibration.calibration",
    "CombinedModel": "ova.ensembles.runtime.model",
    "Workspace": "ova.workspace",
    "analyse": "ova.analysis.analyse",
    "calibrate_head": "ova.heads.calibration.calibrate_run",
    "calibrate_scores": "ova.heads.calibration.calibrate_scores",
    "compare": "ova.analysis.compare.compare",
    "export": "ova.ensembles.export.export",
    "open_dataset": "ova.data.dataset",
    "train_heads": "ova.ensembles.train",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ova' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
