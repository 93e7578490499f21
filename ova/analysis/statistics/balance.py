"""What balancing makes of the training rows of every head, and how its input compares with the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.analysis.statistics.parts import Parts
from ova.analysis.statistics.sizes import Sizes
from ova.data.images.crop import WHOLE
from ova.data.images.store import StoreSpec
from ova.data.labels.table import LabelTable
from ova.errors import OvaError
from ova.heads.recipe import HeadRecipe, read_head_recipe
from ova.heads.training.plan import store_spec
from ova.heads.training.pos_weight import plan_balance
from ova.workspace import Workspace


@dataclass(frozen=True)
class NetworkBalance:
    """The training rows of one network of a head, before and after balancing."""

    validation: str
    """The part that is held out: `validation`, or a fold."""
    rows: tuple[int, int]
    """(negatives, positives) on disk."""
    per_epoch: tuple[int, int]
    """(negatives, positives) that one epoch shows, repeats counted."""
    pos_weight: float
    """Weight of a positive in the loss."""
    lines: tuple[str, ...]
    """What is done, in words."""

    @property
    def shares(self) -> tuple[float, float, float]:
        """Share of positives on disk, in an epoch, and in the loss, where each counts `pos_weight` times."""
        weighed = self.per_epoch[1] * self.pos_weight
        return (
            self.rows[1] / sum(self.rows),
            self.per_epoch[1] / sum(self.per_epoch),
            weighed / (self.per_epoch[0] + weighed),
        )


@dataclass(frozen=True)
class HeadBalance:
    """One head."""

    name: str
    label: str | None
    networks: tuple[NetworkBalance, ...]
    """One, or one per fold; none where `note` says why."""
    form: StoreSpec | None
    """What the network reads."""
    enlarged: float | None
    """Share of all images that are smaller than that, in height or in width."""
    note: str | None

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        networks = [
            {
                "validation": each.validation,
                "rows": {"negatives": each.rows[0], "positives": each.rows[1]},
                "per_epoch": {"negatives": each.per_epoch[0], "positives": each.per_epoch[1]},
                "pos_weight": each.pos_weight,
                "share_on_disk": each.shares[0],
                "share_per_epoch": each.shares[1],
                "share_in_loss": each.shares[2],
                "lines": list(each.lines),
            }
            for each in self.networks
        ]
        form = self.form
        size = (
            None if form is None else {"height": form.height, "width": form.width, "channels": form.channels}
        )
        return {
            "head": self.name,
            "label": self.label,
            "networks": networks,
            "input": size,
            "share_enlarged": self.enlarged,
            "note": self.note,
        }


def balance_heads(
    workspace: Workspace, table: LabelTable, sizes: Sizes, split: Parts
) -> tuple[HeadBalance, ...]:
    """Plan the balance of every head from its recipe and training rows; a note tells why one has none."""
    training = split.training()
    return tuple(_balance(workspace, name, table, sizes, training) for name in workspace.head_names())


def _balance(
    workspace: Workspace,
    name: str,
    table: LabelTable,
    sizes: Sizes,
    training: Mapping[str, NDArray[np.bool_]],
) -> HeadBalance:
    try:
        recipe = read_head_recipe(workspace, name)
    except OvaError as error:
        return HeadBalance(name, None, (), None, None, str(error))
    form = store_spec(recipe)
    enlarged = sizes.share_below(*(-(-side * WHOLE // form.crop) for side in (form.height, form.width)))
    try:
        networks = tuple(_network(part, table, recipe, rows) for part, rows in training.items())
    except OvaError as error:
        return HeadBalance(name, recipe.label, (), form, enlarged, str(error))
    return HeadBalance(name, recipe.label, networks, form, enlarged, None)


def _network(
    validation: str, table: LabelTable, recipe: HeadRecipe, rows: NDArray[np.bool_]
) -> NetworkBalance:
    labels = table.column(recipe.label)[rows]
    balance = plan_balance(labels, recipe.balance)
    on_disk = int((labels == 0).sum()), int((labels == 1).sum())
    return NetworkBalance(validation, on_disk, balance.per_epoch, balance.pos_weight, balance.lines)
