"""`ova init` from every form of data."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ova.data.labels.read import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.ensembles.recipe import EnsembleRecipe
from ova.errors import DataError, EnvironmentFault, RecipeError
from ova.heads.recipe import HeadRecipe
from ova.recipes import load_recipe
from ova.scaffold import scaffold
from ova.scaffold.dataset_settings import RawData
from ova.scaffold.scaffold import head_names, make_workspace
from ova.storage import write_bytes
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
        make_workspace(tmp_path / "made", RawData(labels=[table]))
    assert not (tmp_path / "made").exists()
    made = make_workspace(tmp_path / "made", RawData(labels=[table], label_columns=["Hot Spot", "größe"]))
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
    make_workspace(tmp_path / "made", RawData(images=tmp_path / "photos"))
    dataset, heads, ensemble = recipes(tmp_path / "made")
    assert (dataset.format, ensemble.mode, set(heads)) == ("folders", "argmax", {"cat", "dog"})


@pytest.mark.parametrize("place", [".", "cat", "cat/deeper"])
def test_a_workspace_among_class_folders_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for name in ("cat/1.png", "dog/1.png"):
        image(tmp_path / "photos" / name)
    monkeypatch.chdir(tmp_path / "photos")
    with pytest.raises(
        RecipeError, match=r"would lie among the class folders.* ova init my-workspace --images"
    ):
        make_workspace(Path(place), RawData(images=Path()))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.png", "1.png", "cat", "dog", "photos"]


def test_a_workspace_beside_pooled_class_folders_is_fine(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"):
        image(tmp_path / name)
    make_workspace(tmp_path, RawData(images=tmp_path))
    dataset, _, _ = recipes(tmp_path)
    assert dataset.pooled_folders == ("test", "train")


def test_the_splits_of_a_provider_are_pooled(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"):
        image(tmp_path / "photos/set" / name)
    made = make_workspace(tmp_path / "made", RawData(images=tmp_path / "photos"))
    dataset, heads, _ = recipes(tmp_path / "made")
    assert dataset.pooled_folders == ("test", "train")
    assert (tmp_path / "made/data" / dataset.root).resolve() == (tmp_path / "photos/set").resolve()
    assert set(heads) == {"cat", "dog"}
    told = "the class folders of test, train are pooled, to be split again"
    assert made.notes == ["images: 4, rows: 4", told]
    assert Workspace(tmp_path / "made").dataset_recipe.read_text().startswith(f"# {told}\n")


def test_a_long_table(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    image(tmp_path / "b.png")
    (tmp_path / "long.csv").write_text("file;species\na.png;moss\nb.png;fern\n")
    make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "long.csv"], class_columns=["species"]))
    content = tomllib.loads((tmp_path / "made/data/dataset.toml").read_text())
    assert (content["format"], content["class_column"], content["labels"]) == ("long", "species", "long.csv")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text("file,a\nx.png,1\n")
    make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"]))
    head = Workspace(tmp_path / "made").head_recipe("a")
    head.write_text("mine")
    with pytest.raises(RecipeError, match="exists"):
        make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"]))
    assert head.read_text() == "mine"
    with pytest.raises(RecipeError, match="--labels"):
        make_workspace(tmp_path / "other", RawData())


def test_head_names_are_slugs_that_do_not_collide() -> None:
    names = head_names(["Crack!", "crack", "CRACK", "裂", "../../x", ""])
    assert list(names.values()) == ["crack", "crack-2", "crack-3", "head", "x", "head-2"]
    names = head_names(["NUL", "com1", "a" * 300, "a" * 300 + "!"])
    assert len(set(head_names([sign * 3 for sign in map(chr, range(0x4E00, 0x7000))]).values())) == 0x2200
    assert list(names.values()) == ["head-nul", "head-com1", "a" * 60, "a" * 60 + "-2"]


def test_images_that_are_not_there_are_told_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,a\nx.png,1\ny.png,0\n")
    image(tmp_path / "photos/x.png")
    with pytest.raises(DataError, match=r"2 of 2 images are not below .*--images"):
        make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"]))
    with pytest.raises(DataError, match=r"1 of 2 images .*y\.png"):
        make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"], images=tmp_path / "photos"))
    assert not (tmp_path / "made").exists()
    image(tmp_path / "photos/y.png")
    make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"], images=tmp_path / "photos"))
    content = tomllib.loads((tmp_path / "made/data/dataset.toml").read_text())
    assert (content["root"], content["labels"]) == ("../../photos", "../t.csv")


def test_copies_are_grouped_with_their_sources(tmp_path: Path) -> None:
    rows = ["file,crack"]
    for number in range(10):
        for name in (f"cell{number}.png", f"rot_cell{number}.png", f"rot2_cell{number}.png"):
            image(tmp_path / name)
            rows.append(f"{name},{number % 2}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    made = make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"]))
    found = "20 of 30 images are named as copies of 10 images (rot#_NAME, rot_NAME)"
    assert made.notes[-1].startswith(f"{found}; [group] in data/dataset.toml")
    dataset, *_ = recipes(tmp_path / "made")
    assert (tmp_path / "made/data/dataset.toml").read_text().startswith(f"# {found}")
    table = read_label_table(dataset, tmp_path)
    assert sorted(set(table.groups)) == [f"cell{number}" for number in range(10)]
    assert set(table.groups[:3]) == {"cell0"}


def test_two_class_columns_are_two_sets_of_labels_with_an_ensemble_each(tmp_path: Path) -> None:
    rows = [
        "file,Kingdom,species,note",
        "a.png,plant,1,x",
        "b.png,animal,2,y",
        "c.png,plant,0,z",
        "c.png,plant,2,z",
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    (tmp_path / "names.txt").write_text("moss\nfern\nnewt\n")
    for name in "abc":
        image(tmp_path / f"{name}.png")
    data = RawData(
        labels=[tmp_path / "t.csv"],
        class_columns=["Kingdom", "species"],
        label_names=[f"species={tmp_path / 'names.txt'}"],
        drop_classes=["species/fern"],
    )
    made = make_workspace(tmp_path / "made", data)
    workspace = Workspace(tmp_path / "made")
    content = tomllib.loads(workspace.dataset_recipe.read_text())
    assert content["class_column"] == ["Kingdom", "species"]
    assert content["label_names"] == {"species": "names.txt"}
    heads = {
        name: load_recipe(workspace.head_recipe(name), HeadRecipe).label for name in workspace.head_names()
    }
    assert heads == {
        "kingdom-animal": "Kingdom/animal",
        "kingdom-plant": "Kingdom/plant",
        "species-moss": "species/moss",
        "species-newt": "species/newt",
    }
    assert made.ensembles == {"kingdom": "argmax", "species": "multilabel"}, "c is moss and newt"
    for name in made.ensembles:
        recipe = load_recipe(workspace.ensemble_recipe(name), EnsembleRecipe)
        assert recipe.mode == made.ensembles[name]
        assert list(recipe.heads) == sorted(head for head in heads if head.startswith(name))
    assert (
        workspace.head_recipe("species-newt")
        .read_text()
        .startswith("# 2 positives, 0 negatives, 1 unknown\n")
    )


def test_pooled_tables_codes_groups_and_the_lines_that_tell_of_them(tmp_path: Path) -> None:
    for name, row in (("train", "a.png;0;m1"), ("test", "b.png;1;m2\nc.png;;m1")):
        (tmp_path / f"{name}.csv").write_text(f"file;crack;module\n{row}\n")
    for name in "abc":
        image(tmp_path / f"{name}.png")
    tables = [tmp_path / "train.csv", tmp_path / "test.csv"]
    made = make_workspace(tmp_path / "made", RawData(labels=tables, group_column="module", delimiter=";"))
    dataset, *_ = recipes(tmp_path / "made")
    assert dataset.labels == ("train.csv", "test.csv")
    assert (dataset.delimiter, dataset.group and dataset.group.column) == (";", "module")
    assert made.notes == ["images: 2, rows: 3", "left out 1 of 3 images (33.3%): without any label"]
    assert made.to_json()["labels"] == {
        "crack": {"head": "crack", "positives": 1, "negatives": 1, "unknown": 0}
    }


def test_heads_for_a_dataset_that_a_person_has_declared(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "made")
    for name in "abcd":
        image(tmp_path / f"made/data/{name}.png")
    declared = "labels = 't.csv'\n[soft]\npositive_from = 0.6\nnegative_to = 0.4\n"
    workspace.dataset_recipe.write_text(declared)
    (tmp_path / "made/data/t.csv").write_text("file,crack\na.png,0.7\nb.png,0.5\nc.png,0.1\nd.png,1\n")
    made = make_workspace(tmp_path / "made", RawData())
    assert workspace.dataset_recipe.read_text() == declared
    assert [path.name for path in made.files] == ["crack.toml", "all.toml"]
    assert made.rows()[1] == ("crack", "crack", "2", "1", "0")
    with pytest.raises(RecipeError, match=r"crack\.toml.*exists"):
        make_workspace(tmp_path / "made", RawData())


def test_groups_that_part_copies_are_told(tmp_path: Path) -> None:
    names = [f"{turn}cell{number}.png" for number in range(9) for turn in ("", "rot_")]
    rows = [f"{name},{row % 2},{row // 4 if row < 16 else row}" for row, name in enumerate(names)]
    (tmp_path / "t.csv").write_text("\n".join(["file,crack,module", *rows]))
    for name in names:
        image(tmp_path / name)
    made = make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"], group_column="module"))
    assert made.notes[-1] == (
        "9 of 18 images are named as copies of 9 images (rot_NAME); [group] parts 1 of them from their copies"
    )


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text("file,a,b\nx.png,1,0\n")
    (tmp_path / "made/data").mkdir(parents=True)
    (tmp_path / "made/data/notes.txt").write_text("mine")
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if len(written) == 3:
            raise EnvironmentFault("the disk is full")
        write_bytes(path, content)
        written.append(path)

    monkeypatch.setattr(scaffold, "write_bytes", write)
    with pytest.raises(EnvironmentFault):
        make_workspace(tmp_path / "made", RawData(labels=[tmp_path / "t.csv"]))
    assert len(written) == 3
    assert [path.name for path in (tmp_path / "made").rglob("*")] == ["data", "notes.txt"]
