from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ova.data.images import colour as data_colour
from ova.data.images import resize as data_resize
from ova.ensembles.export import network as combined
from ova.ensembles.export.network import CombinedNetwork, resize_images
from ova.ensembles.rule import argmax as coupling
from ova.errors import ArtefactError, DataError

random = np.random.default_rng(11)
INPUT_SIZES = [(1, 1), (1, 37), (53, 1), (23, 31), (24, 16), (48, 32), (7, 300), (301, 299), (2, 2)]
SIZE = (24, 16)


def pixels_of(batch: int, height: int, width: int, channels: int) -> np.ndarray:
    """Noise with saturated parts: 0 and 255 are where rounding shows."""
    noise = random.integers(-80, 336, (batch, height, width, channels))
    return np.clip(noise, 0, 255).astype(np.uint8)


def as_planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


class Resized(nn.Module):
    """Grey and resize as in a combined network, with the pixels as outputs."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        planes = images.permute(0, 3, 1, 2).float()
        return resize_images(planes, SIZE), resize_images(combined.luma_in_graph(planes), SIZE)


@pytest.fixture(scope="module")
def onnx_resize() -> onnxruntime.InferenceSession:
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():  # older exporters warn of themselves
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Resized().eval(),
            (torch.zeros(2, 37, 41, 3, dtype=torch.uint8),),
            dynamo=True,
            dynamic_shapes=({0: free, 1: free, 2: free},),
            input_names=["images"],
            verbose=False,
        )
    assert program is not None
    content = program.model_proto.SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize("size", INPUT_SIZES, ids=str)
def test_resize_is_the_same_in_numpy_torch_and_onnx(
    size: tuple[int, int], onnx_resize: onnxruntime.InferenceSession
) -> None:
    for value in (pixels_of(3, *size, 3), np.full((1, *size, 3), 255, np.uint8)):
        wanted = np.stack([data_resize.resize_pixels(image, SIZE) for image in value])
        grey = [data_resize.resize_pixels(data_colour.luma(image)[..., None], SIZE) for image in value]
        in_torch = Resized()(torch.from_numpy(value))
        in_onnx = onnx_resize.run(None, {"images": value})
        for colour, luma in (in_torch, in_onnx):
            np.testing.assert_array_equal(np.asarray(colour).transpose(0, 2, 3, 1), wanted)
            np.testing.assert_array_equal(np.asarray(luma).transpose(0, 2, 3, 1), np.stack(grey))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_weights_are_those_of_the_store(length: int, size: int) -> None:
    weights = combined.resize_weights_in_graph(length, size)
    assert weights.dtype == torch.int64
    np.testing.assert_array_equal(weights.numpy(), data_resize.resize_weights(length, size))


@settings(max_examples=40, deadline=None)
@given(*[st.integers(1, 60)] * 4)
def test_any_size_to_any_size(height: int, width: int, to_height: int, to_width: int) -> None:
    pixels = pixels_of(1, height, width, 1)
    resized = resize_images(as_planes(pixels), (to_height, to_width))[0, 0].numpy()
    wanted = data_resize.resize_pixels(pixels[0], (to_height, to_width))[..., 0]
    np.testing.assert_array_equal(resized, wanted)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 60), st.integers(1, 1000))
def test_any_crop_is_that_of_the_store(
    height: int, width: int, to_height: int, to_width: int, crop: int
) -> None:
    pixels = pixels_of(1, height, width, 1)
    resized = resize_images(as_planes(pixels), (to_height, to_width), crop)[0, 0].numpy()
    wanted = data_resize.resize_pixels(pixels[0], (to_height, to_width), crop)[..., 0]
    np.testing.assert_array_equal(resized, wanted)


class Cropped(nn.Module):
    """The middle of images, as a graph of any height and width."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return resize_images(images.permute(0, 3, 1, 2).float(), SIZE, 875)


@pytest.mark.slow
def test_a_crop_is_the_same_in_onnx() -> None:
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free, 1: free, 2: free},)
    with warnings.catch_warnings():  # older exporters warn of themselves
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, 37, 41, 3, dtype=torch.uint8),)
        program = torch.onnx.export(
            Cropped().eval(),
            example,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["images"],
            verbose=False,
        )
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for size in INPUT_SIZES:
        value = pixels_of(2, *size, 3)
        wanted = [data_resize.resize_pixels(image, SIZE, 875) for image in value]
        (found,) = session.run(None, {"images": value})
        np.testing.assert_array_equal(np.asarray(found).transpose(0, 2, 3, 1), np.stack(wanted))


def test_luma_is_that_of_the_decoder() -> None:
    corners = np.array(list(itertools.product([0, 1, 127, 254, 255], repeat=3)), np.uint8)
    halves = [(0, 52, 184), (1, 53, 185), (253, 201, 69), (255, 203, 71)]  # exactly halfway: rounded up
    pixels = np.concatenate(
        [corners, np.array(halves, np.uint8), random.integers(0, 256, (5000, 3), dtype=np.uint8)]
    )[None, None]
    grey = combined.luma_in_graph(as_planes(pixels))[0, 0].numpy()
    np.testing.assert_array_equal(grey, data_colour.luma(pixels)[0])


@pytest.fixture
def mixed_heads(small_head):
    return [
        small_head("a", height=20, width=30, prior=0.1),
        small_head("b", height=24, width=24, channels=3, prior=0.3),
        small_head("c", height=9, width=9, prior=0.05, threshold=-0.25),
    ]


def test_outputs_are_those_of_the_heads_alone(mixed_heads, torch_logits) -> None:
    heads = mixed_heads
    images = list(pixels_of(5, 33, 47, 3))
    network = CombinedNetwork(heads, mode="argmax", none_prior=0.6)
    outputs = [each.numpy() for each in network(torch.from_numpy(np.stack(images)))]
    logits, probabilities, decisions, scores, classes, choice = outputs
    wanted = np.column_stack([torch_logits(head.head, images) for head in heads])
    np.testing.assert_allclose(logits, wanted, atol=1e-6)
    for index, head in enumerate(heads):
        np.testing.assert_allclose(
            probabilities[:, index], head.calibration.probability(wanted[:, index]), atol=1e-6
        )
        np.testing.assert_array_equal(decisions[:, index], head.calibration.decide(logits[:, index]))
    coupled = coupling.couple(wanted * 0.75 - 0.5, [0.1, 0.3, 0.05], 0.6)
    np.testing.assert_allclose(scores, coupled, atol=1e-6)
    np.testing.assert_allclose(classes, coupling.class_probabilities(coupled), atol=1e-6)
    np.testing.assert_array_equal(choice, coupling.choose(coupled))
    dtypes = [str(each.dtype) for each in outputs]
    assert dtypes == ["float32", "float32", "bool", "float32", "float32", "int64"]


def test_a_logit_at_the_threshold_is_a_yes(small_head, torch_logits) -> None:
    pixels = pixels_of(1, 24, 24, 1)
    (logit,) = torch_logits(small_head("a").head, [np.repeat(pixels[0], 3, axis=2)])
    heads = [small_head("at", threshold=float(logit))]
    heads.append(small_head("above", threshold=float(np.nextafter(logit, np.float32(np.inf)))))
    assert CombinedNetwork(heads)(torch.from_numpy(pixels))[2].tolist() == [[True, False]]


def test_permuting_heads_permutes_the_named_outputs(mixed_heads) -> None:
    heads = mixed_heads
    images = torch.from_numpy(pixels_of(6, 40, 40, 3))
    seen = []
    for order in itertools.permutations(range(3)):
        chosen = [heads[index] for index in order]
        network = CombinedNetwork(chosen, mode="argmax", none_prior=0.6)
        *columns, choice = network(images)
        names = [head.name for head in chosen]
        by_name = [dict(zip([*names, "none"], each.T.tolist(), strict=False)) for each in columns]
        seen.append((by_name, [[*names, "none"][index] for index in choice]))
    assert len({tuple(labels) for _, labels in seen}) == 1
    for by_name, _ in seen:
        for found, wanted in zip(by_name, seen[0][0], strict=True):
            assert found.keys() == wanted.keys()
            for name, values in found.items():
                assert values == pytest.approx(wanted[name], abs=1e-6)


def test_one_head_is_the_binary_rule(small_head) -> None:
    levels = np.linspace(0, 255, 40).astype(np.uint8)
    images = torch.from_numpy(np.tile(levels[:, None, None, None], (1, 12, 12, 1)))
    head = small_head("only", prior=0.25)
    _, probabilities, _, _, classes, choice = CombinedNetwork([head], mode="argmax", none_prior=0.75)(images)
    assert 0 < int((choice == 0).sum()) < 40
    np.testing.assert_array_equal(choice == 0, probabilities[:, 0] >= 0.5)
    np.testing.assert_allclose(classes.sum(dim=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(classes[:, 0], probabilities[:, 0], atol=1e-6)


def test_heads_of_one_form_share_a_resize(small_head, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counted(pixels: torch.Tensor, size: tuple[int, int], crop: int) -> torch.Tensor:
        sizes.append((pixels.shape[1], size))
        return resize_images(pixels, size, crop)

    monkeypatch.setattr(combined, "resize_images", counted)
    heads = [small_head("a"), small_head("b"), small_head("c", channels=3), small_head("d", height=9)]
    CombinedNetwork(heads)(torch.zeros(2, 30, 30, 3, dtype=torch.uint8))
    assert sorted(sizes) == [(1, (9, 24)), (1, (24, 24)), (3, (24, 24))]


def test_grey_heads_alone_read_grey_batches(small_head) -> None:
    network = CombinedNetwork([small_head("a"), small_head("b", height=10)])
    assert network.channels == 1
    assert len(network(torch.zeros(2, 30, 30, 1, dtype=torch.uint8))) == 3


def test_heads_stop_dropping_and_updating(small_head) -> None:
    head = small_head("a", nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), *small_head("b").head.members))
    head.head.train()
    images = torch.from_numpy(pixels_of(4, 24, 24, 1))
    network = CombinedNetwork([head])
    first, second = network(images)[0], network(images)[0]
    assert torch.equal(first, second)


def test_bad_calibrations_are_refused(small_head) -> None:
    head = small_head("a")
    with pytest.raises(ArtefactError, match="at least one head"):
        CombinedNetwork([])
    for change, word in (({"threshold": 0.1}, "float32"), ({"slope": float("nan")}, "slopes")):
        with pytest.raises(ArtefactError, match=word):
            CombinedNetwork([replace(head, calibration=replace(head.calibration, **change))])
    with pytest.raises(DataError, match="share of images"):
        CombinedNetwork([head], mode="argmax")
    with pytest.raises(DataError, match="priors"):
        CombinedNetwork([small_head("a", prior=1.0)], mode="argmax", none_prior=0.5)
