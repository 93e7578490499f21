"""From a workspace to a combined model that reads images as training did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small import draw_images, head_recipe

from ova.ensembles.export import export as publish
from ova.ensembles.export.export import export
from ova.ensembles.runtime.model import CombinedModel
from ova.ensembles.train import train_heads
from ova.errors import ArtefactError, RecipeError
from ova.heads.runs import current_run
from ova.heads.scores import read_scores

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(make_workspace):
    """Photos of twice the size that the head reads, in a dataset that allows drafts."""
    made = make_workspace(
        {"spot": head_recipe(training={"epochs": 1})},
        ensembles={"all": {"heads": ["spot"]}},
        columns={"spot": (np.arange(72) % 3 == 0).astype(int).tolist()},
        dataset={"draft_side": 24},
    )
    folder = made.root / "data" / "images"
    images, _ = draw_images(72)
    for number, image in enumerate(images):
        (folder / f"{number:03d}.png").unlink()
        Image.fromarray(np.kron(image, np.ones((2, 2), np.uint8))).save(folder / f"{number:03d}.jpg")
    table = folder / "data.csv"
    table.write_text(table.read_text().replace(".png", ".jpg"))
    return made


def test_drafts_are_the_same_in_training_export_and_prediction(workspace):
    assert [outcome.status for outcome in train_heads(workspace)] == ["trained"]
    report = export(workspace, "all")
    assert (report.manifest.draft_side, report.parity.images > 0) == (24, True)
    scores = read_scores(current_run(workspace, "spot").scores)
    files = [workspace.root / "data" / "images" / image for image in scores.images]
    model = CombinedModel.load(report.model.parent, threads=1)
    logits = [each.logits["spot"] for each in model.predict(files)]
    np.testing.assert_allclose(logits, scores.logits, atol=1e-4)

    model.manifest = replace(model.manifest, draft_side=None)
    in_full = [each.logits["spot"] for each in model.predict(files)]
    assert np.abs(np.array(in_full) - scores.logits).max() > 1e-3

    recipe = workspace.dataset_recipe
    recipe.write_text(recipe.read_text().replace("draft_side = 24", ""))
    with pytest.raises(ArtefactError, match="head spot was trained with another white_level or draft_side"):
        export(workspace, "all")


def test_a_head_that_reads_more_than_drafts_hold_is_refused(workspace):
    recipe = workspace.dataset_recipe
    recipe.write_text(recipe.read_text().replace("draft_side = 24", "draft_side = 23"))
    with pytest.raises(RecipeError, match=r"a head reads 24 x 24 pixels, but draft_side .* down to 23"):
        train_heads(workspace)
    assert not workspace.stores.exists()


def test_the_middle_of_images_is_the_same_in_training_export_and_prediction(make_workspace):
    workspace = make_workspace(
        {"spot": head_recipe(training={"epochs": 1}, input={"crop": 0.75})},
        ensembles={"all": {"heads": ["spot"]}},
    )
    assert [outcome.status for outcome in train_heads(workspace)] == ["trained"]
    report = export(workspace, "all")
    assert report.manifest.heads[0].input.crop == 750
    scores = read_scores(current_run(workspace, "spot").scores)
    model = CombinedModel.load(report.model.parent, threads=1)
    folder = workspace.root / "data" / "images"
    pixels = [np.array(Image.open(folder / image)) for image in scores.images]
    logits = [each.logits["spot"] for each in model.predict(pixels)]
    np.testing.assert_allclose(logits, scores.logits, atol=1e-4)

    for image in pixels:  # what lies outside the middle is not looked at
        side = len(image) // 8
        image[:side], image[-side:], image[:, :side], image[:, -side:] = 255, 255, 255, 255
    assert [each.logits["spot"] for each in model.predict(pixels)] == logits


def test_the_rule_knows_which_losses_are_proper(make_workspace, monkeypatch):
    focal = head_recipe(training={"epochs": 1}, balance={"loss": "focal"})
    workspace = make_workspace({"spot": focal}, ensembles={"all": {"heads": ["spot"]}})
    train_heads(workspace)

    class Seen(Exception):
        pass

    def spy(_recipe, heads, *_more, **_options):
        raise Seen([(head.name, head.proper_loss) for head in heads])

    monkeypatch.setattr(publish, "fit_rule", spy)
    with pytest.raises(Seen) as seen:
        export(workspace, "all")
    assert seen.value.args == ([("spot", False)],)
