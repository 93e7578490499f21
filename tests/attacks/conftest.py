from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_opened: list[str] | None = None


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes | os.PathLike):
        _opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_listen)  # it cannot be taken away again, but it hears only while `watch_opens` runs


def _is_python(path: str) -> bool:
    """Modules that are imported late are opened, too, and lie elsewhere."""
    homes = {sys.prefix, sys.base_prefix, *sys.path} - {""}
    return path.endswith((".py", ".pyc", ".so")) and any(path.startswith(f"{home}/") for home in homes)


@contextmanager
def _watch(*allowed: Path) -> Iterator[list[str]]:
    """Collect what is opened, by any thread, outside the allowed folders once links are followed."""
    global _opened  # noqa: PLW0603
    outside: list[str] = []
    _opened = []
    try:
        yield outside
    finally:
        found, _opened = _opened, None
        homes = [os.path.realpath(folder) for folder in allowed]
        for path in map(os.path.realpath, found):
            if not any(path == home or path.startswith(f"{home}/") for home in homes) and not _is_python(
                path
            ):
                outside.append(path)


@pytest.fixture(scope="session")
def watch_opens() -> Callable[..., object]:
    return _watch


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        total.update(f"{path} {status.st_mode} {status.st_mtime_ns} {status.st_size}\n".encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="session")
def digest_folder() -> Callable[[Path], str]:
    """Digest names, times and contents of all that a folder holds."""
    return _digest
