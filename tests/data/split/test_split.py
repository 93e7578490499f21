from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.split import joined_part, make_split, rest_shares
from ova.errors import DataError


def table_of(values, groups=None, labels=None) -> LabelTable:
    cells = np.asarray(values, np.int8)
    images = tuple(f"{row:04d}.png" for row in range(len(cells)))
    names = tuple(labels or "abcdefgh"[: cells.shape[1]])
    return LabelTable(images, names, cells, tuple(groups or images))


def part_shares(recipe: SplitRecipe) -> dict[str, float]:
    test = recipe.test or 0.0
    return {"test": test, **{part: share * (1 - test) for part, share in rest_shares(recipe).items()}}


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


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=10, max_size=150), RECIPES)
@settings(max_examples=80, deadline=None)
def test_every_stratum_keeps_its_share_within_one_image(values, recipe):
    table = table_of(values)
    recipe = recipe.model_copy(update={"min_positives": 0})  # a promise comes before a share
    part_of = make_split(table, unlike(table), recipe).part_of
    for counted in counts_by_stratum(table, part_of).values():
        for part, share in part_shares(recipe).items():
            assert abs(counted[part] - share * counted.total()) < 1 + 1e-9


@pytest.mark.parametrize(
    "recipe", [SplitRecipe(), SplitRecipe(folds=4), SplitRecipe(test=0.1, validation=0.1)]
)
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_rare_combinations_are_not_all_trained_on(recipe, copies):
    codes = np.repeat(np.arange(300 // copies), copies)
    table = table_of(codes[:, None] >> np.arange(9) & 1, labels="abcdefghi")
    counted = Counter(make_split(table, unlike(table), recipe).part_of.values())
    for part, share in part_shares(recipe).items():
        assert abs(counted[part] - share * len(codes)) <= 3, counted


@pytest.mark.slow
@given(st.lists(st.integers(1, 12), min_size=8, max_size=40), st.integers(0, 3), RECIPES)
@settings(max_examples=80)
def test_shares_of_groups_are_met_within_the_largest_group(sizes, labels, recipe):
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    values = np.random.default_rng(len(groups)).random((len(groups), labels + 1)) < 0.3
    table = table_of(values, groups)
    counted = Counter(make_split(table, unlike(table), recipe).part_of.values())
    for part, share in part_shares(recipe).items():
        assert abs(counted[part] - share * len(groups)) <= 2 * max(sizes)


def test_negatives_are_spread_where_they_are_scarce():
    values = np.full((200, 2), -1)
    values[:, 0] = np.arange(200) % 5 != 0  # 40 negatives
    values[:30, 1] = np.arange(30) % 3 != 0  # 10 negatives among 30 known
    table = table_of(values)
    part_of = make_split(table, unlike(table), SplitRecipe()).part_of
    for column, count in ((0, 40), (1, 10)):
        found = Counter(part_of[image] for image in np.array(table.images)[values[:, column] == 0].tolist())
        assert abs(found["test"] - 0.2 * count) < 1.5
        assert abs(found["validation"] - 0.2 * count) < 1.5


# A fixed number of test rows per class


@pytest.mark.parametrize("seed", range(3))
def test_so_many_of_every_class_are_tested(seed):
    classes = np.repeat(np.arange(4), [200, 100, 40, 12])
    values = np.eye(4, dtype=int)[classes]
    table = table_of(values)
    recipe = SplitRecipe(test_per_class=10, seed=seed)
    part_of = make_split(table, unlike(table), recipe).part_of
    counts = counts_by_stratum(table, part_of)
    tested = [counts[tuple(row)]["test"] for row in np.eye(4, dtype=int).tolist()]
    assert tested == [10, 10, 10, 6]  # of 12 at most half
    rest = Counter(part for part in part_of.values() if part != "test")
    assert rest["validation"] == pytest.approx(0.2 * rest.total(), abs=1)


def test_so_many_of_every_label_and_of_none_are_tested_where_labels_occur_together():
    table = unbalanced(400)
    part_of = make_split(table, unlike(table), SplitRecipe(test_per_class=8)).part_of
    tested = np.array([part_of[image] == "test" for image in table.images])
    assert table.values[tested].sum(axis=0).tolist() == [8, 8]
    assert (table.values[tested].sum(axis=1) == 0).sum() == 8


def test_so_many_of_every_class_are_tested_as_near_as_groups_allow():
    values = np.repeat(np.eye(2, dtype=int), 120, axis=0)
    groups = [f"g{row // 6}" for row in range(240)]
    table = table_of(values, groups)
    part_of = make_split(table, unlike(table), SplitRecipe(test_per_class=10)).part_of
    counts = counts_by_stratum(table, part_of)
    assert [counts[1, 0]["test"], counts[0, 1]["test"]] == [12, 12]


@pytest.mark.parametrize("seed", range(3))
def test_so_many_of_every_label_are_tested_even_where_none_are_then_too_many(seed):
    number = np.arange(160)
    values = np.stack([number % 4 == 0, number % 9 == 1], axis=1).astype(int)  # most groups hold one of each
    table = table_of(values, [f"g{row // 4}" for row in number])
    part_of = make_split(table, unlike(table), SplitRecipe(test_per_class=6, seed=seed)).part_of
    tested = table.values[[part_of[image] == "test" for image in table.images]]
    assert (tested.sum(axis=0) >= 6).all()
    assert len(tested) <= 36


def test_a_label_in_one_group_is_left_to_learn_from():
    values = np.array([[1, 0]] * 6 + [[0, 1], [0, 0]] * 20)
    table = table_of(values, ["all"] * 6 + [f"g{row}" for row in range(40)])
    part_of = make_split(table, unlike(table), SplitRecipe(test_per_class=3)).part_of
    assert {part_of[image] for image in table.images[:6]} != {"test"}


# Folds


def rows_of_test(part_of) -> set[str]:
    return {image for image, part in part_of.items() if part == "test"}


@pytest.mark.parametrize("settings", [{}, {"test": 0.3}, {"test_per_class": 9}, {"min_positives": 6}])
def test_the_test_rows_depend_neither_on_folds_nor_on_the_share_of_validation(settings):
    table = table_of(unbalanced(200).values, [f"g{row // 2}" for row in range(200)])
    rest = [{"folds": 2}, {"folds": 5}, {"validation": 0.1}, {"validation": 0.3}]
    splits = [
        make_split(table, unlike(table), SplitRecipe.model_validate({"seed": 3, **settings, **other})).part_of
        for other in rest
    ]
    assert all(rows_of_test(split) == rows_of_test(splits[0]) for split in splits)


def test_folds():
    table = unbalanced(120)
    split = make_split(table, unlike(table), SplitRecipe(test=0.25, folds=3))
    assert split.folds == ("fold-1", "fold-2", "fold-3")
    assert Counter(split.part_of.values()) == {"test": 30, "fold-1": 30, "fold-2": 30, "fold-3": 30}
    assert make_split(table, unlike(table), SplitRecipe()).folds == ()


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


# What an earlier split decides


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["test", "test"], "test"),
        (["test", "train", "validation"], "train"),
        (["test", "test", "validation"], "validation"),
        (["fold-2", "test", "fold-1"], "fold-1"),
        (["fold-2", "fold-2", "fold-1"], "fold-2"),
    ],
)
def test_images_that_were_learnt_from_never_become_test_rows(parts, expected):
    assert joined_part(parts) == joined_part(parts[::-1]) == expected
