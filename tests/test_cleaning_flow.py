"""From a messy folder to a trained head, by the command line alone."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import tomli_w
from messy import CELLS, SOUND, add_mess, add_unusable, sound_workspace
from PIL import Image
from small import head_recipe

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
HEAVY = {"torch", "torchvision", "timm", "pandas", "sklearn", "matplotlib", "scipy", "PIL"}


@pytest.fixture
def made(tmp_path):
    return sound_workspace(tmp_path / "cells-project")


def test_check_clean_train_and_change_ones_mind(made, run_cli: Run) -> None:
    root, workspace = made.workspace.root, made.workspace
    add_mess(made)
    add_unusable(made)
    recipe = head_recipe("crack", training={"epochs": 1})
    workspace.head_recipe("crack").parent.mkdir()
    workspace.head_recipe("crack").write_text(tomli_w.dumps(recipe))

    code, out, err = run_cli("-C", root, "data", "check")
    assert code == 4
    assert len([line for line in err.splitlines() if line.startswith("ova: ")]) == 1
    assert "ova data clean leaves them out" in err
    assert "labels conflict" in out
    assert "to leave images out: ova data clean --min-side 24 --sharpness" in out
    assert run_cli("-C", root, "train", "--device", "cpu")[0] == 4

    code, out, err = run_cli("-C", root, "data", "clean", "--min-side", "24", "--json")
    assert code == 0, err
    cleaned = json.loads(out)
    assert cleaned["reasons"] == {
        "missing": 1,
        "unreadable": 2,
        "one shade": 1,
        "too small": 1,
        "identical": 1,
    }
    assert cleaned["kept"]["images"] == {"kept": len(made.labels) - 6, "of": len(made.labels)}

    code, out, err = run_cli("-C", root, "data", "check", "--json")
    assert code == 0, err
    checked = json.loads(out)
    assert checked["images"] == len(made.labels) - 6
    assert checked["refused"] is None
    assert {"reason": "listed in data/exclude.csv", "count": 6, "of": 36, "unit": "images"} in checked[
        "left_out"
    ]

    assert run_cli("-C", root, "train", "--device", "cpu")[0] == 0
    with next(root.glob("runs/heads/crack/*/rows.csv")).open(newline="") as file:
        trained_on = {row["image"] for row in csv.DictReader(file)}
    assert not trained_on & {line["image"] for line in cleaned["added"]}
    [head] = json.loads(run_cli("-C", root, "list", "--json")[1])["heads"]
    assert head["state"] == "calibrated"
    lines = workspace.exclusions.read_text().splitlines()
    workspace.exclusions.write_text("\n".join(line for line in lines if "flat" not in line))
    [head] = json.loads(run_cli("-C", root, "list", "--json")[1])["heads"]
    assert head["state"] == "stale"
    code, out, _ = run_cli("-C", root, "data", "clean")
    assert (code, "1 images that were taken off the list stay in use" in out) == (0, True)


def test_clean_shows_what_it_did_and_writes_a_copy_that_works(made, run_cli: Run, tmp_path) -> None:
    add_mess(made)
    code, out, err = run_cli(
        "-C", made.workspace.root, "data", "clean", "--duplicates", "near", "--copy", tmp_path / "new/data"
    )
    assert code == 0, err
    assert all(
        text in out for text in ("left out now", "what is left", "near duplicate", "conflicting labels")
    )
    assert f"next: ova init {tmp_path / 'new'}" in out
    assert run_cli("init", tmp_path / "new")[0] == 0
    assert sorted(path.stem for path in (tmp_path / "new/heads").iterdir()) == ["crack", "inactive"]
    code, out, err = run_cli("-C", tmp_path / "new", "data", "check", "--json")
    assert code == 0, err
    assert json.loads(out)["images"] == len(made.labels) - 3


def test_init_for_declared_data_leaves_out_what_is_listed(made, run_cli: Run) -> None:
    add_unusable(made)
    assert run_cli("init", made.workspace.root)[0] == 4
    made.workspace.exclusions.write_text("image,reason\ngone.png,never arrived\n")
    assert run_cli("init", made.workspace.root)[0] == 0


def test_a_table_of_six_copies_per_image_does_not_leak(made, run_cli: Run) -> None:
    """As in a published set: 12,000 rows that are 2,000 images, flipped and turned."""
    ways = ["FLIP_LEFT_RIGHT", "FLIP_TOP_BOTTOM", "ROTATE_90", "ROTATE_180", "ROTATE_270"]
    for number, image in enumerate(SOUND):
        for way in ways:  # names that tell nothing
            pixels = Image.open(made.path(image)).transpose(Image.Transpose[way])
            made.add(f"{hash_name(number, way)}.png", pixels, *made.labels[image])
    made.declare("[duplicates]\n")
    code, out, err = run_cli("-C", made.workspace.root, "data", "check", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["duplicates"] == {"clusters": CELLS, "images": 6 * CELLS, "largest": 6}
    assert "in several parts" not in found["findings"]
    leaks = json.loads(run_cli("-C", made.workspace.root, "data", "split", "--report", "--json")[1])["leaks"]
    assert leaks == {"identical": [], "groups": [], "near": []}


def hash_name(number: int, way: str) -> str:
    import hashlib

    return hashlib.sha256(f"{number} {way}".encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["--min-side", "0"], 2, "min_side"),
        (["--min-side", "many"], 2, "min-side"),
        (["--colour", "blue"], 2, "colour"),
        (["--duplicates", "all"], 2, "duplicates"),
        (["--sharpness", "nan"], 2, "sharpness"),
        (["--copy", "data/new"], 2, "among the images"),
        (["--min-side", "5000"], 4, "leave out all 24 images"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(
    made, run_cli: Run, monkeypatch, arguments, exit_code, told
) -> None:
    monkeypatch.chdir(made.workspace.root)
    code, out, err = run_cli("data", "clean", *arguments)
    assert (code, out) == (exit_code, "")
    assert told in err
    assert "Traceback" not in err
    assert not made.workspace.exclusions.exists()


def test_a_list_that_cannot_be_read_stops_every_command(made, run_cli: Run) -> None:
    made.workspace.exclusions.write_text("image,reason\ncells/00.png,dust, or a hair\n")
    for command in (["data", "check"], ["data", "clean"], ["data", "split"]):
        code, out, err = run_cli("-C", made.workspace.root, *command)
        assert (code, out) == (4, "")
        assert "exclude.csv: line 2: has 3 cells, the first line 2; put its text in quotes" in err


@pytest.mark.parametrize(
    "arguments", [["data", "--help"], ["data", "clean", "--help"], ["data", "check", "--help"]]
)
def test_help_stays_light(arguments) -> None:
    program = (
        "import sys\nfrom ova.cli.app import main\n"
        f"sys.argv = ['ova', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "heavy: []"
