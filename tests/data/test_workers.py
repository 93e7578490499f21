from __future__ import annotations

import os
import signal
import time
from threading import Lock

import pytest

from ova.data.workers import map_in_order
from ova.errors import EnvironmentFault


def slow_first(item):
    time.sleep(0.02 if item == 0 else 0)
    return item, os.getpid()


@pytest.mark.parametrize("processes", [False, True])
def test_results_come_in_order(processes):
    results = list(map_in_order(slow_first, range(40), processes=processes, workers=2))
    assert [item for item, _ in results] == list(range(40))
    assert ({process for _, process in results} == {os.getpid()}) == (not processes)


def test_few_items_are_under_way():
    taken, lock, done = [], Lock(), 0

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    for _ in map_in_order(lambda item: item, items(), workers=2):
        with lock:
            done += 1
        assert len(taken) <= done + 6
    assert done == 50


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_it(error):
    done = []

    def work(item):
        if item == 3:
            raise error("three")
        done.append(item)

    with pytest.raises(error, match="three"):
        list(map_in_order(work, range(1000), workers=2))
    assert len(done) < 20


def kill(item):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_dead_process_is_one_line():
    with pytest.raises(EnvironmentFault, match="a worker process died"):
        list(map_in_order(kill, range(4), processes=True, workers=2))


def environment(item):
    return os.environ["OMP_NUM_THREADS"], signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_processes_keep_to_one_thread_and_leave_interrupts_to_their_parent():
    before = dict(os.environ)
    assert set(map_in_order(environment, range(4), processes=True, workers=2)) == {("1", True)}
    assert dict(os.environ) == before
