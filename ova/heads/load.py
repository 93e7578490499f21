"""Load a trained and calibrated head that is ready to use."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ova.errors import ArtefactError
from ova.heads.calibration.calibrate_run import read_calibration
from ova.heads.calibration.calibration import Calibration
from ova.heads.network.head import Head, InputSpec
from ova.heads.runs import HeadRecord, current_run
from ova.storage import read_tensors
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A head with everything that its decisions need."""

    name: str
    label: str
    head: Head
    calibration: Calibration
    weights_digest: str
    record: HeadRecord

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self.record.recipe.backbone.name

    @property
    def weights_licence(self) -> str | None:
        """Licence of the weights that it started from, if they had one."""
        return self.record.licence


def load_head(workspace: Workspace, name: str) -> TrainedHead:
    """Load the run of a head that is in use, on the CPU, in evaluation mode.

    Raises:
        ArtefactError: Not trained, damaged, or a calibration of other weights.
    """
    from ova.heads.network.backbones import network_of

    run = current_run(workspace, name)
    record = run.read_record()
    if record.name != name:
        raise ArtefactError(f"{run.path} holds head {record.name!r}, not {name!r}")
    arrays, metadata = read_tensors(run.weights)
    if metadata.get("digest") != record.weights_digest:
        raise ArtefactError(
            f"{run.weights} is not the file that {run.record.name} describes; train the head again"
        )
    calibration = read_calibration(run, record)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, only to be replaced
        members = [network_of(record.recipe) for _ in range(record.members)]
    head = Head(members, InputSpec.from_json(record.input), record.recipe.scoring.views)
    head.load_tensors(arrays)
    return TrainedHead(name, record.label, head.eval(), calibration, record.weights_digest, record)
