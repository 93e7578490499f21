"""Where everything lies: the one module that builds a path in a workspace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ova.errors import RecipeError

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Workspace:
    """The folder of one user's project: `data/ heads/ ensembles/` by people, `runs/` by `ova`.

    Example:
        >>> from pathlib import Path
        >>> import ova
        >>> cells = ova.Workspace(Path("cells"))
        >>> cells.head_recipe("crack").as_posix()
        'cells/heads/crack.toml'
        >>> cells.ensemble_output("all").as_posix()
        'cells/runs/ensembles/all'
        >>> cells.head_names()  # there is no recipe yet
        []
    """

    root: Path

    @property
    def dataset_recipe(self) -> Path:
        """`data/dataset.toml`."""
        return self.root / "data" / "dataset.toml"

    @property
    def exclusions(self) -> Path:
        """Images to leave out, with reasons; for a person to edit."""
        return self.root / "data" / "exclude.csv"

    @property
    def location(self) -> Path:
        """Where this machine keeps the images, if not where dataset.toml says."""
        return self.root / "runs" / "location.json"

    @property
    def image_facts(self) -> Path:
        """What intake found in every image file."""
        return self.root / "runs" / "images.csv"

    @property
    def intake_problems(self) -> Path:
        """Images that intake refused, with the reasons."""
        return self.root / "runs" / "intake.csv"

    @property
    def quality(self) -> Path:
        """Measures and thumbnails of images, by the digest of their pixels."""
        return self.root / "runs" / "quality.safetensors"

    @property
    def quality_table(self) -> Path:
        """The measures of every image, as a table for people."""
        return self.root / "runs" / "quality.csv"

    @property
    def findings(self) -> Path:
        """What `ova data check` found, a line per image and finding."""
        return self.root / "runs" / "findings.csv"

    @property
    def findings_picture(self) -> Path:
        """Examples of what `ova data check` found."""
        return self.root / "runs" / "findings.png"

    @property
    def cleaning(self) -> Path:
        """What `ova data clean` put on the list of exclusions so far."""
        return self.root / "runs" / "clean.json"

    @property
    def duplicates(self) -> Path:
        """Clusters of near duplicates, by the digests of their pixels."""
        return self.root / "runs" / "duplicates.json"

    @property
    def split_table(self) -> Path:
        """Which image belongs to which part."""
        return self.root / "runs" / "split.csv"

    @property
    def split_origin(self) -> Path:
        """What the split was made from."""
        return self.root / "runs" / "split.json"

    @property
    def split_report(self) -> Path:
        """What the parts of the split hold."""
        return self.root / "runs" / "split-report.csv"

    @property
    def stores(self) -> Path:
        """Decoded pixels, a folder per digest."""
        return self.root / "runs" / "store"

    @property
    def features(self) -> Path:
        """The folder of cached features of frozen trunks."""
        return self.root / "runs" / "features"

    @property
    def statistics(self) -> Path:
        """What is in the data: tables, pictures and a page."""
        return self.root / "runs" / "statistics"

    @property
    def label_doubts(self) -> Path:
        """Labels that trained heads do not believe."""
        return self.root / "runs" / "doubts"

    def stop_request(self, process: int) -> Path:
        """The file whose presence asks the workers of a process to stop."""
        return self.root / "runs" / f"stop-{process}"

    def head_recipe(self, name: str) -> Path:
        """`heads/NAME.toml`."""
        return self.root / "heads" / f"{slug(name)}.toml"

    def ensemble_recipe(self, name: str) -> Path:
        """`ensembles/NAME.toml`."""
        return self.root / "ensembles" / f"{slug(name)}.toml"

    def head_names(self) -> list[str]:
        """Names of the head recipes, sorted."""
        return sorted(path.stem for path in (self.root / "heads").glob("*.toml"))

    def trained_heads(self) -> list[str]:
        """Names of the heads that have a run in use, sorted."""
        return [name for name in self.head_names() if self.current_run(name).is_file()]

    def ensemble_names(self) -> list[str]:
        """Names of the ensemble recipes, sorted."""
        return sorted(path.stem for path in (self.root / "ensembles").glob("*.toml"))

    def preview(self, name: str) -> Path:
        """The picture of what a head will see."""
        return self.root / "runs" / "preview" / f"{slug(name)}.png"

    def head_runs(self, name: str) -> Path:
        """The folder of all runs of a head."""
        return self.root / "runs" / "heads" / slug(name)

    def current_run(self, name: str) -> Path:
        """The file that says which run of a head is in use."""
        return self.head_runs(name) / "current.json"

    def ensemble_output(self, name: str) -> Path:
        """The folder of an exported ensemble and its analysis."""
        return self.root / "runs" / "ensembles" / slug(name)

    @property
    def mlflow_store(self) -> Path:
        """The database of MLflow, where no other is named."""
        return self.root / "runs" / "mlflow.db"

    def tuning(self, name: str) -> Path:
        """The folder of all searches for a better recipe of a head."""
        return self.root / "runs" / "tune" / slug(name)

    def comparison(self, name: str) -> Path:
        """The folder of a comparison of two runs, models or predictions."""
        return self.root / "runs" / "compare" / slug(name)


def slug(name: str) -> str:
    """Return `name` if it may become a file name.

    Raises:
        RecipeError: It is not lower-case letters, digits, `-` and `_`.
    """
    if not _SLUG.fullmatch(name):
        raise RecipeError(
            f"{name!r} is not a name for a head or ensemble; use lower-case letters, digits, - and _"
        )
    return name


def find_workspace(folder: Path) -> Workspace:
    """Open the workspace in `folder`.

    Raises:
        RecipeError: There is none; the message says how to make one.
    """
    workspace = Workspace(folder)
    if not workspace.dataset_recipe.is_file():
        raise RecipeError(
            f"no workspace in {folder.resolve()}: data/dataset.toml is missing; make one with: ova init"
        )
    return workspace
