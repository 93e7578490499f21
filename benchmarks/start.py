"""How fast the light commands start, as a ratio to an empty Python and to importing torch, in one run.

Limit: an empty interpreter. Goal: `ova --help` at most 0.12 of `import torch`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

REPEATS = 7
COMMANDS = {
    "python": ["-c", "pass"],
    "torch": ["-c", "import torch"],
    "help": ["-m", "ova", "--help"],
    "list": ["-m", "ova", "list"],
}


def seconds(arguments: list[str]) -> float:
    """Run one command and time it."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return time.perf_counter() - started


def main() -> None:
    """Interleave all commands, so that a busy machine slows all alike; print one JSON object."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for repeat in range(REPEATS + 1):
        for name, arguments in COMMANDS.items():
            elapsed = seconds(arguments)
            if repeat:  # the first round fills the disk cache
                taken[name].append(elapsed)
    result = {}
    for name in ("help", "list"):
        ratios = sorted(own / torch for own, torch in zip(taken[name], taken["torch"], strict=True))
        bare = statistics.median(
            own / python for own, python in zip(taken[name], taken["python"], strict=True)
        )
        result[name] = {
            "of_import_torch": {"min": ratios[0], "median": statistics.median(ratios), "max": ratios[-1]},
            "times_empty_python": bare,
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
