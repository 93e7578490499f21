"""Add a second head to a trained workspace: the first one stays what it was, bit for bit.

Give a new folder to keep the workspace. The cells are drawn and few, so how good the heads are means nothing.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

import ova
from ova.data.synthetic import draw_cells, write_cells

HEAD = """backbone = {name = "test_resnet"}
input = {size = 48, channels = 1}
training = {epochs = 12, batch_size = 32, learning_rate = 3e-3}
"""


def write(path: Path, text: str) -> None:
    """Write a recipe by hand; `ova init` writes them for your own data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def train_and_export(workspace: ova.Workspace, label: str, ensemble: str) -> tuple[str, str]:
    """Add a head and export; return the digests of head crack's weights and of its logits as exported."""
    write(workspace.head_recipe(label), f'label = "{label}"\n{HEAD}')
    write(workspace.ensemble_recipe(ensemble), f'heads = {workspace.head_names()}\nmode = "multilabel"\n')
    print({outcome.name: outcome.status for outcome in ova.train_heads(workspace)})
    model = ova.CombinedModel.load(ova.export(workspace, ensemble).model)
    images = sorted(workspace.root.glob("data/cells/images/*.png"))[:50]
    # One image at a time: the last bit of a logit may depend on what else is in the batch.
    logits = np.array([each.logits["crack"] for each in model.predict(images, batch_size=1)], np.float32)
    (weights,) = workspace.head_runs("crack").glob("*/head.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest(), hashlib.sha256(logits.tobytes()).hexdigest()


def main(folder: Path) -> None:
    """Train and export one head, then a second beside it, and compare the first with what it was."""
    write_cells(folder / "data/cells", draw_cells(300, size=64))
    workspace = ova.Workspace(folder)
    write(workspace.dataset_recipe, 'root = "cells"\nlabels = "data.csv"\n')
    before = train_and_export(workspace, "crack", "alone")
    after = train_and_export(workspace, "inactive", "both")
    for what, old, new in zip(("weights", "logits"), before, after, strict=True):
        print(f"crack {what}: {old[:16]} before, {new[:16]} after: {'the same' if old == new else 'CHANGED'}")
    sys.exit(0 if before == after else 1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        main(Path(sys.argv[1] if sys.argv[1:] else temporary))
