from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
from torch import nn

from ova.ensembles.export import network as combined
from ova.ensembles.export import onnx_export, onnx_graph
from ova.ensembles.export.network import CombinedNetwork
from ova.ensembles.export.onnx_export import EnsembleSpec, export_combined
from ova.ensembles.export.shared_trunk import SharedTrunk, TrunkGroup, group_by_trunk
from ova.ensembles.runtime.manifest import read_manifest
from ova.ensembles.runtime.model import CombinedModel
from ova.heads.network.backbones import torchvision_network
from ova.heads.network.head import Head

SIDE = 32
FAMILIES = (
    "test_efficientnet",
    "test_efficientnet catavgmax",
    "test_resnet",
    "test_resnet catavgmax",
    "test_vit",
    "torchvision/mobilenet_v3_small",
)
Trunk = Callable[..., list[Any]]


def build(name: str, channels: int = 1) -> nn.Module:
    """Build a network whose features are neither all alike nor tiny, as those of a trained one."""
    torch.manual_seed(3)
    if name.startswith("torchvision/"):
        network = torchvision_network(name, 1, channels=channels, size=(SIDE, SIDE))
    else:
        family, _, pool = name.partition(" ")
        more: dict[str, Any] = {"global_pool": pool} if pool else {}
        more |= {"img_size": SIDE} if family == "test_vit" else {}
        network = timm.create_model(family, in_chans=channels, num_classes=1, **more)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    # Like normalised images: each has a level of its own.
    images = 3 * torch.randn(64, 1, 1, 1) + torch.randn(64, channels, SIDE, SIDE)
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def classifier(network: nn.Module) -> nn.Linear:
    (layer,) = [each for each in network.modules() if isinstance(each, nn.Linear) and each.out_features == 1]
    return layer


def siblings(network: nn.Module, count: int) -> list[nn.Module]:
    """Copies of a network, each with a classifier of its own."""
    copies = [copy.deepcopy(network) for _ in range(count)]
    for own in copies:
        for parameter in classifier(own).parameters():
            nn.init.normal_(parameter, std=0.1)
    return copies


@pytest.fixture
def on_one_trunk(small_head) -> Trunk:
    """Make heads NAME0, NAME1, ... on one trunk, whose weights are equal but not the same tensors."""

    def make(family: str, count: int = 3, *, name: str = "h", channels: int = 1, **form: Any) -> list[Any]:
        networks = siblings(build(family, channels), count)
        form = {"height": SIDE, "width": SIDE, "channels": channels} | form
        return [small_head(f"{name}{index}", network, **form) for index, network in enumerate(networks)]

    return make


def groups_of(heads: list[Any]) -> list[tuple[int, ...]]:
    return [group.heads for group in group_by_trunk([head.head.eval() for head in heads])]


def in_torch(heads: list[Any], images: list[np.ndarray], torch_logits) -> np.ndarray:
    return np.column_stack([torch_logits(head.head, images) for head in heads])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("views", "channels"), [("none", 3), ("flips", 1), ("dihedral", 3)])
def test_logits_are_those_of_the_heads_one_by_one(
    family: str, views: str, channels: int, on_one_trunk: Trunk, torch_logits, decoded
) -> None:
    heads = on_one_trunk(family, views=views, channels=channels)
    images = [image for image in decoded if image.shape == decoded[0].shape]
    wanted = in_torch(heads, images, torch_logits)
    network = CombinedNetwork(heads)
    given = np.stack(images)
    with torch.inference_mode():
        found = network(torch.from_numpy(given if channels == 3 else given[..., :1]))[0].numpy()
    assert [type(each) for each in network.heads] == [SharedTrunk]
    if channels == 3:  # a network of grey heads alone reads grey batches
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert np.ptp(wanted, axis=0).min() > 1e-2
    assert in_torch(heads, images, torch_logits).tolist() == wanted.tolist()


def test_heads_come_in_any_order(on_one_trunk: Trunk, small_head, torch_logits, decoded) -> None:
    resnets, efficient = on_one_trunk("test_resnet", 2), on_one_trunk("test_efficientnet", 2, channels=3)
    lone = small_head("lone", build("test_vit"), height=SIDE, width=SIDE)
    heads = [resnets[0], efficient[0], lone, resnets[1], efficient[1]]
    wanted = in_torch(heads, decoded[:1], torch_logits)
    pixels = torch.from_numpy(decoded[0][None])
    for order in list(itertools.permutations(range(5)))[::11]:
        network = CombinedNetwork([heads[index] for index in order])
        assert len(network.heads) == 3
        assert Counter(len(group.heads) for group in network._groups) == {2: 2, 1: 1}
        with torch.inference_mode():
            np.testing.assert_allclose(network(pixels)[0].numpy(), wanted[:, order], atol=1e-4)
        shared = [digest for digest in network.trunks if digest is not None]
        assert network.trunks[order.index(2)] is None
        assert sorted(Counter(shared).values()) == [2, 2]


def test_one_changed_number_of_a_trunk_is_another_trunk(on_one_trunk: Trunk) -> None:
    for name in ("conv1.0.weight", "bn1.running_var"):
        heads = on_one_trunk("test_resnet")
        assert groups_of(heads) == [(0, 1, 2)]
        tensor = heads[1].head.members[0].state_dict()[name].flatten()
        tensor[-1] = torch.nextafter(tensor[-1], torch.tensor(torch.inf))
        assert groups_of(heads) == [(0, 2), (1,)]


def test_other_inputs_views_and_members_are_not_shared(on_one_trunk: Trunk, small_head) -> None:
    heads = on_one_trunk("test_resnet", 2)
    form = {"height": SIDE, "width": SIDE}
    heads.append(small_head("turned", siblings(build("test_resnet"), 1)[0], **form, views="flips"))
    heads.append(small_head("larger", siblings(build("test_resnet"), 1)[0], height=SIDE + 1, width=SIDE))
    folds = siblings(build("test_resnet"), 2)
    folded = small_head("folded", folds[0], **form)
    heads.append(replace(folded, head=Head(folds, folded.head.input_spec)))
    assert groups_of(heads) == [(0, 1), (2,), (3,), (4,)]
    assert groups_of(heads[::-1]) == [(0,), (1,), (2,), (3, 4)]


def test_equal_tensors_with_another_pooling_are_not_shared(on_one_trunk: Trunk) -> None:
    heads = on_one_trunk("test_resnet", 4, height=96, width=96)
    pooled = build("test_resnet max")
    pooled.load_state_dict(heads[2].head.members[0].state_dict())
    heads[2].head.members[0] = pooled
    assert groups_of(heads) == [(0, 1, 3), (2,)]


def test_dropout_and_training_do_not_part_trunks(on_one_trunk: Trunk) -> None:
    heads = on_one_trunk("test_resnet", 2)
    heads[1].head.members[0].drop_rate = 0.5
    heads[1].head.train()
    assert len(CombinedNetwork(heads).heads) == 1
    assert not any(module.training for head in heads for module in head.head.modules())


class Squashed(nn.Sequential):
    """Ends in something else than its linear layer."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(SIDE * SIDE, 1), nn.Tanh())


class Doubled(nn.Module):
    """Has two layers that could be the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(SIDE * SIDE, 1), nn.Linear(SIDE * SIDE, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.one(pixels.flatten(1)) + self.two(pixels.flatten(1))


def test_classifiers_that_are_not_one_last_linear_layer_are_left_alone(small_head) -> None:
    squeezenet = torchvision_network("torchvision/squeezenet1_0", 1, channels=1, size=(SIDE, SIDE))
    no_bias = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 1, bias=False))
    for network in (squeezenet, Squashed(), Doubled(), no_bias):
        heads = [small_head(name, copy.deepcopy(network), height=SIDE, width=SIDE) for name in "ab"]
        assert groups_of(heads) == [(0,), (1,)]
        with pytest.raises((ValueError, AttributeError)):
            SharedTrunk([small_head("none").head])


def test_random_numbers_are_not_drawn(on_one_trunk: Trunk) -> None:
    heads = on_one_trunk("test_resnet", 2)
    before = torch.random.get_rng_state()
    CombinedNetwork(heads)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_limit_of_a_file_counts_shared_weights_once(
    on_one_trunk: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = on_one_trunk("test_resnet", 10)
    one = sum(tensor.nbytes for tensor in heads[0].head.state_dict().values())
    monkeypatch.setattr(onnx_graph, "MAX_MODEL_BYTES", onnx_graph._ROOM_FOR_GRAPH + one + one // 10)
    monkeypatch.setattr(onnx_graph, "trace_module", lambda *arguments: "traced")
    assert onnx_graph.trace_networks(CombinedNetwork(heads)) == "traced"


def convolutions(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "Conv" for node in model.graph.node)


def stems(model: onnx.ModelProto, name: str) -> int:
    """Count the initialisers of this name, each of which is used by exactly one node."""
    found = [each.name for each in model.graph.initializer if each.name.endswith(name)]
    for each in found:
        assert sum(each in node.input for node in model.graph.node) == 1
    return len(found)


def placed(heads: list[Any], images: list[np.ndarray], torch_logits) -> list[Any]:
    """Put thresholds and calibrations amid the logits, so that decisions and choices differ between images."""
    moved = []
    for head, cut in zip(heads, np.median(in_torch(heads, images, torch_logits), axis=0), strict=True):
        threshold = float(np.float32(cut + 1e-3))
        calibration = replace(head.calibration, threshold=threshold, intercept=-0.75 * threshold)
        moved.append(replace(head, calibration=calibration))
    return moved


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "views", "channels", "stem"),
    [
        ("test_efficientnet catavgmax", "dihedral", 3, "conv_stem.weight"),
        ("test_resnet catavgmax", "none", 1, "conv1.0.weight"),
        ("test_vit", "flips", 1, "patch_embed.proj.weight"),
        ("torchvision/mobilenet_v3_small", "none", 3, "features.0.0.weight"),
    ],
)
def test_the_file_decides_as_the_heads_do(
    family: str, views: str, channels: int, stem: str, on_one_trunk: Trunk, torch_logits, decoded, tmp_path
) -> None:
    heads = on_one_trunk(family, views=views, channels=channels)
    heads = placed(heads, decoded, torch_logits)
    report = export_combined(heads, EnsembleSpec(name="one"), folder=tmp_path, images=decoded)
    assert (report.parity.decision_flips, report.parity.max_logit_difference <= 1e-4) == (0, True)
    assert stems(onnx.load(report.model), stem) == 1
    wanted = in_torch(heads, decoded, torch_logits)
    answers = list(CombinedModel.load(tmp_path).predict(decoded))
    np.testing.assert_allclose([list(each.logits.values()) for each in answers], wanted, atol=1e-4)
    decided = np.array([list(each.decisions.values()) for each in answers])
    np.testing.assert_array_equal(decided, wanted >= [head.calibration.threshold for head in heads])
    assert 0 < decided.sum() < decided.size


@pytest.mark.slow
def test_two_trunks_and_a_lone_head_in_one_argmax_model(
    on_one_trunk: Trunk, small_head, torch_logits, decoded, tmp_path: Path
) -> None:
    grey = on_one_trunk("test_resnet", 2, name="grey", views="flips", prior=0.1)
    colour = on_one_trunk("test_efficientnet", 2, name="colour", channels=3, prior=0.1)
    lone = small_head("lone", build("test_vit"), height=SIDE, width=SIDE, prior=0.2)
    heads = placed([colour[0], lone, grey[0], colour[1], grey[1]], decoded, torch_logits)
    spec = EnsembleSpec(name="five", mode="argmax", none_prior=0.4)
    report = export_combined(heads, spec, folder=tmp_path, images=decoded)
    model = onnx.load(report.model)
    assert [stems(model, f"{stem}.weight") for stem in ("conv1.0", "conv_stem", "patch_embed.proj")] == [
        1
    ] * 3
    trunks = [head.trunk for head in read_manifest(tmp_path / "manifest.json").heads]
    assert (trunks[0], trunks[2], trunks[1]) == (trunks[3], trunks[4], None)
    assert len(set(trunks)) == 3
    assert report.parity.decision_flips == 0
    assert len({each.label for each in CombinedModel.load(tmp_path).predict(decoded)}) > 1


@pytest.mark.slow
def test_a_further_head_costs_one_row_of_a_matrix(
    on_one_trunk: Trunk, decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = on_one_trunk("test_resnet", 10)
    sizes, operations = {}, {}
    for count in (2, 10):
        spec = EnsembleSpec(name="some")
        report = export_combined(heads[:count], spec, folder=tmp_path / str(count), images=decoded[:2])
        sizes[count] = report.size
        operations[count] = Counter(node.op_type for node in onnx.load(report.model).graph.node)
    assert operations[2] == operations[10]
    described = 1000  # what the metadata say of a head
    assert sizes[10] - sizes[2] <= 8 * (classifier(heads[0].head).in_features * 4 + described)


@pytest.mark.slow
def test_files_without_sharing_are_not_taken_over(
    on_one_trunk: Trunk, decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, spec = on_one_trunk("test_resnet", 2), EnsembleSpec(name="pair")
    with monkeypatch.context() as older:
        alone = [TrunkGroup((0,), None), TrunkGroup((1,), None)]
        older.setattr(combined, "group_by_trunk", lambda networks: alone)
        before = export_combined(heads, spec, folder=tmp_path, images=decoded[:2])
    twice = convolutions(onnx.load(before.model))
    assert "trunk" not in before.manifest.to_json()["heads"][0]
    after = export_combined(heads, spec, folder=tmp_path, images=decoded[:2])
    assert convolutions(onnx.load(after.model)) < twice
    assert after.size < 0.6 * before.size
    assert after.manifest.networks_digest != before.manifest.networks_digest

    def refuse(network: CombinedNetwork) -> onnx.ModelProto:
        raise AssertionError("traced again")

    monkeypatch.setattr(onnx_export, "trace_networks", refuse)
    moved = [replace(head, calibration=replace(head.calibration, threshold=0.25)) for head in heads]
    export_combined(moved, spec, folder=tmp_path, images=decoded[:2])
