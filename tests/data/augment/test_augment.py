"""The whole of augmentation: one image, one stream, whatever the batch, the threads and the workers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from augmenting import drawn, pictures, smooth_pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.augment import augment as module
from ova.data.augment.augment import augment
from ova.data.augment.blur import blur, blur_weights
from ova.data.augment.draws import draw, image_keys
from ova.data.augment.flip import move
from ova.data.augment.recipe import AugmentSettings
from ova.data.augment.warp import source_positions, warp

EXACT = AugmentSettings(flips=True, quarter_turns=True, shift=0.3)
EVERYTHING = AugmentSettings(
    flips=True, quarter_turns=True, shift=0.2, rotation=45, scale=0.2, shear=10, perspective=0.3, crop=0.3,
    exposure=0.2, brightness=0.2, contrast=0.3, saturation=0.4, hue=0.1, blur=1.5, sharpness=0.6,
    noise=0.05, erasing=0.2,
)  # fmt: skip
# Each alone, as strong as it may be.
ALONE = [
    AugmentSettings(**{name: value})
    for name, value in {
        "flips": True, "quarter_turns": True, "shift": 0.5, "rotation": 180, "scale": 0.5, "shear": 45,
        "perspective": 0.4, "crop": 0.05, "exposure": 1, "brightness": 1, "contrast": 1, "saturation": 1,
        "hue": 0.5, "blur": 10, "sharpness": 1, "noise": 0.5, "erasing": 0.5,
    }.items()
]  # fmt: skip
COUNT = 200  # images in a digest


def digest(images: Iterable[torch.Tensor]) -> str:
    """Of images in the order of their numbers, value by value, whatever their memory order."""
    content = hashlib.sha256()
    for image in images:
        content.update(image.contiguous().numpy().tobytes())
    return content.hexdigest()


def augmented(pixels, draws, batches, options=EVERYTHING, mapper: Callable = map) -> list[torch.Tensor]:
    """Augment batch by batch and put the images back in the order of their numbers."""
    results: list[torch.Tensor] = [torch.empty(0)] * len(pixels)
    for batch, images in zip(
        batches, mapper(lambda b: augment(pixels[b], draws[b], options), batches), strict=True
    ):
        for number, image in zip(batch, images, strict=True):
            results[number] = image
    return results


def cut(numbers: Iterable[int], size: int) -> list[list[int]]:
    order = list(numbers)
    return [order[start : start + size] for start in range(0, len(order), size)]


def test_every_setting_is_tried_alone():
    assert len(ALONE) == len(AugmentSettings.model_fields) - 1  # crop_aspect goes with crop
    assert {name for each in ALONE for name in each.model_fields_set} | {"crop_aspect"} == set(
        AugmentSettings.model_fields
    )
    off = AugmentSettings()
    assert all(
        getattr(EVERYTHING, name) != getattr(off, name)
        for name in AugmentSettings.model_fields
        if name != "crop_aspect"
    )


def test_nothing_is_done_unless_asked():
    pixels = pictures()
    assert torch.equal(augment(pixels, drawn(), AugmentSettings()), pixels)


@pytest.mark.parametrize(
    "options", [*ALONE, EXACT, EVERYTHING], ids=lambda each: ",".join(sorted(each.model_fields_set))
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_their_shape_range_and_memory_order(options, channels):
    pixels = pictures(12, channels).contiguous(memory_format=torch.channels_last)
    before = pixels.clone()
    result = augment(pixels, drawn(12), options)
    assert result.shape == pixels.shape
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(pixels, before)
    colour_alone = options.model_fields_set <= {"saturation", "hue"}
    assert torch.equal(result, before) == (channels == 1 and colour_alone)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "flips": st.booleans(),
            "shift": st.floats(0, 0.5),
            "rotation": st.floats(0, 180),
            "scale": st.floats(0, 0.5),
            "shear": st.floats(0, 45),
            "perspective": st.floats(0, 0.4),
            "crop": st.floats(0.05, 1),
            "exposure": st.floats(0, 1),
            "brightness": st.floats(0, 1),
            "contrast": st.floats(0, 1),
            "saturation": st.floats(0, 1),
            "hue": st.floats(0, 0.5),
            "blur": st.floats(0, 4),
            "sharpness": st.floats(0, 1),
            "noise": st.floats(0, 0.5),
            "erasing": st.floats(0, 0.5),
        },
    ),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
    st.integers(0, 2**40),
)
@settings(max_examples=80)
def test_any_settings_give_pictures_and_the_same_ones_again(options, height, width, channels, seed):
    recipe = AugmentSettings(**options)
    pixels, draws = pictures(5, channels, height, width, seed % 2**30), drawn(5, seed)
    result = augment(pixels, draws, recipe)
    assert result.shape == pixels.shape
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(augment(pixels, draws, recipe), result)
    assert torch.equal(augment(pixels[3:4], draws[3:4], recipe), result[3:4])


@given(
    st.permutations(range(24)),
    st.integers(1, 24),
    st.sampled_from([EXACT, EVERYTHING, *ALONE]),
    st.sampled_from([1, 3]),
    st.sampled_from([17, 23, 32]),
)
@settings(max_examples=60)
def test_an_image_is_the_same_in_every_batch(order, count, options, channels, side):
    pixels, draws, chosen = pictures(24, channels, side, side), drawn(24), order[:count]
    whole = augment(pixels, draws, options)
    assert torch.equal(augment(pixels[chosen], draws[chosen], options), whole[chosen])


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stream() -> tuple[torch.Tensor, np.ndarray, str]:
    """Pictures, draws, and the digest of what becomes of them, one by one."""
    pixels, draws = pictures(COUNT, 3, 20, 20), drawn(COUNT, seed=3, epoch=5)
    return pixels, draws, digest(augmented(pixels, draws, cut(range(COUNT), 1)))


SHUFFLED = np.random.default_rng(0).permutation(COUNT).tolist()


@pytest.mark.parametrize("size", [7, 64, COUNT])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_stream_is_the_same_in_any_order_batches_and_memory_order(stream, size, memory):
    pixels, draws, expected = stream
    pixels = pixels.contiguous(memory_format=memory)
    assert digest(augmented(pixels, draws, cut(SHUFFLED, size))) == expected


@pytest.mark.parametrize("chunk", [1, 10**4, 10**9])
def test_the_stream_is_the_same_in_any_chunks(stream, chunk, monkeypatch):
    pixels, draws, expected = stream
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert digest(augmented(pixels, draws, cut(SHUFFLED, 50))) == expected


@pytest.mark.usefixtures("two_threads")
def test_the_stream_is_the_same_with_two_threads(stream, monkeypatch):
    pixels, draws, expected = stream
    monkeypatch.setattr(module, "_CHUNK", 10**9)  # from 32,768 values on, torch shares an operation
    assert digest(augmented(pixels, draws, cut(SHUFFLED, COUNT))) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_the_stream_is_the_same_with_workers(stream, workers):
    pixels, draws, expected = stream
    with ThreadPoolExecutor(workers) as pool:
        assert digest(augmented(pixels, draws, cut(SHUFFLED, 16), mapper=pool.map)) == expected


def test_the_digest_of_the_stream_tells_swapped_draws(stream):
    pixels, draws, expected = stream
    swapped = draws[[1, 0, *range(2, COUNT)]]
    assert digest(augmented(pixels, swapped, cut(range(COUNT), 32))) != expected


@pytest.mark.usefixtures("two_threads")
def test_large_images_are_the_same_with_one_thread_and_with_two():
    pixels, draws = pictures(2, 3, 130, 121), drawn(2)
    options = EVERYTHING.model_copy(update={"quarter_turns": False})
    together = augment(pixels, draws, options)[:1]
    torch.set_num_threads(1)
    alone = augment(pixels[:1], draws[:1], options)
    assert torch.equal(together, alone)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_worker_processes_see_the_same_stream():
    """A `DataLoader` with 0, 1 and 2 workers, in a process of its own."""
    program = f"""
import hashlib, torch
from torch.utils.data import DataLoader, Dataset
from augmenting import drawn, pictures
from ova.data.augment.augment import augment
from ova.data.augment.recipe import AugmentSettings

options = AugmentSettings.model_validate_json({EVERYTHING.model_dump_json()!r})

class Augmented(Dataset):
    pixels, draws = pictures({COUNT}), drawn({COUNT})
    def __len__(self):
        return {COUNT}
    def __getitem__(self, number):
        return augment(self.pixels[number : number + 1], self.draws[number : number + 1], options)[0]

for workers in (0, 1, 2):
    context = "fork" if workers else None
    loader = DataLoader(Augmented(), batch_size=16, num_workers=workers, multiprocessing_context=context)
    print(hashlib.sha256(torch.cat(list(loader)).numpy().tobytes()).hexdigest())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    expected = digest(augmented(pictures(COUNT), drawn(COUNT), cut(SHUFFLED, 40)))
    assert done.stdout.split() == [expected] * 3


def test_a_resumed_epoch_goes_on_with_the_same_stream():
    """Nothing is kept but seed and epoch: the draws of the batches that are left follow from them."""
    keys = image_keys([f"{number}.png" for number in range(COUNT)])
    pixels = pictures(COUNT)
    whole = augmented(pixels, draw(keys, 3, 2), cut(range(COUNT), 32))
    again = augmented(pixels[96:], draw(keys, 3, 2)[96:], cut(range(COUNT - 96), 32))
    assert digest(again) == digest(whole[96:])
    assert digest(augmented(pixels[96:], draw(keys, 3, 3)[96:], cut(range(COUNT - 96), 32))) != digest(
        whole[96:]
    )


def test_steps_come_in_the_order_that_is_promised():
    pixels, draws = smooth_pictures(8), drawn(8)
    options = AugmentSettings(flips=True, shift=0.1, blur=1, erasing=0.3)
    erased = augment(pixels, draws, options)
    weights = torch.from_numpy(blur_weights(draws, options)).float()
    seen = blur(move(pixels, draws, options), weights)
    expected = augment(seen, draws, AugmentSettings(erasing=0.3))
    torch.testing.assert_close(erased, expected, atol=1e-3, rtol=0)


def test_resampling_moves_each_image_once():
    pixels, draws = smooth_pictures(20), drawn(20)
    options = AugmentSettings(flips=True, quarter_turns=True, shift=0.2, rotation=30)
    expected = warp(pixels, torch.from_numpy(source_positions(draws, options, 24, 24)).float())
    torch.testing.assert_close(augment(pixels, draws, options), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options", [AugmentSettings(flips=True, shift=0.2), AugmentSettings(rotation=20, noise=0.1, erasing=0.2)]
)
def test_bytes_become_the_same_pictures_as_floats(options, channels):
    floats = pictures(channels=channels)
    found = augment(floats.to(torch.uint8), drawn(), options)
    assert found.dtype == (torch.float32 if options.rotation else torch.uint8)
    assert torch.equal(found.float(), augment(floats, drawn(), options))


def test_grey_and_colour_move_alike():
    colour = pictures(24)
    for options in (EXACT, AugmentSettings(rotation=30, crop=0.5, perspective=0.2, blur=1, flips=True)):
        moved = augment(colour, drawn(24), options)
        assert torch.equal(augment(colour[:, :1], drawn(24), options), moved[:, :1])


def test_turns_of_images_that_are_not_square_are_refused():
    for options in (AugmentSettings(quarter_turns=True), AugmentSettings(quarter_turns=True, rotation=5)):
        with pytest.raises(ValueError, match="square"):
            augment(pictures(height=5, width=6), drawn(), options)


def test_no_images_are_no_images():
    for options in (EXACT, EVERYTHING):
        assert augment(torch.empty(0, 3, 8, 8), drawn(0), options).shape == (0, 3, 8, 8)
