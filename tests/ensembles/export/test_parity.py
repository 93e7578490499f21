from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ova.ensembles.export.parity import check_parity
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError, DataError, RecipeError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(exported) -> CombinedModel:
    return CombinedModel.load(exported.folder, threads=1)


def recalibrated(head, **changes: float):
    return replace(head, calibration=replace(head.calibration, **changes))


def test_the_exported_model_agrees(model: CombinedModel, exported, decoded: list[np.ndarray]) -> None:
    parity = check_parity(model, exported.heads, decoded)
    assert (parity.images, parity.decision_flips) == (len(decoded), 0)
    assert parity.max_logit_difference < 1e-5


def test_an_other_threshold_is_noticed(model: CombinedModel, exported, image_files: list[Path]) -> None:
    heads = [exported.heads[0], recalibrated(exported.heads[1], threshold=1e6), exported.heads[2]]
    with pytest.raises(ArtefactError, match=r"[1-8] of 8 images are decided otherwise.*up to .*e-0[678]"):
        check_parity(model, heads, image_files)


def test_an_other_choice_is_noticed(model: CombinedModel, exported, image_files: list[Path]) -> None:
    heads = [*exported.heads[:2], recalibrated(exported.heads[2], intercept=50.0)]
    with pytest.raises(ArtefactError, match="decided otherwise"):
        check_parity(model, heads, image_files)


def test_other_weights_are_noticed(
    model: CombinedModel, exported, image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = exported.heads[0].head.members[0].get_parameter("fc.bias")
    monkeypatch.setattr(bias, "data", bias.data + 2e-4)
    with pytest.raises(ArtefactError, match=r"logits differ by up to 0\.0002"):
        check_parity(model, exported.heads, image_files)


def test_a_broken_head_is_noticed(
    model: CombinedModel, exported, image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = exported.heads[0].head.members[0].get_parameter("fc.bias")
    monkeypatch.setattr(bias, "data", torch.full_like(bias, torch.nan))
    with pytest.raises(ArtefactError, match="logits differ by up to nan"):
        check_parity(model, exported.heads, image_files)


def test_images_are_needed_and_must_be_sound(model: CombinedModel, exported, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at least one"):
        check_parity(model, exported.heads, [])
    with pytest.raises(DataError, match="missing"):
        check_parity(model, exported.heads, [tmp_path / "none.png"])
    with pytest.raises(DataError, match="pixels are float64"):
        check_parity(model, exported.heads, [np.zeros((4, 4, 3))])  # type: ignore[list-item]
