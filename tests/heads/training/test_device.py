from __future__ import annotations

import pytest
import torch

from ova.errors import EnvironmentFault, RecipeError
from ova.heads.training.device import choose_device


@pytest.mark.parametrize(("cards", "mps", "chosen"), [(0, False, "cpu"), (0, True, "mps"), (2, True, "cuda")])
def test_auto_takes_the_best_there_is(
    monkeypatch: pytest.MonkeyPatch, cards: int, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen
    assert choose_device("cpu").type == "cpu"
    for name in ("cuda", "cuda:1"):
        if cards:
            assert str(choose_device(name)) == name
        else:
            with pytest.raises(EnvironmentFault, match="--device cpu"):
                choose_device(name)
    with pytest.raises(EnvironmentFault, match="cuda:2"):
        choose_device("cuda:2")
    if not mps:
        with pytest.raises(EnvironmentFault, match="mps"):
            choose_device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu2", "CUDA"])
def test_an_unknown_name_is_told(name: str) -> None:
    with pytest.raises(RecipeError, match="auto, cpu, cuda"):
        choose_device(name)
