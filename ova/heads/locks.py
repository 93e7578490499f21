"""One process at a time on a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ova.errors import EnvironmentFault


@contextmanager
def only_one(lock_file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock against a second process; it dies with its holder.

    Args:
        lock_file: In a folder that is there.
        refusal: What is said where another process holds it.

    Raises:
        EnvironmentFault: Another process holds it.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise EnvironmentFault(refusal) from error
    try:
        yield
    finally:
        lock.release()
