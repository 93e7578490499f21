"""`ova init` from every form of data."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ova.data.read_labels import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.ensembles.recipe import EnsembleRecipe
from ova.ensembles.scaffold import head_names, make_workspace
from ova.errors import DataError, RecipeError
from ova.heads.recipe import HeadRecipe
from ova.recipes import load_recipe
from ova.workspace import Workspace


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)


def recipes(folder: Path) -> tuple[DatasetRecipe, dict[str, HeadRecipe], EnsembleRecipe]:
    workspace = Workspace(folder)
    heads = {name: load_recipe(workspace.head_recipe(name), HeadRecipe) for name in workspace.head_names()}
    ensemble = load_recipe(workspace.ensemble_recipe("all"), EnsembleRecipe)
    return load_recipe(workspace.dataset_recipe, DatasetRecipe), heads, ensemble


def test_a_wide_table_with_columns_that_are_no_labels(tmp_path: Path) -> None:
    table = tmp_path / "photos/table.csv"
    table.parent.mkdir()
    table.write_text("path,module,Hot Spot,größe\na.png,7,1,0\nb.png,8,0,\n", encoding="utf-8")
    image(table.parent / "a.png")
    image(table.parent / "b.png")
    with pytest.raises(DataError, match="module"):
        make_workspace(tmp_path / "made", labels=table)
    assert not (tmp_path / "made").exists()
    made = make_workspace(tmp_path / "made", labels=table, label_columns=["Hot Spot", "größe"])
    dataset, heads, ensemble = recipes(tmp_path / "made")
    assert dataset.label_columns == ("Hot Spot", "größe")
    assert {name: head.label for name, head in heads.items()} == {"hot-spot": "Hot Spot", "gr-e": "größe"}
    assert (ensemble.heads, ensemble.mode) == (("hot-spot", "gr-e"), "multilabel")
    assert made.rows()[1:] == [("größe", "gr-e", "0", "1", "1"), ("Hot Spot", "hot-spot", "1", "1", "0")]
    root = (tmp_path / "made/data" / dataset.root).resolve()
    assert root == table.parent.resolve()


def test_class_folders_make_an_argmax_ensemble(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        image(tmp_path / "photos" / name)
    make_workspace(tmp_path / "made", images=tmp_path / "photos")
    dataset, heads, ensemble = recipes(tmp_path / "made")
    assert (dataset.format, ensemble.mode, set(heads)) == ("folders", "argmax", {"cat", "dog"})


def test_a_long_table(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    image(tmp_path / "b.png")
    (tmp_path / "long.csv").write_text("file;species\na.png;moss\nb.png;fern\n")
    make_workspace(tmp_path / "made", labels=tmp_path / "long.csv", class_column="species")
    content = tomllib.loads((tmp_path / "made/data/dataset.toml").read_text())
    assert (content["format"], content["class_column"], content["labels"]) == ("long", "species", "long.csv")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text("file,a\nx.png,1\n")
    make_workspace(tmp_path / "made", labels=tmp_path / "t.csv")
    head = Workspace(tmp_path / "made").head_recipe("a")
    head.write_text("mine")
    with pytest.raises(RecipeError, match="exists"):
        make_workspace(tmp_path / "made", labels=tmp_path / "t.csv")
    assert head.read_text() == "mine"
    with pytest.raises(RecipeError, match="--labels"):
        make_workspace(tmp_path / "other")


def test_head_names_are_slugs_that_do_not_collide() -> None:
    names = head_names(["Crack!", "crack", "CRACK", "裂", "../../x", ""])
    assert list(names.values()) == ["crack", "crack-2", "crack-3", "head", "x", "head-2"]
    names = head_names(["NUL", "com1", "a" * 300, "a" * 300 + "!"])
    assert list(names.values()) == ["head-nul", "head-com1", "a" * 60, "a" * 60 + "-2"]


def test_images_that_are_not_there_are_told_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,a\nx.png,1\ny.png,0\n")
    image(tmp_path / "photos/x.png")
    with pytest.raises(DataError, match=r"2 of 2 images are not below .*--images"):
        make_workspace(tmp_path / "made", labels=tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"1 of 2 images .*y\.png"):
        make_workspace(tmp_path / "made", labels=tmp_path / "t.csv", images=tmp_path / "photos")
    assert not (tmp_path / "made").exists()
    image(tmp_path / "photos/y.png")
    make_workspace(tmp_path / "made", labels=tmp_path / "t.csv", images=tmp_path / "photos")
    content = tomllib.loads((tmp_path / "made/data/dataset.toml").read_text())
    assert (content["root"], content["labels"]) == ("../../photos", "../t.csv")


def test_copies_are_grouped_with_their_sources(tmp_path: Path) -> None:
    rows = ["file,crack"]
    for number in range(10):
        for name in (f"cell{number}.png", f"rot_cell{number}.png", f"rot2_cell{number}.png"):
            image(tmp_path / name)
            rows.append(f"{name},{number % 2}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    made = make_workspace(tmp_path / "made", labels=tmp_path / "t.csv")
    found = "20 of 30 images are named as copies of 10 images (rot#_NAME, rot_NAME)"
    assert made.notes[0].startswith(f"{found}; [group] in data/dataset.toml")
    dataset, *_ = recipes(tmp_path / "made")
    assert (tmp_path / "made/data/dataset.toml").read_text().startswith(f"# {found}")
    table = read_label_table(dataset, tmp_path)
    assert sorted(set(table.groups)) == [f"cell{number}" for number in range(10)]
    assert set(table.groups[:3]) == {"cell0"}
