from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from ova.data.labels import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.splits import assign_groups, make_split, part_shares, stored_split
from ova.errors import ArtefactError, DataError
from ova.workspace import Workspace


def table_of(values, groups=None, labels=None) -> LabelTable:
    cells = np.asarray(values, np.int8)
    images = tuple(f"{row:04d}.png" for row in range(len(cells)))
    names = tuple(labels or "abcdefgh"[: cells.shape[1]])
    return LabelTable(images, names, cells, tuple(groups or images))


def unlike(table: LabelTable) -> dict[str, str]:
    return {image: f"pixels of {image}" for image in table.images}


def unbalanced(rows: int = 200, seed: int = 0) -> LabelTable:
    generator = np.random.default_rng(seed)
    crack = generator.random(rows) < 0.22
    inactive = (generator.random(rows) < 0.3) & crack
    return table_of(np.stack([crack, inactive], axis=1))


def counts_by_stratum(table: LabelTable, part_of) -> dict[tuple[int, ...], Counter[str]]:
    counts = defaultdict(Counter)
    for image, row in zip(table.images, table.values.tolist(), strict=True):
        counts[tuple(row)][part_of[image]] += 1
    return counts


RECIPES = st.one_of(
    st.builds(
        SplitRecipe,
        seed=st.integers(0, 5),
        test=st.sampled_from([0.1, 0.2, 0.33]),
        validation=st.sampled_from([0.1, 0.25, 0.5]),
    ),
    st.builds(
        SplitRecipe, seed=st.integers(0, 5), test=st.sampled_from([0.1, 0.2, 0.5]), folds=st.integers(2, 6)
    ),
)


# Nothing is parted


@given(st.data(), st.integers(8, 40), RECIPES)
@settings(max_examples=80, deadline=None)
def test_no_group_and_no_identical_pixels_on_two_sides(data, rows, recipe):
    groups = [f"g{data.draw(st.integers(0, rows // 2))}" for _ in range(rows)]
    pixels = [f"p{data.draw(st.integers(0, rows))}" for _ in range(rows)]
    values = data.draw(st.lists(st.tuples(*[st.sampled_from([0, 1, -1])] * 2), min_size=rows, max_size=rows))
    table = table_of(values, groups)
    try:
        part_of = make_split(table, dict(zip(table.images, pixels, strict=True)), recipe).part_of
    except DataError:
        return  # too few groups; see below
    assert set(part_of) == set(table.images)
    assert set(part_of.values()) <= set(part_shares(recipe))
    for owners in (groups, pixels):
        sides = defaultdict(set)
        for owner, image in zip(owners, table.images, strict=True):
            sides[owner].add(part_of[image])
        assert all(len(parts) == 1 for parts in sides.values())


def test_groups_and_pixels_are_joined_through_each_other():
    # 0 and 1 share a group, 1 and 2 their pixels, 2 and 3 a group: one chain, whatever else there is.
    table = table_of([[1]] * 4 + [[0]] * 20, ["x", "x", "y", "y", *(f"s{row}" for row in range(20))])
    pixels = unlike(table) | {"0001.png": "same", "0002.png": "same"}
    for seed in range(10):
        part_of = make_split(table, pixels, SplitRecipe(seed=seed)).part_of
        assert len({part_of[image] for image in table.images[:4]}) == 1


# Shares


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=10, max_size=150), RECIPES)
@settings(max_examples=80, deadline=None)
def test_every_stratum_keeps_its_share_within_one_image(values, recipe):
    table = table_of(values)
    part_of = make_split(table, unlike(table), recipe).part_of
    for counted in counts_by_stratum(table, part_of).values():
        for part, share in part_shares(recipe).items():
            assert abs(counted[part] - share * counted.total()) < 1 + 1e-9


@pytest.mark.parametrize(
    "recipe", [SplitRecipe(), SplitRecipe(folds=4), SplitRecipe(test=0.1, validation=0.1)]
)
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_rare_combinations_are_not_all_trained_on(recipe, copies):
    strata = {f"{number}-{copy}": [number] for number in range(300 // copies) for copy in range(copies)}
    counted = Counter(assign_groups(strata, part_shares(recipe), seed=1).values())
    for part, share in part_shares(recipe).items():
        assert abs(counted[part] - share * len(strata)) <= 3, counted


def test_shares_agree_with_scikit_learn():
    table = unbalanced(500)
    strata = [str(row) for row in table.values.tolist()]
    part_of = make_split(table, unlike(table), SplitRecipe(test=0.25)).part_of
    reference = StratifiedShuffleSplit(1, test_size=0.25, random_state=0)
    _, tested = next(reference.split(strata, strata))
    ours = Counter(strata[row] for row, image in enumerate(table.images) if part_of[image] == "test")
    theirs = Counter(strata[row] for row in tested)
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[stratum] - theirs[stratum]) <= 1 for stratum in ours)


@pytest.mark.parametrize("seed", range(3))
def test_grouped_folds_are_about_as_even_as_those_of_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    groups = np.sort(generator.integers(0, 80, 400))
    values = (generator.random((400, 1)) < 0.1 + 0.3 * (groups % 5 == 0)[:, None]).astype(np.int8)
    table = table_of(values, [f"g{group}" for group in groups])
    shares = {f"fold-{number}": 0.25 for number in range(1, 5)}
    strata = defaultdict(list)
    for group, value in zip(table.groups, values[:, 0].tolist(), strict=True):
        strata[group].append(value)
    assigned = assign_groups(strata, shares, seed)
    ours = Counter(assigned[group] for group, value in zip(table.groups, values[:, 0], strict=True) if value)
    reference = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
    theirs = [int(values[rows].sum()) for _, rows in reference.split(values, values[:, 0], groups)]
    largest = max(map(sum, strata.values()))
    assert max(ours.values()) - min(ours.values()) <= max(max(theirs) - min(theirs), largest)


def test_folds_keep_the_test_rows_of_a_validation_split():
    table = unbalanced(200)
    one = make_split(table, unlike(table), SplitRecipe(seed=3)).part_of
    folds = make_split(table, unlike(table), SplitRecipe(seed=3, folds=5)).part_of
    assert {image for image, part in one.items() if part == "test"} == {
        image for image, part in folds.items() if part == "test"
    }


def test_folds():
    table = unbalanced(120)
    split = make_split(table, unlike(table), SplitRecipe(test=0.25, folds=3))
    assert split.folds == ("fold-1", "fold-2", "fold-3")
    assert Counter(split.part_of.values()) == {"test": 30, "fold-1": 30, "fold-2": 30, "fold-3": 30}
    assert make_split(table, unlike(table), SplitRecipe()).folds == ()


def test_shares_add_up_to_one():
    assert part_shares(SplitRecipe()) == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2})
    assert part_shares(SplitRecipe(test=0.1, folds=3)) == pytest.approx(
        {"test": 0.1, "fold-1": 0.3, "fold-2": 0.3, "fold-3": 0.3}
    )


def test_too_few_groups_are_refused():
    table = table_of([[0]] * 6, ["x", "x", "x", "y", "y", "y"])
    with pytest.raises(DataError, match="2 groups of images cannot fill 3 parts"):
        make_split(table, unlike(table), SplitRecipe())


# A pure function of the content


@given(st.randoms(use_true_random=False), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_order_of_rows_and_columns_does_not_matter(random, seed):
    values = np.random.default_rng(7).integers(0, 2, (60, 4))  # many combinations as frequent as each other
    table = table_of(values, [f"g{row // 2}" for row in range(60)])
    pixels = unlike(table) | {"0003.png": "same", "0050.png": "same"}
    order = random.sample(range(60), 60)
    mixed = table.subset(np.array(order))
    turned = LabelTable(mixed.images, mixed.labels[::-1], mixed.values[:, ::-1], mixed.groups)
    recipe = SplitRecipe(seed=seed)
    assert make_split(turned, pixels, recipe).part_of == make_split(table, pixels, recipe).part_of


def test_seeds_differ():
    table = unbalanced()
    splits = [make_split(table, unlike(table), SplitRecipe(seed=seed)).part_of for seed in range(4)]
    tested = [{image for image, part in part_of.items() if part == "test"} for part_of in splits]
    for one in range(4):
        for other in range(one):
            assert len(tested[one] & tested[other]) < len(tested[one]) / 2


# On disk


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def stamp(workspace: Workspace) -> tuple[bytes, bytes, int]:
    status = workspace.split_table.stat()
    return workspace.split_table.read_bytes(), workspace.split_origin.read_bytes(), status.st_mtime_ns


def test_split_is_stored_for_people_and_reused(workspace):
    table = unbalanced(50)
    split = stored_split(workspace, table, unlike(table), SplitRecipe())
    lines = workspace.split_table.read_text().splitlines()
    assert lines[0] == "image,part"
    assert lines[1:] == [f"{image},{split.part_of[image]}" for image in sorted(table.images)]
    before = stamp(workspace)
    assert stored_split(workspace, table, unlike(table), SplitRecipe()).part_of == split.part_of
    assert stamp(workspace) == before


def test_stored_split_stays_when_a_label_column_is_added(workspace):
    table = unbalanced(50)
    split = stored_split(workspace, table, unlike(table), SplitRecipe())
    before = stamp(workspace)
    values = np.column_stack([np.arange(50) % 2, table.values]).astype(np.int8)
    wider = LabelTable(table.images, ("any", *table.labels), values, table.groups)
    assert make_split(wider, unlike(table), SplitRecipe()).part_of != split.part_of
    assert stored_split(workspace, wider, unlike(table), SplitRecipe()).part_of == split.part_of
    assert stamp(workspace) == before


def _changed_label(table, pixels, recipe):
    values = table.values.copy()
    values[0, 0] = 1 - values[0, 0]
    return LabelTable(table.images, table.labels, values, table.groups), pixels, recipe


def _dropped_label(table, pixels, recipe):
    return LabelTable(table.images, table.labels[:1], table.values[:, :1], table.groups), pixels, recipe


def _fewer_images(table, pixels, recipe):
    return table.subset(np.arange(49)), pixels, recipe


def _other_groups(table, pixels, recipe):
    return LabelTable(table.images, table.labels, table.values, ("g", "g", *table.images[2:])), pixels, recipe


def _other_pixels(table, pixels, recipe):
    return table, pixels | {"0000.png": "new"}, recipe


def _other_seed(table, pixels, recipe):
    return table, pixels, SplitRecipe(seed=1)


@pytest.mark.parametrize(
    "change", [_changed_label, _dropped_label, _fewer_images, _other_groups, _other_pixels, _other_seed]
)
def test_split_is_made_again_when_what_it_came_from_changes(workspace, change):
    table = unbalanced(50)
    stored_split(workspace, table, unlike(table), SplitRecipe())
    before = stamp(workspace)
    changed = change(table, unlike(table), SplitRecipe())
    split = stored_split(workspace, *changed)
    assert split.part_of == make_split(*changed).part_of
    assert workspace.split_origin.read_bytes() != before[1]
    assert stored_split(workspace, *changed).part_of == split.part_of


@pytest.mark.parametrize("damage", ["part", "row", "header", "missing", "origin", "not an object"])
def test_edited_or_damaged_split_is_refused(workspace, damage):
    table = unbalanced(50)
    stored_split(workspace, table, unlike(table), SplitRecipe())
    text = workspace.split_table.read_text()
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
    else:
        workspace.split_origin.write_text("[]")
    with pytest.raises(ArtefactError, match=r"split\.") as caught:
        stored_split(workspace, table, unlike(table), SplitRecipe())
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


def test_crash_between_table_and_origin_leaves_a_workspace_that_goes_on(workspace, monkeypatch):
    table = unbalanced(50)
    stored_split(workspace, table, unlike(table), SplitRecipe())

    def crash(path, value):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ova.data.splits.write_json", crash)
        with pytest.raises(KeyboardInterrupt):
            stored_split(workspace, table, unlike(table), SplitRecipe(seed=1))
    expected = make_split(table, unlike(table), SplitRecipe(seed=1)).part_of
    assert stored_split(workspace, table, unlike(table), SplitRecipe(seed=1)).part_of == expected
