from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split import stored as module
from ova.data.split.leaks import find_leaks
from ova.data.split.split import make_split
from ova.data.split.stored import Moved, read_split, stored_split
from ova.errors import ArtefactError, DataError
from ova.workspace import Workspace


def table_of(values, groups=None) -> LabelTable:
    cells = np.asarray(values, np.int8)
    images = tuple(f"{row:04d}.png" for row in range(len(cells)))
    return LabelTable(images, tuple("abcdefgh"[: cells.shape[1]]), cells, tuple(groups or images))


def unlike(table: LabelTable) -> dict[str, str]:
    return {image: f"pixels of {image}" for image in table.images}


def unbalanced(rows: int = 200, seed: int = 0) -> LabelTable:
    generator = np.random.default_rng(seed)
    crack = generator.random(rows) < 0.22
    inactive = (generator.random(rows) < 0.3) & crack
    return table_of(np.stack([crack, inactive], axis=1))


def rows_of_test(part_of) -> set[str]:
    return {image for image, part in part_of.items() if part == "test"}


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def stamp(workspace: Workspace) -> tuple[bytes, bytes, int]:
    status = workspace.split_table.stat()
    return workspace.split_table.read_bytes(), workspace.split_origin.read_bytes(), status.st_mtime_ns


def test_split_is_stored_for_people_and_reused(workspace):
    table = unbalanced(50)
    split = stored_split(workspace, table, unlike(table), SplitRecipe())
    assert split.part_of == make_split(table, unlike(table), SplitRecipe()).part_of
    lines = workspace.split_table.read_text().splitlines()
    assert lines[0] == "image,part"
    assert lines[1:] == [f"{image},{split.part_of[image]}" for image in sorted(table.images)]
    before = stamp(workspace)
    assert stored_split(workspace, table, unlike(table), SplitRecipe()).part_of == split.part_of
    assert stamp(workspace) == before


# Known images keep their part


def _added_label(table, pixels):
    values = np.column_stack([np.arange(len(table.images)) % 2, table.values]).astype(np.int8)
    return LabelTable(table.images, ("any", *table.labels), values, table.groups), pixels


def _changed_label(table, pixels):
    values = table.values.copy()
    values[:5, 0] = 1 - values[:5, 0]
    return LabelTable(table.images, table.labels, values, table.groups), pixels


def _dropped_label(table, pixels):
    return LabelTable(table.images, table.labels[:1], table.values[:, :1], table.groups), pixels


def _fewer_images(table, pixels):
    return table.subset(np.arange(30)), pixels


def _other_pixels(table, pixels):
    return table, pixels | {"0000.png": "new"}


def _other_order(table, pixels):
    return table.subset(np.arange(len(table.images))[::-1]), pixels


@pytest.mark.parametrize(
    "change", [_added_label, _changed_label, _dropped_label, _fewer_images, _other_pixels, _other_order]
)
def test_known_images_keep_their_part_whatever_becomes_of_the_rest(workspace, change):
    table = unbalanced(50)
    split = stored_split(workspace, table, unlike(table), SplitRecipe())
    before = stamp(workspace)
    changed, pixels = change(table, unlike(table))
    part_of = stored_split(workspace, changed, pixels, SplitRecipe()).part_of
    assert part_of == {image: split.part_of[image] for image in changed.images}
    assert stamp(workspace) == before


def test_a_split_that_is_removed_is_made_anew(workspace):
    table = unbalanced(50)
    stored_split(workspace, table.subset(np.arange(20)), unlike(table), SplitRecipe())
    workspace.split_table.unlink()
    workspace.split_origin.unlink()
    split = stored_split(workspace, table, unlike(table), SplitRecipe())
    assert split.part_of == make_split(table, unlike(table), SplitRecipe()).part_of


def test_new_images_are_placed_by_the_same_rule_and_test_rows_stay_test_rows(workspace):
    table = unbalanced(400)
    old = stored_split(workspace, table.subset(np.arange(150)), unlike(table), SplitRecipe()).part_of
    grown = stored_split(workspace, table, unlike(table), SplitRecipe()).part_of
    assert {image: grown[image] for image in old} == old
    assert rows_of_test(old) < rows_of_test(grown)
    for column in range(2):
        positives = [grown[image] for image in np.array(table.images)[table.values[:, column] == 1].tolist()]
        assert abs(positives.count("test") - 0.2 * len(positives)) < 1.5
    assert abs(len(rows_of_test(grown)) - 80) <= 1
    before = stamp(workspace)
    mixed = table.subset(np.random.default_rng(0).permutation(400))
    assert stored_split(workspace, mixed, unlike(table), SplitRecipe()).part_of == grown
    assert stamp(workspace) == before


def test_growth_is_a_function_of_the_stored_split(tmp_path):
    table = unbalanced(300)
    part = np.random.default_rng(1).permutation(300)
    grown = []
    for name, order in (("a", np.arange(300)), ("b", part)):
        workspace = Workspace(tmp_path / name)
        stored_split(workspace, table.subset(np.arange(100)), unlike(table), SplitRecipe(folds=3))
        later = table.subset(order)
        grown.append(stored_split(workspace, later, unlike(table), SplitRecipe(folds=3)).part_of)
    assert grown[0] == grown[1]


def test_an_image_that_comes_back_goes_to_its_old_part(workspace):
    table = unbalanced(60)
    split = stored_split(workspace, table, unlike(table), SplitRecipe()).part_of
    stored_split(workspace, table.subset(np.arange(5, 60)), unlike(table), SplitRecipe())
    added = unbalanced(65)
    later = added.subset(np.arange(5, 65))
    stored_split(workspace, later, unlike(added), SplitRecipe())
    again = stored_split(workspace, added, unlike(added), SplitRecipe()).part_of
    assert {image: again[image] for image in table.images} == split


def test_a_new_image_goes_to_the_part_of_what_it_belongs_together_with(workspace):
    table = unbalanced(80)
    old = stored_split(workspace, table.subset(np.arange(60)), unlike(table), SplitRecipe()).part_of
    test_row, train_row = min(rows_of_test(old)), min(image for image, part in old.items() if part == "train")
    groups = list(table.images)
    groups[60] = test_row  # the group of an image that has none is its own name
    pixels = unlike(table) | {"0061.png": f"pixels of {train_row}"}
    later = LabelTable(table.images, table.labels, table.values, tuple(groups))
    part_of = stored_split(workspace, later, pixels, SplitRecipe(), [["0062.png", test_row]]).part_of
    assert [part_of[f"00{number}.png"] for number in (60, 61, 62)] == ["test", "train", "test"]
    assert read_split(workspace).moved == ()


def test_test_rows_that_belong_to_training_rows_now_leave_the_test_and_are_told(workspace):
    table = unbalanced(80)
    old = stored_split(workspace, table.subset(np.arange(60)), unlike(table), SplitRecipe()).part_of
    test_row, train_row = min(rows_of_test(old)), min(image for image, part in old.items() if part == "train")
    joined = [[test_row, "0070.png", train_row]]
    split = stored_split(workspace, table, unlike(table), SplitRecipe(), joined)
    assert [split.part_of[image] for image in joined[0]] == ["train"] * 3
    assert {image for image in old if split.part_of[image] != old[image]} == {test_row}
    assert read_split(workspace).moved == (Moved(test_row, "test", "train"),)
    assert find_leaks(table, unlike(table), split.part_of, joined).total == 0
    stored_split(workspace, unbalanced(90), unlike(unbalanced(90)), SplitRecipe(), joined)
    assert read_split(workspace).moved == (Moved(test_row, "test", "train"),)


@pytest.mark.slow
@given(st.data(), st.integers(12, 30), st.integers(0, 12))
@settings(max_examples=30)
def test_growth_never_leaks(tmp_path_factory, data, old, new):
    rows = old + new
    some = st.integers(0, rows)
    groups = [f"g{data.draw(some)}" for _ in range(rows)]
    later = [f"g{data.draw(some)}" if data.draw(st.booleans()) else group for group in groups]
    values = np.random.default_rng(rows).integers(-1, 2, (rows, 2))
    table = table_of(values, later)
    pixels = {image: f"p{data.draw(some)}" for image in table.images}
    workspace = Workspace(tmp_path_factory.mktemp("grown"))
    first = table_of(values[:old], groups[:old])
    if len(set(groups[:old])) < 3 or len(set(later)) < 3:
        return
    recipe = SplitRecipe()
    try:
        before = stored_split(workspace, first, pixels, recipe).part_of
        after = stored_split(workspace, table, pixels, recipe).part_of
    except DataError:
        return  # too few clusters
    assert set(after) == set(table.images)
    assert find_leaks(table, pixels, after).total == 0
    assert not {image for image in rows_of_test(after) if before.get(image, "test") != "test"}


# Other settings


@pytest.mark.parametrize("other", [{"seed": 1}, {"test": 0.3}, {"test_per_class": 5}, {"min_positives": 4}])
def test_another_test_splits_anew(workspace, other):
    table = unbalanced(80)
    stored_split(workspace, table.subset(np.arange(50)), unlike(table), SplitRecipe())
    recipe = SplitRecipe.model_validate(other)
    split = stored_split(workspace, table, unlike(table), recipe)
    assert split.part_of == make_split(table, unlike(table), recipe).part_of
    assert stored_split(workspace, table, unlike(table), recipe).part_of == split.part_of


def test_from_validation_to_folds_and_back_the_test_rows_stay(workspace):
    table = unbalanced(120)
    stored_split(workspace, table.subset(np.arange(70)), unlike(table), SplitRecipe())
    one = stored_split(workspace, table, unlike(table), SplitRecipe()).part_of
    folds = stored_split(workspace, table, unlike(table), SplitRecipe(folds=3)).part_of
    assert rows_of_test(folds) == rows_of_test(one)
    assert set(folds.values()) == {"test", "fold-1", "fold-2", "fold-3"}
    assert rows_of_test(
        stored_split(workspace, table, unlike(table), SplitRecipe(validation=0.3)).part_of
    ) == rows_of_test(one)


def test_settings_that_an_older_version_did_not_know_had_their_defaults(workspace):
    table = unbalanced(50)
    stored_split(workspace, table, unlike(table), SplitRecipe())
    record = json.loads(workspace.split_origin.read_text())
    del record["splits"][0]["settings"]["min_positives"]
    workspace.split_origin.write_text(json.dumps(record))
    before = stamp(workspace)
    stored_split(workspace, table, unlike(table), SplitRecipe())
    assert stamp(workspace) == before
    stored_split(workspace, table, unlike(table), SplitRecipe(min_positives=3))
    assert stamp(workspace) != before


# Damage and crashes


@pytest.mark.parametrize("damage", ["part", "row", "header", "missing", "origin", "not an object", "moved"])
def test_edited_or_damaged_split_is_refused(workspace, damage):
    table = unbalanced(50)
    stored_split(workspace, table, unlike(table), SplitRecipe())
    text, origin = workspace.split_table.read_text(), workspace.split_origin.read_text()
    if damage == "part":
        workspace.split_table.write_text(text.replace(",test", ",train", 1))
    elif damage == "row":
        workspace.split_table.write_text("".join(text.splitlines(keepends=True)[:-1]))
    elif damage == "header":
        workspace.split_table.write_text(text.replace("image,part", "image,side", 1))
    elif damage == "missing":
        workspace.split_table.unlink()
    elif damage == "origin":
        workspace.split_origin.write_text("{}")
    elif damage == "moved":
        workspace.split_origin.write_text(origin.replace('"moved": []', '"moved": [1]'))
    else:
        workspace.split_origin.write_text("[]")
    with pytest.raises(ArtefactError, match=r"split\.") as caught:
        stored_split(workspace, table, unlike(table), SplitRecipe())
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("recipe", [SplitRecipe(), SplitRecipe(seed=1)])
@pytest.mark.parametrize("before", [0, 50])
def test_a_crash_leaves_a_workspace_that_goes_on(workspace, monkeypatch, writes, recipe, before):
    """Whatever was written before the crash, the next run ends where it would have without one."""
    table = unbalanced(80)
    calm = Workspace(workspace.root / "calm")
    for each in (workspace, calm):
        if before:
            stored_split(each, table.subset(np.arange(before)), unlike(table), SplitRecipe())
    expected = stored_split(calm, table, unlike(table), recipe).part_of
    left = writes

    def crashing(write):
        def run(path, content):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            write(path, content)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", crashing(module.write_json))
        patch.setattr(module, "write_bytes", crashing(module.write_bytes))
        with pytest.raises(KeyboardInterrupt):
            stored_split(workspace, table, unlike(table), recipe)
    assert stored_split(workspace, table, unlike(table), recipe).part_of == expected
    assert stored_split(workspace, table, unlike(table), recipe).part_of == expected
