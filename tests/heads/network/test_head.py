from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ova.errors import ArtefactError, RecipeError
from ova.heads.network.head import Head, InputSpec, Normalise, all_views

torch.set_num_threads(1)

SQUARE = InputSpec(6, 6, 1, (0.4,), (0.2,))
COLOUR = InputSpec(4, 6, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def tiny_network(channels: int = 1, seed: int = 0, outputs: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 1)),
        nn.Flatten(),
        nn.Linear(8, outputs),
    ).eval()


def some_pixels(spec: InputSpec, batch: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, spec.channels, spec.height, spec.width), generator=generator).float()


finite = st.floats(-5, 5, allow_nan=False)
positive = st.floats(1e-3, 5)


@settings(max_examples=50, deadline=None)
@given(
    data=st.data(), channels=st.sampled_from([1, 3]), height=st.integers(1, 4096), width=st.integers(1, 4096)
)
def test_input_spec_survives_json(data: st.DataObject, channels: int, height: int, width: int) -> None:
    mean = tuple(data.draw(st.lists(finite, min_size=channels, max_size=channels)))
    std = tuple(data.draw(st.lists(positive, min_size=channels, max_size=channels)))
    spec = InputSpec(height, width, channels, mean, std)
    assert InputSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((0, 4, 1, (0.0,), (1.0,)), "size"),
        ((4, 4, 2, (0.0, 0.0), (1.0, 1.0)), "channels"),
        ((4, 4, 3, (0.0,), (1.0, 1.0, 1.0)), "mean"),
        ((4, 4, 1, (0.0,), (0.0,)), "above 0"),
        ((4, 4, 1, (0.0,), (float("nan"),)), "finite"),
        ((4, 4, 1, (float("inf"),), (1.0,)), "finite"),
    ],
)
def test_input_spec_refuses(values: tuple, word: str) -> None:
    with pytest.raises(RecipeError, match=word):
        InputSpec(*values)


@pytest.mark.parametrize(
    "change",
    [
        {"height": "4"},
        {"height": True},
        {"height": 4.0},
        {"mean": 0.4},
        {"mean": ["0.4"]},
        {"mean": [0.4, 0.4]},
        {"std": [0]},
        {"extra": 1},
    ],
)
def test_stored_input_spec_is_read_strictly(change: dict) -> None:
    with pytest.raises(ArtefactError, match="stored input is damaged"):
        InputSpec.from_json({**SQUARE.to_json(), **change})


def test_stored_input_spec_needs_all_keys() -> None:
    with pytest.raises(ArtefactError, match="expected the keys"):
        InputSpec.from_json({"height": 4})


def test_normalise_works_channel_by_channel() -> None:
    pixels = some_pixels(COLOUR)
    expected = np.stack(
        [
            (pixels[:, channel].double().numpy() / 255 - COLOUR.mean[channel]) / COLOUR.std[channel]
            for channel in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(
        Normalise(COLOUR.mean, COLOUR.std)(pixels).numpy(), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("spec", [SQUARE, COLOUR])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise_has_the_same_bits_in_any_memory_order_and_for_bytes(spec, memory, dtype) -> None:
    pixels = some_pixels(spec)
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    expected = (pixels / 255.0 - mean) / std
    given = pixels.to(dtype).contiguous(memory_format=memory)
    found = Normalise(spec.mean, spec.std)(given)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=memory)
    assert torch.equal(given.float(), pixels)


def test_normalise_passes_gradients_on() -> None:
    pixels = some_pixels(COLOUR).contiguous(memory_format=torch.channels_last).requires_grad_()
    Normalise(COLOUR.mean, COLOUR.std)(pixels).sum().backward()
    expected = (1 / (255 * torch.tensor(COLOUR.std))).reshape(-1, 1, 1).expand(pixels.shape)
    torch.testing.assert_close(pixels.grad, expected)


def test_views_are_all_symmetries_of_the_square() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    turns = [torch.rot90(flipped, k, (2, 3)) for flipped in (image, image.flip(3)) for k in range(4)]
    views = all_views(image, "dihedral")
    assert {tuple(view.flatten().tolist()) for view in views} == {tuple(t.flatten().tolist()) for t in turns}
    assert len(views) == 8


def test_flips_keep_the_shape_of_an_oblong_image() -> None:
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    expected = [image, image.flip(3), image.flip(2), image.flip(2, 3)]
    assert all(
        torch.equal(view, other) for view, other in zip(all_views(image, "flips"), expected, strict=True)
    )
    assert [id(view) for view in all_views(image, "none")] == [id(image)]


def test_dihedral_views_need_a_square() -> None:
    with pytest.raises(RecipeError, match="2x3"):
        all_views(torch.zeros(1, 1, 2, 3), "dihedral")
    with pytest.raises(RecipeError, match="4x6"):
        Head([tiny_network(3)], COLOUR, "dihedral")


def test_unknown_views_and_no_members_are_refused() -> None:
    with pytest.raises(RecipeError, match="none, flips, dihedral"):
        all_views(torch.zeros(1, 1, 2, 2), "turns")  # pyright: ignore[reportArgumentType]
    with pytest.raises(RecipeError, match="at least one"):
        Head([], SQUARE)


def test_logits_are_the_mean_over_members_and_views() -> None:
    members = [tiny_network(seed=seed) for seed in range(3)]
    pixels = some_pixels(SQUARE)
    scaled = (pixels / 255 - 0.4) / 0.2
    with torch.no_grad():
        logits = Head(members, SQUARE, "dihedral").eval()(pixels)
        one_by_one = [
            m(torch.rot90(f, k, (2, 3))) for m in members for f in (scaled, scaled.flip(2)) for k in range(4)
        ]
    torch.testing.assert_close(logits, torch.cat(one_by_one, dim=1).mean(dim=1))
    assert logits.shape == (5,)
    assert logits.std() > 0.001  # not a constant


@pytest.mark.parametrize("views", ["flips", "dihedral"])
def test_logits_do_not_depend_on_how_the_image_lies(views) -> None:
    head = Head([tiny_network()], SQUARE, views).eval()
    pixels = some_pixels(SQUARE)
    with torch.no_grad():
        torch.testing.assert_close(head(pixels.flip(3)), head(pixels))
        turned = head(torch.rot90(pixels, 1, (2, 3)))
    assert torch.allclose(turned, head(pixels), atol=1e-5) == (views == "dihedral")


@pytest.mark.parametrize("shape", [(1, 6, 6), (2, 3, 6, 6), (2, 1, 6, 7), (2, 1, 5, 6)])
def test_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        Head([tiny_network()], SQUARE)(torch.zeros(shape))


def test_a_member_with_more_than_one_output_is_refused() -> None:
    # VGG with its `fc` replaced kept 1000 outputs, and the loss never noticed.
    with pytest.raises(ValueError, match="one logit per image"):
        Head([tiny_network(outputs=1000)], SQUARE)(some_pixels(SQUARE))


def test_tensors_are_a_copy_that_loads_back() -> None:
    head = Head([tiny_network(seed=1), tiny_network(seed=2)], SQUARE).eval()
    stored = head.tensors()
    with torch.no_grad():
        expected = head(some_pixels(SQUARE))
        for parameter in head.parameters():
            parameter.zero_()
    assert all(isinstance(array, np.ndarray) and array.flags.c_contiguous for array in stored.values())
    other = Head([tiny_network(seed=3), tiny_network(seed=4)], SQUARE).eval()
    other.load_tensors(stored)
    assert torch.equal(other(some_pixels(SQUARE)), expected)


@pytest.mark.parametrize(
    ("name", "array", "word"),
    [
        ("members.0.0.bias", None, "members.0.0.bias missing"),
        ("members.1.0.bias", np.zeros(4, np.float32), "members.1.0.bias unexpected"),
        ("members.0.0.bias", np.zeros(3, np.float32), r"float32 \(3,\) for float32 \(4,\)"),
        ("members.0.0.bias", np.zeros(4, np.float64), r"float64 \(4,\) for float32 \(4,\)"),
        ("normalise.mean", np.full((1, 1, 1), 0.5, np.float32), "normalise.mean differs"),
    ],
)
def test_foreign_tensors_are_refused_and_change_nothing(
    name: str, array: np.ndarray | None, word: str
) -> None:
    head = Head([tiny_network()], SQUARE)
    arrays = {
        key: np.zeros_like(value) if key.startswith("members") else value
        for key, value in head.tensors().items()
    }
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    before = head.tensors()
    with pytest.raises(ArtefactError, match=word):
        head.load_tensors(arrays)
    assert all(np.array_equal(before[key], value) for key, value in head.tensors().items())


def test_a_head_exports_with_a_free_batch_size() -> None:
    head = Head([tiny_network(), tiny_network(seed=1)], SQUARE, "dihedral").eval()
    program = torch.export.export(
        head, (some_pixels(SQUARE, 2),), dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}}
    )
    pixels = some_pixels(SQUARE, 7)
    torch.testing.assert_close(program.module()(pixels), head(pixels))
