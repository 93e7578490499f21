"""Train many heads, one after the other or side by side; what happens to one is of no concern to the rest."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import torch
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ova.data.dataset import Dataset, open_dataset
from ova.errors import OvaError, RecipeError
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import all_runs
from ova.heads.training.device import choose_device
from ova.heads.training.history import epochs_done
from ova.heads.training.plan import HeadSkipped, store_spec
from ova.heads.training.trackers import check_trackers
from ova.heads.training.train import HeadOutcome, TrainOptions, train_head
from ova.progress import Interrupted, Progress, Silent, Watch, never
from ova.storage import write_bytes
from ova.workspace import Workspace

log = logging.getLogger("ova")
_LOOK_EVERY_SECONDS = 1.0


def train_heads(
    workspace: Workspace,
    names: Sequence[str] = (),
    *,
    jobs: int = 1,
    device: str = "auto",
    again: bool = False,
    trackers: Sequence[str] = (),
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> list[HeadOutcome]:
    """Train heads by name, or all of them; one that fails leaves the others done.

    Args:
        workspace: Where recipes and runs lie.
        names: Heads; all that have a recipe if empty.
        jobs: How many to train side by side, each with its share of the cores. On a CPU the weights are
            bit-identical only for the same number of threads, which every record holds.
        device: auto, cpu, cuda, cuda:N or mps.
        again: Train anew even what has not changed.
        trackers: What else is told of every epoch: "tensorboard", "mlflow".
        progress: Told after every image and epoch.
        should_stop: Asked after every step.

    Returns:
        One outcome per head, in the order asked for.

    Raises:
        RecipeError: A name has no recipe, a recipe or the device is wrong, or there is nothing to train.
        EnvironmentFault: This machine has no such device, or a tracker is not installed.
        DataError: Labels or images are refused.

    Example:
        `workspace` has heads spot and bar, which were trained a moment ago, so that nothing is left to do:

        >>> import ova
        >>> [(outcome.name, outcome.status) for outcome in ova.train_heads(workspace, ["spot", "bar"])]
        [('spot', 'kept'), ('bar', 'kept')]
    """
    watch = Watch(progress or Silent(), should_stop)
    options = TrainOptions(device=device, again=again, trackers=trackers, watch=watch)
    names = list(dict.fromkeys(names)) or workspace.head_names()
    if not names:
        raise RecipeError(f"no head to train: {workspace.root / 'heads'} has no recipe; ova init writes some")
    choose_device(device)  # a wrong name is told before any image is read
    check_trackers(trackers, workspace)
    specs = [store_spec(read_head_recipe(workspace, name)) for name in names]
    dataset = open_dataset(workspace, specs, watch.progress)
    if jobs > 1 and len(names) > 1:
        return _side_by_side(workspace, names, jobs, options)
    return [_train_one(workspace, dataset, name, options) for name in names]


def _train_one(workspace: Workspace, dataset: Dataset, name: str, options: TrainOptions) -> HeadOutcome:
    """Train one head and turn whatever happens to it into an outcome."""
    try:
        return train_head(workspace, dataset, name, options)
    except HeadSkipped as error:
        return HeadOutcome(name, "skipped", str(error))
    except Interrupted as error:
        return HeadOutcome(name, "interrupted", str(error))
    except OvaError as error:
        return HeadOutcome(name, "failed", str(error))
    except (torch.OutOfMemoryError, MemoryError):
        return HeadOutcome(name, "failed", "out of memory; lower training.batch_size or input.size")
    except Exception as error:  # a head must not take the others down, whatever its backbone throws
        log.exception("head %s failed", name)
        reason = (str(error).splitlines() or [""])[0]
        return HeadOutcome(name, "failed", f"{type(error).__name__}: {reason}; --debug shows where")


def _side_by_side(
    workspace: Workspace,
    names: Sequence[str],
    jobs: int,
    options: TrainOptions,
) -> list[HeadOutcome]:
    """Train in worker processes; outcomes arrive as heads finish, and are put in the order asked for."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    stop_file = workspace.stop_request(os.getpid())
    outcomes: dict[str, HeadOutcome] = {}
    parallel = Parallel(
        n_jobs=jobs, backend="loky", inner_max_num_threads=threads, return_as="generator_unordered"
    )
    unwatched = replace(options, watch=Watch())  # it cannot be sent to another process
    try:
        with _watching(workspace, names, options.watch, stop_file):
            arriving: Iterable[HeadOutcome] = parallel(
                delayed(_in_worker)(workspace.root, name, unwatched, threads, stop_file) for name in names
            )  # pyright: ignore[reportAssignmentType] (joblib does not say what it yields)
            for outcome in arriving:
                outcomes[outcome.name] = outcome
    except TerminatedWorkerError:
        # The dead worker takes the pool with it, but every finished head is on disk.
        reason = "its worker process died (out of memory?); run the same command again, with fewer --jobs"
        for name in names:
            outcomes.setdefault(name, HeadOutcome(name, "failed", reason))
    finally:
        stop_file.unlink(missing_ok=True)
    return [outcomes[name] for name in names]


def _in_worker(root: Path, name: str, options: TrainOptions, threads: int, stop_file: Path) -> HeadOutcome:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    torch.set_num_threads(threads)
    workspace = Workspace(root)
    try:
        dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, name))])
    except OvaError as error:
        return HeadOutcome(name, "failed", str(error))
    return _train_one(workspace, dataset, name, replace(options, watch=Watch(should_stop=stop_file.exists)))


@contextmanager
def _watching(workspace: Workspace, names: Sequence[str], watch: Watch, stop_file: Path) -> Iterator[None]:
    """While the block runs, tell the epochs of heads, and pass a request to stop on to their processes.

    Args:
        workspace: Where the runs are.
        names: Heads that are trained.
        watch: Told and asked once a second.
        stop_file: Written when it says so; the workers look for it after every step.
    """
    over = Event()
    epochs = {name: read_head_recipe(workspace, name).training.epochs for name in names}

    def look() -> None:
        while not over.wait(_LOOK_EVERY_SECONDS):
            for name in names:
                runs = [run for run in all_runs(workspace, name) if not run.finished]
                if runs:
                    watch.progress.advance(name, epochs_done(runs[-1].history) % epochs[name])
            if watch.should_stop() and not stop_file.exists():
                write_bytes(stop_file, b"")

    for name in names:
        watch.progress.start(name, epochs[name])
    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
