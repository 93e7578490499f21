"""A head on a frozen trunk: features once, then one logistic regression per fold, in place of epochs.

What the trunk says of an image does not change while the classifier is fitted, so it is computed once, for
all heads and folds (`ova.heads.features`), and the fit is convex: it has one answer, without a rate or an
epoch to choose. Mirrors and quarter turns of the recipe are rows of their own with a share of the weight, so
that training sees exactly their mean. The mean of the folds' linear layers on one trunk is one linear layer:
the head in use is a single network, and gives the mean of their logits.

Shape letters: N images of the store, V views, D features, n rows.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ova.data.augment.recipe import AugmentSettings
from ova.data.split.split import TEST
from ova.errors import RecipeError
from ova.heads.features.features import FeatureSpec, compute_features
from ova.heads.features.logistic import Linear, LogisticFit, fit_logistic
from ova.heads.network.backbones import classifier_keys, sketch, trunk_digest
from ova.heads.network.head import Head, Views
from ova.heads.network.trunk import classifier_name, part_network
from ova.heads.recipe import HeadRecipe
from ova.heads.rows import Rows
from ova.heads.scores import Scores
from ova.heads.training.history import HistoryRow
from ova.heads.training.loop import Fitted
from ova.heads.training.losses import validation_loss
from ova.heads.training.members import Job, OnWeights, Trained, initial_network
from ova.heads.training.plan import Part
from ova.heads.training.pos_weight import Balance
from ova.metrics import Counts, average_precision
from ova.progress import Interrupted, Watch
from ova.workspace import Workspace

_INNER_FOLDS = 5
# Places in `all_views(..., "dihedral")` of the four quarter turns.
_TURNS = (0, 3, 5, 6)


def is_probe(recipe: HeadRecipe) -> bool:
    """Whether a head's trunk stays frozen to the end, below a classifier of one linear layer."""
    backbone, settings = recipe.backbone, recipe.input
    return backbone.stays_frozen and _ends_in_a_line(backbone.name, settings.channels, settings.shape)


@functools.cache
def _ends_in_a_line(name: str, channels: int, size: tuple[int, int]) -> bool:
    classifier = classifier_keys(name, channels=channels, size=size)
    return classifier_name(sketch(name, 1, channels=channels, size=size), classifier) is not None


def refuse_what_a_probe_cannot(recipe: HeadRecipe) -> None:
    """Refuse settings that a classifier on a frozen trunk has no use for; other recipes pass.

    Raises:
        RecipeError: Names all of them.
    """
    if not is_probe(recipe):
        return
    balance, training = recipe.balance, recipe.training
    plain = AugmentSettings(flips=recipe.augment.flips, quarter_turns=recipe.augment.quarter_turns)
    idle = {
        "augment (other than flips and quarter_turns)": recipe.augment != plain,
        "balance.loss": balance.loss != "bce",
        "balance.prototypes": balance.prototypes is not None,
        "balance.augment_only": balance.augment_only != "all",
        "backbone.dropout": recipe.backbone.dropout > 0,
        "backbone.drop_path": recipe.backbone.drop_path > 0,
        "training.mixup": training.mixup > 0,
        "training.label_smoothing": training.label_smoothing > 0,
    }
    if named := [name for name, found in idle.items() if found]:
        raise RecipeError(
            f"a trunk that stays frozen is read once, and its classifier is fitted without epochs: "
            f"leave out {', '.join(named)}, or set backbone.unfreeze_epoch to train the trunk too"
        )


def fit_probe(
    workspace: Workspace,
    job: Job,
    balances: Sequence[Balance],
    belonging: Mapping[str, str],
    watch: Watch,
    on_weights: OnWeights = lambda origin: None,
) -> Trained:
    """Fit the classifiers of all folds, and join them to the head that is used.

    Args:
        workspace: Where weights and features lie.
        job: What is fitted.
        balances: Of each fold.
        belonging: Image -> name of what the split keeps together (`Dataset.belonging`).
        watch: Told after every chunk of features and every fold, asked as often.
        on_weights: Told where the first weights came from, before anything is computed.

    Raises:
        Interrupted: `watch` said so; features are kept.
        OvaError: See its subclasses.
    """
    network, origin = initial_network(workspace, job, 0)
    on_weights(origin)
    trunk, layer = part_network(network, job.classifier)
    views = _Views.of(job.recipe)
    features = compute_features(
        workspace.features,
        job.store,
        trunk,
        job.spec,
        FeatureSpec(_trunk_digest(network, job), views.views, views.averaged),
        task=f"features of {job.recipe.backbone.name}",
        device=job.device,
        watch=watch,
    )
    fits, fitted = [], []
    watch.progress.start(job.plan.name, len(balances))
    for member, balance in enumerate(balances):
        started = time.monotonic()
        fit = _fit_member(job, member, balance, features, views, belonging)
        row = _history_row(job, member, balance, fit, features, views, time.monotonic() - started)
        fits.append(fit)
        fitted.append(Fitted({}, 1, row["validation_average_precision"], [row]))
        watch.progress.advance(job.plan.name, member + 1)
        if watch.should_stop() and member + 1 < len(balances):
            raise Interrupted(f"{job.plan.name}: stopped; run the same command again, its features are kept")
    joined = Linear(
        np.mean([fit.linear.weights for fit in fits], axis=0),
        float(np.mean([fit.linear.bias for fit in fits])),
    )
    _set_classifier(layer, joined)
    head = Head([network], job.spec, job.recipe.scoring.views).to(job.device).eval()
    test = job.plan.parts.get(TEST)
    return Trained(
        head=head,
        fitted=fitted,
        origin=origin,
        pooled=_pooled(job, fits, features, views),
        test=None if test is None else _score(job, test, joined, features, views),
        strengths=tuple(fit.strength for fit in fits),
    )


class _Views:
    """Which views are kept, which of them are trained on, and which are averaged to score."""

    def __init__(
        self, views: Views, averaged: bool, trained: tuple[int, ...], scored: tuple[int, ...]
    ) -> None:
        self.views: Views = views
        self.averaged = averaged
        self._trained, self._scored = list(trained), list(scored)

    @classmethod
    def of(cls, recipe: HeadRecipe) -> _Views:
        augment, scoring = recipe.augment, recipe.scoring.views
        if not augment.flips and not augment.quarter_turns:
            return cls(scoring, True, (0,), (0,))
        turned = augment.quarter_turns or scoring == "dihedral"
        trained = tuple(range(8 if augment.quarter_turns else 4)) if augment.flips else _TURNS
        scored = {"none": 1, "flips": 4, "dihedral": 8}[scoring]
        return cls("dihedral" if turned else "flips", False, trained, tuple(range(scored)))

    def to_train(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the views (n, v, D) that training sees."""
        return features[:, self._trained]

    def to_score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean (n, D) over the views that a score is made of."""
        chosen = features[:, self._scored]
        return (
            chosen[:, 0]
            if len(self._scored) == 1
            else chosen.mean(axis=1, dtype=np.float64).astype(np.float32)
        )


def _trunk_digest(network: nn.Module, job: Job) -> str:
    state = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    backbone = job.recipe.backbone
    return trunk_digest(
        state, job.classifier, name=backbone.name, input_spec=job.spec, pooling=backbone.pooling
    )


def _fit_member(
    job: Job,
    member: int,
    balance: Balance,
    features: NDArray[np.float32],
    views: _Views,
    belonging: Mapping[str, str],
) -> LogisticFit:
    names, _ = job.plan.members[member]
    part_of = {image: number for number, name in enumerate(names) for image in job.plan.parts[name].images}
    rows = job.rows(job.plan.join(names))
    shown = views.to_train(features[rows.positions])
    count = shown.shape[1]
    repeated = Rows(rows.images, np.repeat(rows.labels, count), rows.positions, rows.keys)
    folds = _inner_folds(rows, part_of if len(names) > 2 else None, belonging, job.recipe.training.seed)
    return fit_logistic(
        shown.reshape(-1, shown.shape[2]),
        repeated.labels,
        np.repeat(_weights(rows.labels, balance) / count, count),
        None if folds is None else np.repeat(folds, count),
    )


def _weights(labels: NDArray[np.int8], balance: Balance) -> NDArray[np.float64]:
    """Return what each row counts (n,): how often an epoch would show it, and `pos_weight` for positives.

    A cap that shows other negatives in every epoch is, on average, a share of the weight of all.
    """
    rows = np.bincount(labels, minlength=2)
    per_row = np.array(balance.per_epoch) / rows * (1.0, balance.pos_weight)
    return per_row[labels]


def _inner_folds(
    rows: Rows, part_of: Mapping[str, int] | None, belonging: Mapping[str, str], seed: int
) -> NDArray[np.intp] | None:
    """Return the fold (n,) of each training row by which the strength is chosen; None with too few positives.

    Where the split has folds, these are they; elsewhere rows are dealt by groups, stratified.
    """
    if part_of is not None:
        folds = np.array([part_of[image] for image in rows.images], np.intp)
    else:
        from sklearn.model_selection import StratifiedGroupKFold

        names = np.array([belonging.get(image, image) for image in rows.images])
        rarer = min(len(np.unique(names[rows.labels == label])) for label in (0, 1))
        if rarer < 2:
            return None
        dealt = StratifiedGroupKFold(min(_INNER_FOLDS, rarer), shuffle=True, random_state=seed % 2**32)
        folds = np.empty(len(rows), np.intp)
        for number, (_, held_out) in enumerate(dealt.split(rows.labels, rows.labels, names)):
            folds[held_out] = number
    both = all(len(np.unique(rows.labels[folds != fold])) == 2 for fold in np.unique(folds))
    return folds if both else None


def _history_row(
    job: Job,
    member: int,
    balance: Balance,
    fit: LogisticFit,
    features: NDArray[np.float32],
    views: _Views,
    seconds: float,
) -> HistoryRow:
    """Say in the form of an epoch how a fit did on its training rows and on those that it has not seen."""
    names, validation = job.plan.members[member]
    odds = np.exp(balance.log_odds_shift)
    told: HistoryRow = {"epoch": 1, "seconds": round(seconds, 3), "learning_rate": 0.0}
    for part, rows in (
        ("train", job.rows(job.plan.join(names))),
        ("validation", job.rows(job.plan.parts[validation])),
    ):
        logits = fit.linear(views.to_score(features[rows.positions]))
        told[f"{part}_loss"] = validation_loss(logits, rows.labels, odds)
        told |= {
            f"{part}_{name}": count for name, count in asdict(Counts.of(rows.labels, logits >= 0)).items()
        }
    told["validation_average_precision"] = average_precision(
        rows.labels, logits
    )  # of the part that came last
    return told


def _set_classifier(layer: nn.Linear, linear: Linear) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(linear.weights.astype(np.float32))[None])
        layer.bias.fill_(linear.bias)


def _pooled(job: Job, fits: list[LogisticFit], features: NDArray[np.float32], views: _Views) -> Scores:
    """Score every calibration row by the classifier that did not see it."""
    parts = [
        _score(job, job.plan.parts[validation], fit.linear, features, views)
        for fit, (_, validation) in zip(fits, job.plan.members, strict=False)
    ]
    return Scores.joined(parts)


def _score(job: Job, part: Part, linear: Linear, features: NDArray[np.float32], views: _Views) -> Scores:
    rows = job.rows(part)
    return Scores(rows.images, rows.labels, linear(views.to_score(features[rows.positions])))
