from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.errors import RecipeError
from ova.workspace import Workspace, find_workspace, slug


@pytest.mark.parametrize("name", ["crack", "a", "0", "solar-cell", "any_defect", "x2-", "1" * 200])
def test_slugs(name):
    assert slug(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "_a",
        ".",
        "..",
        "A",
        "crack.toml",
        "a/b",
        "a\\b",
        "../a",
        "a b",
        "ä",
        "a\n",
        "a\0",
        "²",
        "CON",
        "~",
    ],
)
def test_what_is_no_slug_becomes_no_path(name):
    workspace = Workspace(Path("w"))
    for path in (
        slug,
        workspace.head_recipe,
        workspace.ensemble_recipe,
        workspace.head_runs,
        workspace.preview,
        workspace.current_run,
        workspace.ensemble_output,
    ):
        with pytest.raises(RecipeError, match="is not a name") as caught:
            path(name)
        assert "\n" not in str(caught.value)


@given(st.text(max_size=8))
def test_a_slug_is_one_harmless_part_of_a_path(name):
    try:
        slug(name)
    except RecipeError:
        return
    assert Path(name).parts == (name,)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def test_paths_are_those_of_the_design():
    workspace = Workspace(Path("w"))
    paths = {
        "data/dataset.toml": workspace.dataset_recipe,
        "heads/crack.toml": workspace.head_recipe("crack"),
        "ensembles/all.toml": workspace.ensemble_recipe("all"),
        "runs/location.json": workspace.location,
        "runs/images.csv": workspace.image_facts,
        "runs/intake.csv": workspace.intake_problems,
        "runs/split.csv": workspace.split_table,
        "runs/split.json": workspace.split_origin,
        "runs/store": workspace.stores,
        "runs/preview/crack.png": workspace.preview("crack"),
        "runs/heads/crack": workspace.head_runs("crack"),
        "runs/heads/crack/current.json": workspace.current_run("crack"),
        "runs/ensembles/all": workspace.ensemble_output("all"),
    }
    assert {path.relative_to("w").as_posix(): path for path in paths.values()} == paths


def test_names_are_sorted_and_only_of_toml_files(tmp_path):
    workspace = Workspace(tmp_path)
    assert (workspace.head_names(), workspace.ensemble_names()) == ([], [])
    for file in ("heads/b.toml", "heads/a.toml", "heads/notes.md", "ensembles/all.toml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert (workspace.head_names(), workspace.ensemble_names()) == (["a", "b"], ["all"])


def test_workspace_is_found_by_its_dataset_recipe(tmp_path):
    with pytest.raises(RecipeError, match="ova init"):
        find_workspace(tmp_path)
    (tmp_path / "data" / "dataset.toml").mkdir(parents=True)
    with pytest.raises(RecipeError, match="ova init"):
        find_workspace(tmp_path)
    (tmp_path / "data" / "dataset.toml").rmdir()
    (tmp_path / "data" / "dataset.toml").touch()
    assert find_workspace(tmp_path) == Workspace(tmp_path)
