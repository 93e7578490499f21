"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys

# glibc's names for them (malloc.h).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_NEVER = 2**31 - 1
_LARGEST = 2**30


def keep_freed_memory() -> bool:
    """Keep freed memory for what comes next, instead of giving it back to the system batch by batch.

    A training step frees hundreds of MiB and wants them again a moment later; each page that comes back from
    the system is cleared first. The process stays as large as it was at its largest.

    Returns:
        Whether that could be set; only glibc (Linux) is asked.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _NEVER))
