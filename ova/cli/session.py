"""The options that stand before every command, and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ova.cli.render import console
from ova.workspace import Workspace, find_workspace

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


@dataclass
class Session:
    """The options that stand before the command."""

    folder: Path = Path()
    quiet: bool = False
    debug: bool = False

    def workspace(self) -> Workspace:
        """Open the workspace that was named."""
        return find_workspace(self.folder)

    def progress(self) -> console.Shown:
        """Make the progress display."""
        return console.Shown(quiet=self.quiet)


session = Session()
