"""The search: which recipe to try next, when to give one up, and when to stop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ova.data.dataset import Dataset, open_dataset
from ova.data.recipe import DatasetRecipe
from ova.errors import OvaError
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import RunFolder, only_one
from ova.heads.selection import Criterion
from ova.heads.training.device import choose_device
from ova.heads.training.history import History
from ova.heads.training.plan import HeadPlan, plan_head, store_spec
from ova.heads.training.trackers import OnEpoch, check_trackers, tracking
from ova.heads.tune.found import Found, as_trial
from ova.heads.tune.journal import load_optuna, open_study, study_folder
from ova.heads.tune.space import Space, SpaceSettings
from ova.heads.tune.trial import run_trial
from ova.progress import Interrupted, Watch
from ova.recipes import load_recipe
from ova.workspace import Workspace

_STARTUP = 8  # trials that are drawn at random before the sampler learns from them


@dataclass(frozen=True)
class TuneSettings:
    """How long to search, for what."""

    trials: int = 20
    """In all, with those of earlier calls."""
    minutes: float | None = None
    """Stop after so many, in the middle of a trial; the next call goes on with it."""
    criterion: Criterion = "average-precision"
    seed: int = 0
    space: SpaceSettings = field(default_factory=SpaceSettings)


def search(
    workspace: Workspace,
    name: str,
    settings: TuneSettings,
    *,
    device: str = "auto",
    trackers: Sequence[str] = (),
    watch: Watch = Watch(),  # noqa: B008 (immutable)
) -> Found:
    """Try recipes of a head, the one that is there first; go on with a study that was begun.

    Trials are suggested by Optuna's TPE sampler, seeded anew for every trial, so that an interrupted study
    suggests what an uninterrupted one would have. A trial is given up when its validation average precision
    is below the median of earlier trials in the same epoch. Test rows are out of reach.

    Args:
        workspace: Where the head's recipe and data lie.
        name: The head.
        settings: How long to search, for what.
        device: auto, cpu, cuda, cuda:N or mps.
        trackers: What else is told of every epoch of a trial, see `ova.heads.training.trackers`.
        watch: Told after every trial and epoch, asked after every step.

    Raises:
        RecipeError: A recipe or the space is wrong.
        DataError: The data are refused, or hold nothing to learn from.
        EnvironmentFault: Optuna or a tracker is not installed, or another process tunes this head.
    """
    optuna = load_optuna()
    check_trackers(trackers, workspace)
    chosen = choose_device(device)
    recipe = read_head_recipe(workspace, name)
    largest = load_recipe(workspace.dataset_recipe, DatasetRecipe).draft_side
    space = Space(recipe, settings.space, largest)
    read = {store_spec(space.make(space.start() | {"size": size})) for size in space.sizes}
    specs = sorted(read, key=lambda spec: (spec.height, spec.width))
    dataset = open_dataset(workspace, specs, watch.progress)
    plan = plan_head(workspace, dataset, name)
    identity = {"space": space.to_json(), "criterion": settings.criterion, "seed": settings.seed}
    folder = study_folder(workspace, name, identity | {"rows": plan.digest})
    with only_one(folder / ".lock", f"{folder} is searched by another process; wait or stop it"):
        study = open_study(optuna, folder, settings.criterion)
        task = _Search(
            optuna,
            study,
            workspace,
            dataset,
            plan,
            space,
            settings,
            folder,
            chosen,
            trackers,
            watch,
        )
        stopped = task.run()
        return Found(folder, space, settings.criterion, tuple(map(as_trial, study.trials)), stopped)


@dataclass(frozen=True, eq=False)
class _Search:
    optuna: Any
    study: Any
    workspace: Workspace
    dataset: Dataset
    plan: HeadPlan
    space: Space
    settings: TuneSettings
    folder: Path
    device: torch.device
    trackers: Sequence[str]
    watch: Watch

    def run(self) -> str | None:
        """Run trials until the budget is spent; say why if it ended sooner."""
        task, begun = f"{self.plan.name} trials", time.monotonic()

        def late() -> bool:
            limit = self.settings.minutes
            return limit is not None and time.monotonic() - begun > 60 * limit

        self.watch.progress.start(task, self.settings.trials)
        while (done := self._done()) < self.settings.trials:
            self.watch.progress.advance(task, done)
            if self.watch.should_stop():
                return "interrupted"
            if late() or not self._one(late):
                return "interrupted" if self.watch.should_stop() else "out of time"
        self.watch.progress.advance(task, self.settings.trials)
        return None

    def _done(self) -> int:
        return sum(trial.state.is_finished() for trial in self.study.trials)

    def _one(self, late: Callable[[], bool]) -> bool:
        """Run the next trial, or go on with the one that was interrupted; False if interrupted again."""
        state, trial = self.optuna.trial.TrialState, self._next()
        run = RunFolder(self.folder / "trials" / f"{trial.number:04d}")
        try:
            recipe = self.space.make(self.space.suggest(trial))
            told = replace(self.plan, name=f"{self.plan.name} study {self.folder.name}", recipe=recipe)
            with tracking(self.trackers, self.workspace, told, run) as on_epoch:
                measured = run_trial(
                    self.workspace,
                    self.dataset,
                    replace(self.plan, name=f"{self.plan.name} trial {trial.number}", recipe=recipe),
                    run,
                    folds=self.space.settings.folds,
                    device=self.device,
                    watch=replace(self.watch, should_stop=lambda: late() or self.watch.should_stop()),
                    on_epoch=self._listener(trial, recipe.training.epochs, on_epoch),
                )
        except Interrupted:
            return False
        except self.optuna.TrialPruned:
            self.study.tell(trial, state=state.PRUNED)
        except (OvaError, torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            trial.set_user_attr("reason", " ".join(str(error).split()) or type(error).__name__)
            self.study.tell(trial, state=state.FAIL)
        else:
            self._tell(trial, measured)
        return True

    def _listener(self, trial: Any, epochs: int, also: OnEpoch | None) -> OnEpoch:
        def on_epoch(member: int, history: History) -> None:
            if also is not None:
                also(member, history)
            self._report(trial, epochs, member, history)

        return on_epoch

    def _tell(self, trial: Any, measured: Any) -> None:
        held_out = measured.held_out
        flat = {**asdict(held_out), **{k: v for k, v in asdict(measured).items() if k != "held_out"}}
        trial.set_user_attr("measured", flat)
        figure = held_out.figure(self.settings.criterion)
        if figure is None:
            trial.set_user_attr("reason", "it ranks backwards")
            self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, figure)

    def _next(self) -> Any:
        """Return the trial that was interrupted, or a new one; seed and earlier trials decide its choices."""
        running = [each for each in self.study.trials if each.state == self.optuna.trial.TrialState.RUNNING]
        number = running[0].number if running else len(self.study.trials)
        if not self.study.trials:
            self.study.enqueue_trial(self.space.start())
        seed = np.random.SeedSequence([self.settings.seed, number]).generate_state(1)[0]
        self.study.sampler = self.optuna.samplers.TPESampler(seed=int(seed), n_startup_trials=_STARTUP)
        if running:
            return self.optuna.trial.Trial(self.study, running[0]._trial_id)  # the way to go on with one
        return self.study.ask()

    def _report(self, trial: Any, epochs: int, member: int, history: History) -> None:
        """Tell the best average precision so far; raises TrialPruned where it is not worth going on."""
        found = [value for row in history if (value := row["validation_average_precision"]) is not None]
        if not found:
            return
        sign = 1 if self.settings.criterion == "average-precision" else -1  # a study has one direction
        with warnings.catch_warnings():  # epochs since the last checkpoint are told a second time
            warnings.simplefilter("ignore")
            trial.report(sign * max(found), member * epochs + len(history))
        if trial.number and trial.should_prune():  # the recipe that is there is always measured in full
            raise self.optuna.TrialPruned
