from __future__ import annotations

import numpy as np
import pytest
from messy import SOUND, add_mess, sound_workspace
from PIL import Image

from ova.data.checks import examples as module
from ova.data.checks.examples import draw_examples
from ova.data.checks.findings import BLURRED, COLOUR, MISSING, NEAR, SMALL, Finding
from ova.data.checks.survey import survey_data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = sound_workspace(tmp_path_factory.mktemp("picture"))
    add_mess(made)
    return made


@pytest.fixture(scope="module")
def survey(made):
    return survey_data(made.workspace)


@pytest.fixture
def drawn(made, survey, monkeypatch):
    """Draw findings and return caption -> tiles."""
    taken = []
    draw = module.picture_grid_png
    monkeypatch.setattr(module, "picture_grid_png", lambda *given: taken.append(given[2]) or draw(*given))

    def drawn(findings):
        draw_examples(made.workspace, survey, findings)
        return {row.caption: row.tiles for row in taken[-1]}

    return drawn


def test_an_image_is_shown_in_its_shape_and_colour(made, drawn):
    tiles = drawn([Finding("red.png", COLOUR, "", ""), Finding("small.png", SMALL, "", "")])
    assert list(tiles) == ["too small: 1", "unusual colour: 1"]
    np.testing.assert_array_equal(tiles["unusual colour: 1"][0], np.asarray(Image.open(made.path("red.png"))))
    small = np.asarray(Image.open(made.path("small.png")))
    tile = tiles["too small: 1"][0]
    np.testing.assert_array_equal(tile[38:58, 42:54, 0], small)
    assert (tile.astype(int).sum() - 3 * small.astype(int).sum()) == 255 * 3 * (96 * 96 - 20 * 12)
    assert all((white == 255).all() for white in tiles["too small: 1"][1:])


def test_images_that_are_compared_stand_side_by_side_and_once(made, drawn):
    pairs = [(SOUND[0], SOUND[5]), (SOUND[5], SOUND[0]), (SOUND[7], SOUND[5]), (SOUND[1], SOUND[6])]
    tiles = drawn([Finding(one, NEAR, "", "", other) for one, other in pairs])["near duplicate: 4"]
    for tile, image in zip(tiles, [SOUND[0], SOUND[5], SOUND[1], SOUND[6]], strict=False):
        np.testing.assert_array_equal(tile[:, :, 0], np.asarray(Image.open(made.path(image))))
    assert all((white == 255).all() for white in tiles[4:])


def test_six_are_shown_of_many_and_nothing_where_nothing_can_be(made, survey, drawn):
    tiles = drawn([Finding(image, BLURRED, "", "") for image in SOUND])["blurred: 24"]
    assert len(tiles) == 6
    assert not any((tile == 255).all() for tile in tiles)
    assert made.workspace.findings_picture.exists()
    assert draw_examples(made.workspace, survey, [Finding("gone.png", MISSING, "", "")]) == []
    assert not made.workspace.findings_picture.exists()
