"""Where the first weights of a trunk come from: nowhere, the hub, or a local safetensors file.

The classifier always starts untrained. Only safetensors are read: a pickle could run code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ova.digests import digest_file
from ova.errors import ArtefactError, EnvironmentFault, OvaError, RecipeError, first_few
from ova.heads.network.backbones import (
    TORCHVISION,
    classifier_keys,
    grey_stem,
    sketch,
    timm_library,
    timm_network,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


WAYS_OUT = 'set pretrained = false to train from scratch, or weights = "FILE.safetensors" for a local file'
HUB_SECONDS = 10.0
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# `-nc-` of Creative Commons, and the research-only licences of the models that timm knows.
_NON_COMMERCIAL = ("-nc", "noncommercial", "non-commercial", "apple-amlr", "seer-license")


@dataclass(frozen=True)
class WeightsOrigin:
    """Where a trunk's first weights came from.

    Attributes:
        source: `scratch`, `hub:REPOSITORY`, or `file:NAME`.
        licence: The licence of the weights as their publisher names it; None if unknown or from scratch.
        digest: SHA-256 of the safetensors file; None from scratch.
    """

    source: str
    licence: str | None
    digest: str | None


def load_pretrained(
    network: nn.Module, name: str, source: str | Path, *, channels: int, size: tuple[int, int]
) -> WeightsOrigin:
    """Load the trunk of a network in place; its classifier stays as it is.

    Args:
        network: What `build_backbone(name, channels=channels, size=size)` gave.
        name: The backbone's name; a pretrained tag chooses among the hub's weights.
        source: `scratch`, `hub`, or the path of a safetensors file.
        channels: 1 or 3. With 1, first convolutions of RGB weights are summed over their input channels.
        size: Height and width of the input in pixels.

    Raises:
        RecipeError: The hub has no safetensors for this backbone, or the file is missing or of another kind.
        EnvironmentFault: The hub cannot be reached.
        ArtefactError: The file is damaged or does not fit the trunk.
    """
    if source == "scratch":
        return WeightsOrigin("scratch", None, None)
    classifier = classifier_keys(name, channels=channels, size=size)
    if source == "hub":
        return _load_from_hub(network, name, classifier, channels=channels, size=size)
    path = Path(source)
    _take_over(network, _read_file(path), classifier, str(path))
    return WeightsOrigin(f"file:{path.name}", None, digest_file(path))


def pretrained_normalisation(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std, in fractions of white, that a backbone's published weights were trained with.

    One channel gets the average of the three; ImageNet's values stand in where none are published.
    """
    settings = None if name.startswith(TORCHVISION) else timm_library().get_pretrained_cfg(name)
    mean, std = (settings.mean, settings.std) if settings else _IMAGENET
    if channels == 1:
        return (sum(mean) / len(mean),), (sum(std) / len(std),)
    return tuple(mean), tuple(std)


def is_non_commercial(licence: str | None) -> bool:
    """Tell whether a licence is known to forbid commercial use. An unknown licence gives False."""
    return licence is not None and any(mark in licence.lower() for mark in _NON_COMMERCIAL)


def _load_from_hub(
    network: nn.Module, name: str, classifier: frozenset[str], *, channels: int, size: tuple[int, int]
) -> WeightsOrigin:
    published = _published_name(name)
    settings = timm_library().get_pretrained_cfg(published)
    if settings is None or not settings.hf_hub_id:
        raise RecipeError(f"{name} has no safetensors on the hub; choose another backbone, or {WAYS_OUT}")
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
    raise RecipeError(f"the published weights of {name} are a pickle, which is not opened; {hint}{WAYS_OUT}")


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
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, **place), timeout=HUB_SECONDS)
        return Path(hub.hf_hub_download(repository, **place, etag_timeout=HUB_SECONDS))
    except Exception as error:  # the client raises what its HTTP library raises, which differs by version
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise RecipeError(f"the hub has no safetensors of {name}; {WAYS_OUT}") from error
        raise EnvironmentFault(
            f"the weights of {name} cannot be fetched from the hub ({_reason(error)}); {WAYS_OUT}"
        ) from error


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
