"""From raw input to trained heads by the command line alone, for every form in which people keep their data."""

from __future__ import annotations

import json
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import tomli_w
from PIL import Image
from small import draw_images, head_recipe

from ova.workspace import Workspace

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
Row = tuple[str, int, int]
COUNT = 72
PAGE = (Path(__file__).parents[1] / "docs/data.md").read_text(encoding="utf-8")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """A folder `photos` to stand beside; for each image its name, and whether it has a spot and a bar."""
    monkeypatch.chdir(tmp_path)
    pixels, labels = draw_images(COUNT)
    Path("photos").mkdir()
    rows = [(f"{number:03d}.png", spot, bar) for number, (spot, bar) in enumerate(labels.tolist())]
    for (name, _, _), image in zip(rows, pixels, strict=True):
        Image.fromarray(image).save(f"photos/{name}")
    return rows


def write(path: str, lines: Sequence[str]) -> None:
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def class_folders(rows: Sequence[Row]) -> None:
    for name, spot, bar in rows:
        kind = "spot" if spot else "bar" if bar else "plain"
        Path("photos", kind).mkdir(exist_ok=True)
        Path("photos", name).rename(Path("photos", kind, name))


def wide_table(rows: Sequence[Row]) -> None:
    write("photos/labels.csv", ["file;spot;bar", *(f"{name};{spot};{bar}" for name, spot, bar in rows)])


def taxonomy(rows: Sequence[Row]) -> None:
    lines = ["file,coarse,fine"]
    for name, spot, bar in rows:
        fine = "spot" if spot else "bar" if bar else "plain"
        lines.append(f"{name},{'sound' if fine == 'plain' else 'defect'},{fine}")
    write("taxa.csv", lines)


def zipped(rows: Sequence[Row]) -> None:
    lines = ["file,spot,bar", *(f"images/{name},{spot},{bar}" for name, spot, bar in rows)]
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for name, _, _ in rows:
            archive.write(Path("photos", name), f"export/images/{name}")
            Path("photos", name).unlink()
        archive.writestr("export/metadata.csv", "\n".join(lines) + "\n")


FORMS = [
    (class_folders, "--images photos", {"all": ("argmax", ["bar", "plain", "spot"])}),
    (wide_table, "--labels photos/labels.csv", {"all": ("multilabel", ["spot", "bar"])}),
    (
        taxonomy,
        "--labels taxa.csv --images photos --class-column coarse --class-column fine",
        {
            "coarse": ("argmax", ["coarse/defect", "coarse/sound"]),
            "fine": ("argmax", ["fine/bar", "fine/plain", "fine/spot"]),
        },
    ),
    (zipped, "--images photos.zip --labels metadata.csv", {"all": ("multilabel", ["spot", "bar"])}),
]


@pytest.mark.parametrize(("lay_out", "options", "ensembles"), FORMS, ids=[form[0].__name__ for form in FORMS])
def test_from_raw_input_to_calibrated_heads(
    lay_out: Callable[[Sequence[Row]], None],
    options: str,
    ensembles: Mapping[str, tuple[str, list[str]]],
    photos: list[Row],
    run_cli: Run,
) -> None:
    lay_out(photos)
    code, out, err = run_cli("init", "cells", *options.split(), "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert made["ensembles"] == {name: mode for name, (mode, _) in ensembles.items()}
    workspace = Workspace(Path("cells"))
    label_of = {}
    for name in workspace.head_names():
        text = workspace.head_recipe(name).read_text(encoding="utf-8")
        label_of[name] = label = tomllib.loads(text)["label"]
        counts = made["labels"][label]
        assert counts["positives"] + counts["negatives"] == COUNT
        assert text.startswith(
            f"# {counts['positives']} positives, {counts['negatives']} negatives, 0 unknown\n"
        )
        small = head_recipe(label, training={"epochs": 2})
        workspace.head_recipe(name).write_text(tomli_w.dumps(small), encoding="utf-8")
    for name, (_, labels) in ensembles.items():
        heads = tomllib.loads(workspace.ensemble_recipe(name).read_text(encoding="utf-8"))["heads"]
        assert [label_of[head] for head in heads] == labels

    code, out, err = run_cli("-C", "cells", "-q", "train", "--device", "cpu", "--json")
    assert (code, err) == (0, "")
    assert [outcome["status"] for outcome in json.loads(out)] == ["trained"] * len(label_of)
    code, out, _ = run_cli("-C", "cells", "list", "--json")
    assert code == 0
    assert {head["name"]: head["state"] for head in json.loads(out)["heads"]} == dict.fromkeys(
        label_of, "calibrated"
    )
    if lay_out is taxonomy:
        check_prediction(run_cli)


def check_prediction(run_cli: Run) -> None:
    assert run_cli("-C", "cells", "-q", "export", "fine")[0] == 0
    code, out, err = run_cli("-C", "cells", "-q", "predict", "fine", "photos", "--json")
    assert (code, err) == (0, "")
    predictions = json.loads(out)
    assert len(predictions) == COUNT
    labels = {"fine/bar", "fine/plain", "fine/spot"}
    assert all(set(each["probabilities"]) == labels for each in predictions)
    assert {each["label"] for each in predictions} <= {*labels, None}


def test_the_guide_shows_these_commands() -> None:
    shown = [line.partition("#")[0].split() for line in PAGE.splitlines() if line.startswith("ova init ")]
    for _, options, _ in FORMS:
        assert options.split() in [words[3:] for words in shown]
