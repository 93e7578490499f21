"""What a finished training leaves: scores, history, record."""

from __future__ import annotations

import torch

import ova
from ova.data.recipe import DatasetRecipe
from ova.heads.network.backbones import trunk_digest
from ova.heads.runs import HeadRecord
from ova.heads.training.members import Job, Trained
from ova.heads.training.pos_weight import Balance


def make_record(
    job: Job, trained: Trained, balances: list[Balance], digest: str, data: DatasetRecipe
) -> HeadRecord:
    """Gather what there is to know of a finished run."""
    plan, recipe = job.plan, job.recipe
    fitted, members, prefix = trained.fitted, len(trained.head.members), "members."
    state = {
        name.removeprefix(prefix): array
        for name, array in trained.head.tensors().items()
        if name.startswith(prefix)
    }
    keys = {f"{n}.{name}" for n in range(members) for name in job.classifier}
    return HeadRecord(
        ova_version=ova.__version__,
        name=plan.name,
        label=recipe.label,
        digest=plan.digest,
        recipe=recipe,
        input=job.spec.to_json(),
        white_level=data.white_level,
        draft_side=data.draft_side,
        members=members,
        weights_digest=digest,
        trunk_digest=trunk_digest(
            state, keys, name=recipe.backbone.name, input_spec=job.spec, pooling=recipe.backbone.pooling
        ),
        initial_weights=trained.origin.source,
        licence=trained.origin.licence,
        pos_weight=tuple(balance.pos_weight for balance in balances),
        per_epoch=tuple(balance.per_epoch for balance in balances),
        log_odds_shift=tuple(balance.log_odds_shift for balance in balances),
        balance=balances[0].lines,
        rows={name: (part.positives, part.negatives) for name, part in sorted(plan.parts.items())},
        unknown=plan.unknown,
        strengths=trained.strengths,
        best_epochs=tuple(part.best_epoch for part in fitted),
        validation_average_precision=tuple(part.validation_average_precision for part in fitted),
        seconds=round(sum(float(row["seconds"] or 0) for part in fitted for row in part.history), 3),
        device=str(job.device),
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
    )
