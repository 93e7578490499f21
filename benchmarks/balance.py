"""What each way to balance a head does, on drawn cells of which 3 % are cracked, from scratch, three seeds.

Every way shows the network as many images. A seed draws other cells, splits them anew and starts other
weights; all ways of one seed read the same rows. Test rows choose nothing: they are scored once. Prints one
JSON object per way and seed (--seeds, --ways, --images for a part of it); docs/data.md shows the table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from ova.data.dataset import Dataset, open_dataset
from ova.data.synthetic import SyntheticCells, draw_cells, write_cells
from ova.heads.load import load_head
from ova.heads.recipe import HeadRecipe
from ova.heads.runs import current_run
from ova.heads.scores import read_scores
from ova.heads.training.plan import store_spec
from ova.heads.training.pos_weight import plan_balance
from ova.heads.training.train import TrainOptions, train_head
from ova.metrics import average_precision
from ova.recipes import check_recipe
from ova.workspace import Workspace

WAYS: dict[str, dict[str, Any]] = {
    "none": {"pos_weight": "none"},
    "auto": {},
    "auto, cap 10": {"pos_weight_cap": 10.0},
    "sqrt": {"pos_weight": "sqrt"},
    "sampler balanced": {"sampler": "balanced"},
    "sampler sqrt, no weight": {"sampler": "sqrt", "pos_weight": "none"},
    "10 negatives per positive": {"negatives_per_positive": 10.0},
    "the same 10 per positive": {"negatives_per_positive": 10.0, "rotate_negatives": False},
    "400 prototypes": {"prototypes": 400},
    "minority augmented": {"augment_only": "minority"},
    "focal": {"loss": "focal"},
    "asymmetric": {"loss": "asymmetric"},
}
SIZE, RARE, COMMON = 64, 240, 7760  # 3 % positives
SPLIT = {"test": 0.75, "validation": 0.085}  # about 40 positives and 1,280 negatives to train on
HEAD: dict[str, Any] = {
    "label": "crack",
    "backbone": {"name": "test_resnet"},
    "input": {"size": SIZE, "channels": 1},
    "training": {"batch_size": 32, "learning_rate": 3e-3, "weight_decay": 0.02, "precision": "float32"},
    "augment": {"flips": True, "quarter_turns": True},
}


def rare_cells(seed: int) -> SyntheticCells:
    """Draw cells, and keep few of the cracked ones."""
    cells = draw_cells(RARE * 50 // 11 + COMMON * 50 // 39 + 400, size=SIZE, seed=seed)
    kept = np.sort(
        np.concatenate([np.flatnonzero(cells.crack == 1)[:RARE], np.flatnonzero(cells.crack == 0)[:COMMON]])
    )
    return SyntheticCells(cells.images[kept], cells.crack[kept], cells.inactive[kept])


def recipe(way: str, seed: int, epochs: int) -> dict[str, Any]:
    """Return the head recipe of one way."""
    training = HEAD["training"] | {"seed": seed, "epochs": epochs}
    return HEAD | {"training": training, "balance": WAYS[way]}


def run_way(workspace: Workspace, dataset: Dataset, way: str, seed: int, images: int) -> dict[str, Any]:
    """Train one head on so many images in all, and measure it on the test part."""
    part_of, labels = dataset.split.part_of, dataset.table.column("crack")
    training = np.array([part_of[image] == "train" for image in dataset.table.images])
    settings = check_recipe(recipe(way, seed, 1), HeadRecipe, way).balance
    shown = plan_balance(labels[training], settings).shown
    name = "head"
    workspace.head_recipe(name).write_text(tomli_w.dumps(recipe(way, seed, round(images / shown))))
    train_head(workspace, dataset, name, TrainOptions(device="cpu", again=True))
    run, head = current_run(workspace, name), load_head(workspace, name)
    scores = read_scores(run.test_scores)
    raw, calibrated = scores.logits, head.calibration.calibrated(scores.logits)
    return {
        "way": way,
        "seed": seed,
        "rows": head.record.rows,
        "per_epoch": head.record.per_epoch[0],
        "epochs": head.record.recipe.training.epochs,
        "average_precision": average_precision(scores.labels, scores.logits),
        "log_loss_raw": log_loss(scores.labels, raw),
        "log_loss": log_loss(scores.labels, calibrated),
        "shift": head.record.log_odds_shift[0],
        "intercept": head.calibration.intercept,
        "seconds": head.record.seconds,
    }


def log_loss(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean cross-entropy in nats."""
    return float(np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits))))


def main() -> None:
    """Train all ways for all seeds, on one thread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder))
            write_cells(workspace.root / "data", rare_cells(seed))
            for file in (workspace.head_recipe("head"), workspace.dataset_recipe):
                file.parent.mkdir(parents=True, exist_ok=True)
            dataset_recipe = {"root": ".", "labels": "data.csv", "split": SPLIT | {"seed": seed}}
            workspace.dataset_recipe.write_text(tomli_w.dumps(dataset_recipe))
            first = check_recipe(recipe("auto", seed, 1), HeadRecipe, "auto")
            dataset = open_dataset(workspace, [store_spec(first)])
            for way in options.ways:
                print(json.dumps(run_way(workspace, dataset, way, seed, options.images)), flush=True)


if __name__ == "__main__":
    main()
