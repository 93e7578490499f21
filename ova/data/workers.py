"""Work through many items on all cores, in order and in bounded memory: in threads, or in processes."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from ova.errors import EnvironmentFault

S = TypeVar("S")
T = TypeVar("T")

# Processes are not held up by the interpreter lock, but take 0.4 s to start.
PROCESSES_FROM = 400
_WAITING_PER_WORKER = 3
_work: Callable[[Any], Any] | None = None
_ENVIRONMENT = {
    # One image per core: more threads in each would only get in each other's way.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Keep the memory of one image for the next (glibc and Pillow): asking the system for it again, page by
    # page, can take longer than decoding.
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "PILLOW_BLOCKS_MAX": "8",
}


def map_in_order(
    work: Callable[[S], T], items: Iterable[S], *, processes: bool = False, workers: int | None = None
) -> Iterator[T]:
    """Yield `work(item)` for every item, in order; few items are under way at any time.

    Args:
        work: Sent once to every process, so picklable there; as are items and results.
        items: Taken as room appears.
        processes: Work in processes; else in threads of this one.
        workers: How many; all cores by default.

    Raises:
        EnvironmentFault: A process died.
        BaseException: Whatever `work` raised; the rest is given up.
    """
    count = workers or os.cpu_count() or 1
    limit = count * _WAITING_PER_WORKER
    if processes and count > 1:
        with _processes(work, count) as pool:
            yield from _bounded(pool, _work_in_process, iter(items), limit)
    else:
        with ThreadPoolExecutor(count) as pool:
            yield from _bounded(pool, work, iter(items), limit)


def _bounded(pool: Executor, work: Callable[[S], T], items: Iterator[S], limit: int) -> Iterator[T]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting: deque[Future[T]] = deque(pool.submit(work, item) for item in islice(items, limit))
    try:
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(items, 1))
    except TerminatedWorkerError as error:
        raise EnvironmentFault("a worker process died (out of memory?); free memory and run again") from error
    finally:
        for future in waiting:
            future.cancel()


def _processes(work: Callable[[Any], Any], count: int) -> Executor:
    from joblib.externals.loky import ProcessPoolExecutor  # unlike the standard one, needs no __main__ guard

    return ProcessPoolExecutor(count, initializer=_begin_process, initargs=(work,), env=_ENVIRONMENT)


def _begin_process(work: Callable[[Any], Any]) -> None:
    global _work  # noqa: PLW0603 (a process of ours does one work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    _work = work


def _work_in_process(item: Any) -> Any:
    assert _work is not None  # noqa: S101
    return _work(item)
