"""Run `ova data check` in one workspace after another, each in a child with little memory and time.

Started with workspaces as arguments; prints a JSON list with the exit code, output and costs of each.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

# Imported before the limits are set: they are for what the data cost.
import ova.cli.app
import ova.cli.render.heads
import ova.data.checks.counts
import ova.data.dataset

MEMORY = 1536 << 20
SECONDS = 10


def _limit() -> None:
    at_start = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (at_start + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))  # of a fork, which begins at 0


def _run(workspace: str) -> dict[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _limit()
            sys.argv = ["ova", "-C", workspace, "data", "check"]
            try:
                ova.cli.app.main()
            except SystemExit as stop:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(int(stop.code or 0))
            os._exit(0)
        _, status, usage = os.wait4(child, 0)
        out.seek(0)
        err.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "out": out.read().decode(),
            "err": err.read().decode(),
            "seconds": usage.ru_utime + usage.ru_stime,
            "mib": usage.ru_maxrss / 1024,
        }


sys.stdout.write(json.dumps([_run(workspace) for workspace in sys.argv[1:]]))
