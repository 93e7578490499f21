"""What a finished training leaves: scores, history, record."""

from __future__ import annotations

import numpy as np
import torch

import ova
from ova.data.recipe import DatasetRecipe
from ova.data.split.split import TEST
from ova.heads.network.backbones import trunk_digest
from ova.heads.network.head import Head
from ova.heads.network.pretrained import WeightsOrigin
from ova.heads.runs import HeadRecord
from ova.heads.scores import Scores, score_rows, write_scores
from ova.heads.training.loop import Fitted
from ova.heads.training.members import Job
from ova.heads.training.plan import Part
from ova.heads.training.pos_weight import Balance


def write_all_scores(job: Job, head: Head) -> None:
    """Score every calibration row by the network that did not see it, and test rows by the whole head."""
    write_scores(job.run.scores, pooled_scores(job, head))
    write_scores(job.run.test_scores, _score(head, job, job.plan.parts[TEST]))


def pooled_scores(job: Job, head: Head) -> Scores:
    """Score every calibration row by the network that did not see it; of folds, those that were trained."""
    pooled = []
    for member, (_, validation) in zip(head.members, job.plan.members, strict=False):
        alone = Head([member], job.spec, head.views).to(job.device)
        pooled.append(_score(alone, job, job.plan.parts[validation]))
    return Scores(
        tuple(image for part in pooled for image in part.images),
        np.concatenate([part.labels for part in pooled]),
        np.concatenate([part.logits for part in pooled]),
    )


def _score(head: Head, job: Job, part: Part) -> Scores:
    rows = job.rows(part)
    return Scores(rows.images, rows.labels, score_rows(head, head, job.store, rows, device=job.device))


def make_record(
    job: Job,
    fitted: list[Fitted],
    balances: list[Balance],
    origin: WeightsOrigin,
    digest: str,
    data: DatasetRecipe,
) -> HeadRecord:
    """Gather what there is to know of a finished run."""
    plan, recipe = job.plan, job.recipe
    state = {f"{n}.{name}": array for n, part in enumerate(fitted) for name, array in part.weights.items()}
    keys = {f"{n}.{name}" for n in range(len(fitted)) for name in job.classifier}
    return HeadRecord(
        ova_version=ova.__version__,
        name=plan.name,
        label=recipe.label,
        digest=plan.digest,
        recipe=recipe,
        input=job.spec.to_json(),
        white_level=data.white_level,
        draft_side=data.draft_side,
        members=len(fitted),
        weights_digest=digest,
        trunk_digest=trunk_digest(state, keys, name=recipe.backbone.name, input_spec=job.spec),
        initial_weights=origin.source,
        licence=origin.licence,
        pos_weight=tuple(balance.pos_weight for balance in balances),
        per_epoch=tuple(balance.per_epoch for balance in balances),
        log_odds_shift=tuple(balance.log_odds_shift for balance in balances),
        balance=balances[0].lines,
        rows={name: (part.positives, part.negatives) for name, part in sorted(plan.parts.items())},
        unknown=plan.unknown,
        best_epochs=tuple(part.best_epoch for part in fitted),
        validation_average_precision=tuple(part.validation_average_precision for part in fitted),
        seconds=round(sum(float(row["seconds"] or 0) for part in fitted for row in part.history), 3),
        device=str(job.device),
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
    )
