"""One binary model per class, calibrated, merged into one file, and honest about how good each is.

Importing this package is light; every name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ova.analysis.compare import compare as compare
    from ova.analysis.evidence import analyse as analyse
    from ova.data.dataset import open_dataset as open_dataset
    from ova.ensembles.publish import export as export
    from ova.ensembles.runtime import CombinedModel as CombinedModel
    from ova.ensembles.train import train_heads as train_heads
    from ova.heads.calibrate import calibrate_scores as calibrate_scores
    from ova.heads.calibrated import calibrate_head as calibrate_head
    from ova.heads.calibration import Calibration as Calibration
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
    "Calibration": "ova.heads.calibration",
    "CombinedModel": "ova.ensembles.runtime",
    "Workspace": "ova.workspace",
    "analyse": "ova.analysis.evidence",
    "calibrate_head": "ova.heads.calibrated",
    "calibrate_scores": "ova.heads.calibrate",
    "compare": "ova.analysis.compare",
    "export": "ova.ensembles.publish",
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
