from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ova.analysis.report import files
from ova.analysis.report.files import write_report
from ova.analysis.report.heat import HeatMap, heat_map
from ova.errors import EnvironmentFault
from ova.heads.network.head import Head, InputSpec
from ova.progress import Silent

pytest.importorskip("captum")


class Corner(nn.Module):
    """Says how bright the upper left of an image is, and how dark the lower right."""

    def forward(self, images):
        bright = images[:, :, :4, :4].mean(dim=(1, 2, 3)) - images[:, :, 16:, 16:].mean(dim=(1, 2, 3))
        return bright[:, None]


def head_of(channels=1) -> Head:
    spec = InputSpec(20, 20, channels, (0.2,) * channels, (0.5,) * channels)
    return Head([Corner()], spec).eval()


def test_a_map_is_the_fall_of_the_logit_averaged_over_the_hidden_parts():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    head = head_of(3)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    sums, counts = np.zeros((20, 20)), np.zeros((20, 20))
    for top in range(0, 17, 2):  # parts of 4 x 4 pixels, every 2 pixels
        for left in range(0, 17, 2):
            hidden = image.clone()
            hidden[:, :, top : top + 4, left : left + 4] = 255 * 0.2
            fall = float(head(image) - head(hidden))
            sums[top : top + 4, left : left + 4] += fall
            counts[top : top + 4, left : left + 4] += 1
    np.testing.assert_allclose(heat_map(head, pixels).falls, sums / counts, atol=1e-5)


def test_a_map_shows_what_speaks_for_and_against():
    pixels = np.full((40, 30, 1), 51, np.uint8)  # the mean grey: hiding it changes nothing
    pixels[:8, :6] = pixels[32:, 24:] = 255
    found = heat_map(head_of(), pixels)
    assert found.falls.shape == (20, 20)
    assert found.falls[0, 0] == found.strongest > 0 > found.falls[-1, -1]
    assert (found.falls[8:12, 8:12] == 0).all()
    shown = found.over(np.repeat(pixels, 3, axis=2))
    assert shown.shape == (40, 30, 3)
    red, _, blue = (shown[..., channel].astype(int) for channel in range(3))
    assert red[0, 0] > blue[0, 0]
    assert blue[-1, -1] > red[-1, -1]
    assert (shown[20, 15] == 51).all()


def test_a_head_that_sees_nothing_leaves_the_picture_grey():
    flat = heat_map(head_of(), np.full((20, 20, 1), 51, np.uint8))
    assert flat.strongest == 0
    assert (flat.over(np.full((5, 5, 3), 80, np.uint8)) == 80).all()


@pytest.mark.slow
def test_the_page_shows_maps_of_the_worst_mistakes(made, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SHOWN", 2)
    monkeypatch.setattr(files, "load_head", lambda workspace, name: SimpleNamespace(head=head_of()))
    analysis, (source,) = made.alone("spot")
    written = write_report(made.workspace, tmp_path, analysis, [source], Silent(), heat_maps=True)
    page = written[0].read_text(encoding="utf-8")
    mistakes = files.find_mistakes(source.evidence, source.calibration, files.SHOWN)
    wrong = {each.image for each in (*mistakes.false_alarms, *mistakes.missed)}
    shown = sum(each.image in wrong for judged in mistakes.lists().values() for each in judged)
    assert shown > 3
    assert page.count('alt="where the head looked in ') == page.count("strongest colour") == shown
    assert "speaks for a yes" in page
    assert "speaks for a yes" not in made.files[0].read_text(encoding="utf-8")
    with (
        Image.open(tmp_path / "mistakes-spot.png") as grid,
        Image.open(made.folder / "mistakes-spot.png") as plain,
    ):
        assert grid.height > plain.height


def test_without_the_extra_the_error_says_what_to_install(make_workspace, run_cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(EnvironmentFault, match=r'pip install "ova\[explain\]"'):
        heat_map(head_of(), np.zeros((20, 20, 1), np.uint8))
    workspace = make_workspace(ensembles={"all": {"heads": ["spot"], "mode": "multilabel"}})
    code, _, err = run_cli("-C", workspace.root, "analyse", "all", "--heat-maps")
    assert (code, err.count("\n")) == (6, 1)
    assert "ova[explain]" in err
    code, _, err = run_cli("-C", workspace.root, "analyse", "spot", "--heat-maps")
    assert code == 2
    assert "name one" in err


def test_a_map_of_one_pixel():
    assert HeatMap(np.ones((1, 1), np.float32)).over(np.zeros((3, 2, 3), np.uint8)).shape == (3, 2, 3)


def test_a_map_of_the_middle_leaves_the_margin_grey():
    shown = HeatMap(np.ones((2, 2), np.float32), crop=500).over(np.full((40, 80, 3), 90, np.uint8))
    coloured = (shown != 90).any(axis=2)
    assert coloured[10:30, 20:60].all()
    assert coloured.sum() == 20 * 40
