"""Pretrained trunks that are at hand without a network, listed without torch and without timm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ova.digests import digest_file
from ova.errors import ArtefactError, RecipeError
from ova.heads.network.packages import WEIGHTS_PACKAGES, WeightsPackage, find_package
from ova.heads.recipe import read_head_recipe
from ova.storage import read_json
from ova.workspace import Workspace

# `-nc-` of Creative Commons, and the research-only licences of the models that timm knows.
_NON_COMMERCIAL = ("-nc", "noncommercial", "non-commercial", "apple-amlr", "seer-license")
_HUB_OWNER = "timm"
_HUB_FILE = "model.safetensors"


@dataclass(frozen=True)
class ListedTrunk:
    """One line of `ova trunks`.

    Attributes:
        name: The backbone's name, for `backbone.name`.
        where: The package, the hub's cache, or the file.
        at_hand: Whether it can be used now.
        note: What is wrong, or what to type to get it.
        size: Bytes of the file; None if there is none.
        input_size: Height and width in pixels that the weights were trained with; None if unknown.
        licence: As the publisher names it; None if unknown.
    """

    name: str
    where: str
    at_hand: bool = True
    note: str | None = None
    size: int | None = None
    input_size: tuple[int, int] | None = None
    licence: str | None = None

    @property
    def non_commercial(self) -> bool:
        """Whether the licence is known to forbid commercial use."""
        return is_non_commercial(self.licence)

    def to_json(self) -> dict[str, Any]:
        """Return all fields, and `non_commercial`."""
        return {**vars(self), "non_commercial": self.non_commercial}


def trunks_at_hand(workspace: Workspace) -> list[ListedTrunk]:
    """List packages (also those that pip could bring), the hub's cache, and files that heads name.

    Args:
        workspace: Where `heads/*.toml` may name own files; there need not be any. A recipe that is wrong is
            left out here; `ova list` says what is wrong with it.
    """
    return [*map(_listed_package, WEIGHTS_PACKAGES), *_in_hub_cache(), *_own_files(workspace)]


def is_non_commercial(licence: str | None) -> bool:
    """Tell whether a licence is known to forbid commercial use. An unknown licence gives False."""
    return licence is not None and any(mark in licence.lower() for mark in _NON_COMMERCIAL)


def read_notes(path: Path) -> dict[str, str]:
    """Return what `fetch_trunk` noted in a safetensors file; nothing if another program wrote it.

    Raises:
        ArtefactError: It is not a sound safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # compares the header with the length of the file
            sealed = (file.metadata() or {}).get("ova", "{}")
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path} is not a sound safetensors file: {error}") from error
    try:
        values = json.loads(sealed)["values"]
        return {key: value for key, value in values.items() if _is_plain(value)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_plain(value: object) -> bool:
    # Anybody may have written the file, and what it says goes to terminals, records and manifests.
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _listed_package(package: WeightsPackage) -> ListedTrunk:
    found = find_package(package.backbone)
    where, note = f"package {package.project}", None
    if found is None:
        note = package.pip_line
    else:
        where = f"package {found.origin}"
        if digest_file(found.path) != package.sha256:
            note = "damaged, or another file; install it again"
    return ListedTrunk(
        name=package.backbone,
        where=where,
        at_hand=note is None,
        note=note,
        size=package.size,
        input_size=package.input_size,
        licence=package.licence,
    )


def _in_hub_cache() -> Iterator[ListedTrunk]:
    """List the models of timm in the cache, as the loader itself would find them there."""
    import huggingface_hub as hub
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob(f"models--{_HUB_OWNER}--*")):
        name = folder.name.split("--", 2)[2]
        try:
            path = hub.try_to_load_from_cache(f"{_HUB_OWNER}/{name}", _HUB_FILE)
            if not isinstance(path, str):
                continue
            read_notes(Path(path))
        except (ArtefactError, ValueError):  # an incomplete download, or a folder that is no repository
            continue
        input_size, licence = _published_facts(Path(path).with_name("config.json"))
        size = Path(path).stat().st_size
        yield ListedTrunk(name, "hub cache", size=size, input_size=input_size, licence=licence)


def _published_facts(config: Path) -> tuple[tuple[int, int] | None, str | None]:
    """Return what a publisher's config.json says, if it happens to be in the cache, too."""
    try:
        settings = read_json(config)["pretrained_cfg"]
        height, width = settings["input_size"][-2:]
        licence = settings.get("license")
        return (int(height), int(width)), licence if _is_plain(licence) else None
    except (ArtefactError, AttributeError, KeyError, TypeError, ValueError):
        return None, None


def _own_files(workspace: Workspace) -> Iterator[ListedTrunk]:
    seen = set[str]()
    for head in workspace.head_names():
        try:
            backbone = read_head_recipe(workspace, head).backbone
        except RecipeError:
            continue
        if backbone.weights and backbone.weights not in seen:
            seen.add(backbone.weights)
            yield _own_file(workspace.root / backbone.weights, backbone.weights, backbone.name)


def _own_file(path: Path, named: str, backbone: str) -> ListedTrunk:
    if not path.is_file():
        return ListedTrunk(backbone, named, at_hand=False, note="missing")
    size = path.stat().st_size
    try:
        notes = read_notes(path)
    except ArtefactError:
        return ListedTrunk(backbone, named, at_hand=False, note="not a sound safetensors file", size=size)
    height, _, width = notes.get("input_size", "").partition("x")
    input_size = (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None
    return ListedTrunk(backbone, named, size=size, input_size=input_size, licence=notes.get("licence"))
