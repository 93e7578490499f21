"""Schedules against torch's own, and state that survives JSON."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from ova.heads.recipe import TAIL_RATE, TrainingSettings
from ova.heads.training.optimizer import Schedule, build_optimizer

STEPS = 5


def rates(settings: TrainingSettings, losses: list[float] | None = None) -> list[float]:
    """Return the rate of every step."""
    optimizer = build_optimizer(nn.Linear(2, 1), settings)
    schedule = Schedule(optimizer, settings, STEPS)
    found = []
    for epoch in range(settings.epochs):
        for _ in range(STEPS):
            found.append(schedule.rate)
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch((losses or [0.0] * settings.epochs)[epoch])
    return found


def test_one_cycle_is_torchs() -> None:
    settings = TrainingSettings(epochs=4, learning_rate=0.1)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = OneCycleLR(optimizer, 0.1, total_steps=20)
    expected = []
    for _ in range(20):
        expected.append(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert rates(settings) == pytest.approx(expected)


def test_cosine_is_torchs_by_step() -> None:
    settings = TrainingSettings(epochs=4, learning_rate=0.1, schedule="cosine")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = CosineAnnealingLR(optimizer, 20)
    expected = []
    for _ in range(20):
        expected.append(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert rates(settings) == pytest.approx(expected)


def test_warmup_rises_to_the_rate() -> None:
    found = rates(TrainingSettings(epochs=3, learning_rate=0.5, schedule="constant", warmup_epochs=1))
    assert found[:STEPS] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found[STEPS:] == pytest.approx([0.5] * 10)


def test_a_step_table_may_go_up_and_ends_at_the_tail() -> None:
    table = {"1": 1e-3, "2-3": 1e-2}
    found = rates(TrainingSettings(epochs=5, schedule="steps", steps=table))
    expected = [1e-3] * 5 + [1e-2] * 10 + [TAIL_RATE] * 10
    assert found == pytest.approx(expected)


def test_a_plateau_halves_the_rate_down_to_its_floor() -> None:
    settings = TrainingSettings(
        epochs=8, learning_rate=1.0, schedule="plateau", plateau_patience=1, plateau_min=0.2
    )
    by_epoch = rates(settings, losses=[1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95])[::STEPS]
    assert by_epoch == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle", "plateau", "steps"])
def test_a_schedule_goes_on_from_json(schedule: str) -> None:
    steps = {"1-2": 0.1, "3-4": 0.2} if schedule == "steps" else {}
    settings = TrainingSettings(epochs=4, schedule=schedule, steps=steps, learning_rate=0.3)  # type: ignore[arg-type]
    straight = rates(settings)
    optimizer = build_optimizer(nn.Linear(2, 1), settings)
    schedule_now = Schedule(optimizer, settings, STEPS)
    found = []
    for step in range(4 * STEPS):
        if step in (0, 7):  # before the first step, and in the middle of an epoch
            stored = json.loads(
                json.dumps([schedule_now.state(), optimizer.state_dict()["param_groups"]], allow_nan=False)
            )
            optimizer = build_optimizer(nn.Linear(2, 1), settings)
            schedule_now = Schedule(optimizer, settings, STEPS)
            optimizer.load_state_dict({"state": {}, "param_groups": stored[1]})
            schedule_now.restore(stored[0])
        found.append(schedule_now.rate)
        optimizer.step()
        schedule_now.after_step()
        if step % STEPS == STEPS - 1:
            schedule_now.after_epoch(0.0)
    assert found == pytest.approx(straight)
    assert all(math.isfinite(rate) for rate in found)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_biases_and_norms_are_not_decayed(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 1))
    optimizer = build_optimizer(network, TrainingSettings(optimizer=name, weight_decay=0.3))  # type: ignore[arg-type]
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert {parameter.ndim for parameter in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network.parameters()))
