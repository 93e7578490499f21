"""A process that keeps its memory asks for no pages again; each way in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from ova.cli.memory import keep_freed_memory

_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from ova.cli.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
np.ones(100 * 2**20, np.uint8)
print(resident() - before)
"""


def kept(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, way], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_freed_memory_stays_with_the_process() -> None:
    assert kept("give back") < 50 * 2**20 < kept("keep")


def test_elsewhere_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_freed_memory()
