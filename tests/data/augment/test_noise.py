"""Noise: SplitMix64 by its reference values, and the normal distribution by scipy."""

from __future__ import annotations

import numpy as np
import torch
from augmenting import drawn, wanted
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ova.data.augment.noise import (
    _quantiles,
    add_noise,
    noise_deviations,
    noise_seeds,
    split_mix,
    standard_normal,
)
from ova.data.augment.recipe import AugmentSettings


def reference(seed: int, count: int) -> list[int]:
    """SplitMix64 as published, in whole numbers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        word = seed
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
        outputs.append(word ^ word >> 31)
    return outputs


def test_the_reference_is_javas_splittable_random():
    assert reference(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.lists(st.integers(0, 2**53), min_size=1, max_size=4), st.integers(1, 20))
def test_words_are_those_of_splitmix(seeds, count):
    words = split_mix(torch.tensor(seeds), count).numpy().view(np.uint64)
    assert words.tolist() == [reference(seed, count) for seed in seeds]


def test_values_are_normal():
    values = standard_normal(torch.arange(4), 50_000).double().numpy()
    assert stats.kstest(values.ravel(), "norm").pvalue > 0.001
    # 200,000 values: mean within 5 / sqrt(200,000), neighbours and images independent alike.
    assert abs(values.mean()) < 0.011
    assert abs(values.std() - 1) < 0.008
    assert abs(stats.kurtosis(values.ravel())) < 0.06
    assert np.abs(np.corrcoef(values) - np.eye(4)).max() < 0.025
    for lag in (1, 2, 3, 4):
        assert abs((values[:, lag:] * values[:, :-lag]).mean()) < 0.012


def test_quantiles_are_symmetric():
    table = _quantiles("cpu")
    assert torch.equal(table, -table.flip(0))
    np.testing.assert_allclose(table[[0, -1]], stats.norm.ppf([0.5 / 2**16, 1 - 0.5 / 2**16]), rtol=1e-6)


@given(st.integers(1, 30))
def test_a_value_depends_on_its_seed_and_place_alone(count):
    whole = standard_normal(torch.tensor([5, 6, 7]), 30)
    assert torch.equal(standard_normal(torch.tensor([7, 5]), count), whole[[2, 0], :count])


def test_noise_has_the_deviation_that_was_drawn():
    draws = wanted(NOISE=[0.0, 0.25, 0.9], NOISE_SEED=[0.1, 0.2, 0.3])
    options = AugmentSettings(noise=0.1)
    pixels = torch.full((3, 3, 64, 64), 128.0)
    seeds = torch.from_numpy(noise_seeds(draws))
    result = add_noise(pixels, seeds, torch.from_numpy(noise_deviations(draws, options)).float())
    assert torch.equal(result[0], pixels[0])
    np.testing.assert_allclose(result.std((1, 2, 3)), [0, 0.25 * 25.5, 0.9 * 25.5], rtol=0.03)
    np.testing.assert_allclose(result.mean((1, 2, 3)), 128, atol=1)


def test_noise_stays_in_range():
    pixels = torch.tensor([0.0, 255.0]).reshape(2, 1, 1, 1).expand(2, 1, 32, 32)
    result = add_noise(pixels, torch.tensor([1, 2]), torch.tensor([100.0, 100.0]))
    assert (result.min(), result.max()) == (0, 255)


def test_every_image_and_epoch_has_noise_of_its_own():
    seeds = np.concatenate([noise_seeds(drawn(50, epoch=epoch)) for epoch in range(3)])
    assert len(np.unique(seeds)) == 150
