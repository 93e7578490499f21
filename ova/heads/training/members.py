"""The networks of one head: one, or one per fold, each trained on its own rows."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ova.data.dataset import Dataset
from ova.data.images.channels import ChannelSums
from ova.data.images.store import PixelStore
from ova.data.split.split import TEST
from ova.errors import ArtefactError
from ova.heads.network.backbones import classifier_keys, network_of
from ova.heads.network.head import Head, InputSpec
from ova.heads.network.pretrained import WeightsOrigin, load_pretrained, pretrained_normalisation
from ova.heads.recipe import HeadRecipe
from ova.heads.rows import Rows, in_batches
from ova.heads.runs import RunFolder
from ova.heads.scores import Scores, score_rows
from ova.heads.training.history import History, write_history
from ova.heads.training.loop import Fitted, Material, fit
from ova.heads.training.plan import HeadPlan, Part, store_spec, weights_file
from ova.heads.training.pos_weight import Balance, kept_negatives, plan_balance
from ova.heads.training.prototypes import choose_prototypes, embed, pooled_features, thumbnails
from ova.heads.training.trackers import OnEpoch
from ova.progress import Progress, Watch
from ova.storage import read_csv, read_tensors, write_csv, write_tensors
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Job:
    """What all networks of one head share."""

    plan: HeadPlan
    store: PixelStore
    spec: InputSpec
    classifier: frozenset[str]
    device: torch.device
    run: RunFolder
    on_epoch: OnEpoch | None
    """Told (member, its history so far) after every epoch; what it raises ends the training."""

    @classmethod
    def of(
        cls, plan: HeadPlan, dataset: Dataset, run: RunFolder, device: torch.device, on_epoch: OnEpoch | None
    ) -> Job:
        """Gather what the networks of a plan share; `dataset` has a store in the form that the head reads."""
        backbone, settings = plan.recipe.backbone, plan.recipe.input
        store = dataset.stores[store_spec(plan.recipe)]
        classifier = classifier_keys(backbone.name, channels=settings.channels, size=settings.shape)
        return cls(plan, store, _input_spec(plan, store), classifier, device, run, on_epoch)

    @property
    def recipe(self) -> HeadRecipe:
        """The head's settings."""
        return self.plan.recipe

    def rows(self, part: Part) -> Rows:
        """Rows of a part in the pixel store."""
        return Rows.of(part.images, part.labels, self.store)


def _input_spec(plan: HeadPlan, store: PixelStore) -> InputSpec:
    """Return size and normalisation: as the recipe says, as the pretrained weights want, or measured."""
    settings = plan.recipe.input
    height, width = settings.shape
    if settings.mean is not None and settings.std is not None:
        mean, std = settings.mean, settings.std
    elif plan.recipe.backbone.pretrained:
        mean, std = pretrained_normalisation(plan.recipe.backbone.name, settings.channels)
    else:
        training = sorted({image for names, _ in plan.members for image in plan.join(names).images})
        mean, std = pixel_statistics(store, store.rows(training))
    return InputSpec(height, width, settings.channels, mean, std, settings.thousandths)


def pixel_statistics(
    store: PixelStore, positions: NDArray[np.intp]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, in shares of white; sums are exact integers."""
    parts = in_batches(len(positions), 256)
    sums = (ChannelSums.of(store.read(positions[part])) for part in parts)
    return functools.reduce(operator.add, sums).mean_and_deviation()


def plan_balances(plan: HeadPlan) -> list[Balance]:
    """Plan the balance of every member, and refuse what cannot be done before there is a run.

    Raises:
        OvaError: As `plan_balance`.
    """
    labels = [plan.join(training).labels for training, _ in plan.members]
    return [plan_balance(each, plan.recipe.balance) for each in labels]


def initial_network(workspace: Workspace, job: Job, member: int) -> tuple[nn.Module, WeightsOrigin]:
    """Build the network of a member, the same for the same seed, with its first weights."""
    recipe = job.recipe
    backbone, size = recipe.backbone, recipe.input.shape
    source = "hub" if backbone.pretrained else "scratch"
    if backbone.weights:
        source = str(weights_file(workspace, recipe))
    with torch.random.fork_rng(devices=[]):  # the caller's generator is not ours to move
        torch.manual_seed(recipe.training.seed + member)
        network = network_of(recipe, to_train=True)
        origin = load_pretrained(network, backbone.name, source, channels=recipe.input.channels, size=size)
    return network.to(job.device, memory_format=torch.channels_last), origin  # pyright: ignore


@dataclass(frozen=True, eq=False)
class Trained:
    """A head that is ready, and how it came about."""

    head: Head
    """As it is used."""
    fitted: list[Fitted]
    """Per network of the folds, or one."""
    origin: WeightsOrigin
    pooled: Scores
    """Every calibration row, scored by the network that did not see it."""
    test: Scores | None
    """Test rows, scored by the whole head; None where the plan has none."""
    strengths: tuple[float, ...] = ()
    """Of the penalty, per network, where classifiers were fitted on a frozen trunk."""


OnWeights = Callable[[WeightsOrigin], None]


def train_members(
    workspace: Workspace,
    job: Job,
    balances: Sequence[Balance],
    watch: Watch,
    on_weights: OnWeights = lambda origin: None,
) -> Trained:
    """Train the networks of a head one after the other, and score its rows; `on_weights` is told first.

    Raises:
        OvaError: See its subclasses; what was reached so far is kept.
    """
    fitted, origin = [], None
    for member, balance in enumerate(balances):
        network, origin = initial_network(workspace, job, member)
        if member == 0:
            on_weights(origin)
        fitted.append(_fit_member(network, job, fitted, balance, watch))
    assert origin is not None  # noqa: S101 (a plan has at least one member)
    head = _assemble(job, fitted)
    parts = []
    for network, (_, validation) in zip(head.members, job.plan.members, strict=False):
        alone = Head([network], job.spec, head.views).to(job.device)
        parts.append(_score(alone, job, job.plan.parts[validation]))
    test = job.plan.parts.get(TEST)
    return Trained(
        head=head,
        fitted=fitted,
        origin=origin,
        pooled=Scores.joined(parts),
        test=None if test is None else _score(head, job, test),
    )


def _score(head: Head, job: Job, part: Part) -> Scores:
    rows = job.rows(part)
    return Scores(rows.images, rows.labels, score_rows(head, head, job.store, rows, device=job.device))


def _fit_member(
    network: nn.Module,
    job: Job,
    before: Sequence[Fitted],
    balance: Balance,
    watch: Watch,
) -> Fitted:
    """Train the network after those `before`, or read it back if it was finished before an interruption."""
    member = len(before)
    done = job.run.member(member)
    if done.exists():
        return _read_fitted(done)
    _, validation = job.plan.members[member]
    normalise = Head([network], job.spec).normalise.to(job.device)
    material = Material(
        store=job.store,
        train=job.rows(_trained_on(network, job, member, normalise, watch.progress)),
        validation=job.rows(job.plan.parts[validation]),
        normalise=normalise,
        balance=balance,
        device=job.device,
    )
    several = len(job.plan.members) > 1
    with torch.random.fork_rng(devices=[]):
        fitted = fit(
            network,
            material,
            job.recipe,
            classifier=job.classifier,
            checkpoint=job.run.checkpoint(member),
            task=f"{job.plan.name} {validation}" if several else job.plan.name,
            watch=watch,
            on_epoch=lambda history: _note_epoch(job, before, history),
        )
    if several:
        _write_fitted(done, fitted)
    return fitted


def _note_epoch(job: Job, before: Sequence[Fitted], history: History) -> None:
    write_history(job.run.history, [*(part.history for part in before), history])
    if job.on_epoch is not None:
        job.on_epoch(len(before), history)


def _trained_on(network: nn.Module, job: Job, member: int, normalise: nn.Module, progress: Progress) -> Part:
    """Return the training rows of a member; with prototypes, those negatives alone, chosen once and kept."""
    part, settings = job.plan.join(job.plan.members[member][0]), job.recipe.balance
    kept = kept_negatives(part.negatives, settings)
    if kept == part.negatives:
        return part
    file = job.run.prototypes(member)
    negatives = part.take(part.labels == 0)
    if not file.exists():
        task = f"{job.plan.name} prototypes"
        progress.start(task, part.negatives)
        backbone, rows = job.recipe.backbone, job.rows(negatives)
        starts_blank = not (backbone.pretrained or backbone.weights)
        vectors = embed(
            thumbnails if starts_blank else pooled_features(network, job.classifier, normalise),
            job.store,
            rows,
            device=job.device,
            progress=lambda done: progress.advance(task, done),
        )
        chosen = choose_prototypes(vectors, kept, job.recipe.training.seed)
        write_csv(file, ("image",), [(rows.images[row],) for row in chosen])
    names = {row.get("image", "") for row in read_csv(file)}
    if len(names) != kept or not names <= set(negatives.images):
        raise ArtefactError(f"{file} is damaged: it names other rows; remove it and run again")
    return part.take(
        np.array([part.labels[row] == 1 or name in names for row, name in enumerate(part.images)])
    )


def _write_fitted(path: Path, fitted: Fitted) -> None:
    values = {
        "best_epoch": fitted.best_epoch,
        "validation_average_precision": fitted.validation_average_precision,
        "history": fitted.history,
    }
    write_tensors(path, fitted.weights, {"fitted": json.dumps(values, allow_nan=False)})


def _read_fitted(path: Path) -> Fitted:
    weights, metadata = read_tensors(path)
    try:
        return Fitted(weights, **json.loads(metadata["fitted"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path} is damaged: {error}; remove it and run again") from error


def _assemble(job: Job, fitted: list[Fitted]) -> Head:
    """Put the best weights of all members into one head, ready to score."""
    recipe = job.recipe
    members = []
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, only to be replaced
        for member in fitted:
            network = network_of(recipe)
            network.load_state_dict({name: torch.from_numpy(array) for name, array in member.weights.items()})
            members.append(network)
    head = Head(members, job.spec, recipe.scoring.views)
    return head.to(job.device, memory_format=torch.channels_last).eval()  # pyright: ignore
