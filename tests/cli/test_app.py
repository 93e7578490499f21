"""The command line as a user meets it: results, one-line errors, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small import head_recipe

import ova
from ova.workspace import Workspace

Run = Callable[..., tuple[int, str, str]]
HEADS = {
    "spot": head_recipe(training={"epochs": 6}),
    "bar": head_recipe("bar", input={"size": 20, "channels": 3}),
}
ENSEMBLES = {"both": {"heads": ["spot", "bar"]}, "one": {"heads": ["spot", "bar"], "mode": "argmax"}}
HEAVY = {"torch", "torchvision", "timm", "pandas", "sklearn"}


def read_rows(path: Path, delimiter: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text()), delimiter=delimiter))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["list"],
        ["trunks"],
        ["--version"],
        ["train", "--jobs", "0"],
        ["nonsense"],
        ["-C", "/nowhere", "list"],
    ],
)
def test_light_commands_import_nothing_heavy(
    make_workspace: Callable[..., Workspace], arguments: list[str]
) -> None:
    workspace = make_workspace(HEADS, ensembles=ENSEMBLES, count=8)
    program = (
        "import sys\nfrom ova.cli.app import main\n"
        f"sys.argv = ['ova', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=workspace.root, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "heavy: []"


def _predict_does_not_import_torch(root: Path) -> None:
    image = root / "data/images/000.png"
    program = (
        "import sys\nfrom ova.cli.app import main\n"
        f"sys.argv = ['ova', '-C', {str(root)!r}, 'predict', 'both', {str(image)!r}, '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "heavy: []"
    assert json.loads(done.stdout)[0]["image"] == str(image)


@pytest.mark.slow
def test_the_whole_flow(make_workspace: Callable[..., Workspace], run_cli: Run) -> None:
    workspace = make_workspace(HEADS, ensembles=ENSEMBLES)
    root = workspace.root

    def ova_json(*arguments: object) -> object:
        code, out, err = run_cli("-C", root, *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    listed = ova_json("list")
    assert {each["state"] for each in listed["heads"]} == {"new"}
    counts = ova_json("data", "check")
    assert counts["images"] == 72
    assert sum(counts["parts"].values()) == 72
    trained = ova_json("train", "--device", "cpu")
    assert {each["status"] for each in trained} == {"trained"}
    assert {each["state"] for each in ova_json("list")["heads"]} == {"calibrated"}
    assert set(ova_json("calibrate")) == {"bar", "spot"}
    assert ova_json("export", "both")["parity"]["decision_flips"] == 0
    result = ova_json("analyse", "both")
    assert set(result) == {"ensemble", "mode", "macro_f1", "heads", "across"}
    assert result["across"]["macro_f1"]["value"] == result["macro_f1"]
    assert {"honest_f1", "measures", "reliability", "findings", "baselines", "cost"} <= set(
        result["heads"][0]
    )
    assert {
        "f1",
        "f1_low",
        "f1_high",
        "precision",
        "recall",
        "average_precision",
        "tp",
        "fp",
        "fn",
        "tn",
    } <= set(result["heads"][0]["test"])
    states = {each["name"]: each["state"] for each in ova_json("list")["ensembles"]}
    assert states == {"both": "exported", "one": "new"}
    images = root / "data/images"
    both = ova_json("predict", "both", images)
    assert [Path(each["image"]).name for each in both] == sorted(path.name for path in images.glob("*.png"))
    assert set(both[0]) == {"image", "logits", "probabilities", "decisions", "label"}
    # The file decides on test rows exactly what the analysis counted.
    decided = {Path(each["image"]).name: each["decisions"] for each in both}
    part_of = {row["image"]: row["part"] for row in read_rows(workspace.split_table, ",")}
    labels = {row["filename"]: row for row in read_rows(images / "data.csv", ";")}
    for head in result["heads"]:
        test = [name for name, part in part_of.items() if part == "test"]
        tp = sum(decided[name][head["label"]] and labels[name][head["label"]] == "1" for name in test)
        fp = sum(decided[name][head["label"]] and labels[name][head["label"]] == "0" for name in test)
        assert (tp, fp) == (head["test"]["tp"], head["test"]["fp"])
    tables = list((root / "runs/ensembles/both").glob("*"))
    assert {path.suffix for path in tables} == {".onnx", ".json", ".csv", ".png", ".html"}
    _tables_for_people(root, run_cli)
    _predict_does_not_import_torch(root)


def _tables_for_people(root: Path, run_cli: Run) -> None:
    for arguments in (
        ["list"],
        ["data", "split"],
        ["train"],
        ["calibrate"],
        ["analyse", "spot"],
        ["export", "both"],
    ):
        code, out, _ = run_cli("-C", root, *arguments)
        assert code == 0
        assert out
    code, out, err = run_cli(
        "-C", root, "predict", "both", root / "data/images/001.png", root / "no.png", "--csv"
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 3
    assert len(rows) == 2
    assert rows[1]["error"]
    assert "1 of 2 images" in err
    code, out, _ = run_cli("-C", root, "predict", "both", root / "no.png")
    assert code == 3
    assert "no.png" in out


@pytest.mark.slow
def test_changes_show_as_stale(make_workspace: Callable[..., Workspace], run_cli: Run) -> None:
    import tomli_w

    workspace = make_workspace({"spot": HEADS["spot"]}, ensembles={"all": {"heads": ["spot"]}}, count=140)
    assert run_cli("-C", workspace.root, "train", "--device", "cpu")[0] == 0
    assert run_cli("-C", workspace.root, "export", "all")[0] == 0

    def state() -> tuple[str, str]:
        listed = json.loads(run_cli("-C", workspace.root, "list", "--json")[1])
        return listed["heads"][0]["state"], listed["ensembles"][0]["state"]

    assert state() == ("calibrated", "exported")
    recipe = head_recipe(training={"epochs": 6}, calibration={"method": "argmax"})
    workspace.head_recipe("spot").write_text(tomli_w.dumps(recipe))
    assert state() == ("stale", "exported")
    before = json.loads((workspace.ensemble_output("all") / "manifest.json").read_text())["heads"][0]
    assert run_cli("-C", workspace.root, "calibrate")[0] == 0
    assert state() == ("calibrated", "stale")
    assert run_cli("-C", workspace.root, "export", "all")[0] == 0
    assert state() == ("calibrated", "exported")
    after = json.loads((workspace.ensemble_output("all") / "manifest.json").read_text())["heads"][0]
    assert after["weights_digest"] == before["weights_digest"]
    assert after["threshold"] != before["threshold"]
    workspace.head_recipe("spot").write_text(tomli_w.dumps(head_recipe(training={"epochs": 7})))
    assert state()[0] == "stale"


@pytest.mark.parametrize(
    ("spoil", "arguments", "code", "told"),
    [
        (None, ["train", "spott"], 2, "did you mean spot"),
        (None, ["export", "bot"], 2, "did you mean both"),
        (None, ["analyse", "spt"], 2, "did you mean spot"),
        (None, ["analyse", "both"], 5, "ova train"),
        (None, ["export", "both"], 5, "ova train"),
        (None, ["calibrate"], 5, "ova train"),
        (None, ["calibrate", "spot"], 5, "ova train spot"),
        (None, ["predict", "both", "x.png"], 5, "export"),
        (None, ["train", "--device", "tpu"], 2, "auto, cpu, cuda"),
        (None, ["frobnicate"], 2, "frobnicate"),
        (
            ("heads/spot.toml", 'label = "spot"\nepochs = 3\n[backbone]\nname = 3\n'),
            ["train"],
            2,
            "epochs is not a setting",
        ),
        (("heads/spot.toml", "label = "), ["train"], 2, "is not TOML"),
        (("data/images/data.csv", "filename;spot\n000.png;yes\n"), ["data", "check"], 4, "yes"),
        (("data/images/007.png", "<html>"), ["data", "check"], 4, "007.png"),
        (
            ("data/dataset.toml", 'root = "images"\nlabel = "data.csv"\n'),
            ["data", "check"],
            2,
            "did you mean",
        ),
        (("data/dataset.toml", 'root = "nowhere"\nlabels = "data.csv"\n'), ["train"], 4, "ova data locate"),
        (("runs/split.csv", "image,part\n"), ["train"], 5, "no longer matches"),
    ],
)
def test_a_mistake_is_one_line_and_the_right_exit_code(
    make_workspace: Callable[..., Workspace],
    run_cli: Run,
    spoil: tuple[str, str] | None,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    workspace = make_workspace(HEADS, ensembles=ENSEMBLES, count=40)
    if spoil is not None:
        if spoil[0].startswith("runs"):
            assert run_cli("-C", workspace.root, "data", "check")[0] == 0
        (workspace.root / spoil[0]).write_text(spoil[1])
    found, _, err = run_cli("-C", workspace.root, *arguments)
    assert found == code, err
    assert told in err
    assert "Traceback" not in err
    if arguments != ["frobnicate"]:
        assert err.strip().splitlines()[-1].startswith("ova: ")


def test_debug_shows_the_traceback(make_workspace: Callable[..., Workspace], run_cli: Run) -> None:
    workspace = make_workspace()
    code, _, err = run_cli("-C", workspace.root, "--debug", "train", "nope")
    assert code == 2
    assert "Traceback" in err


def test_a_recipe_tells_all_its_errors_at_once(
    make_workspace: Callable[..., Workspace], run_cli: Run
) -> None:
    workspace = make_workspace()
    workspace.head_recipe("spot").write_text(
        'label = "spot"\n[backbone]\nname = "test_resnet"\npretraind = true\n[training]\nepochs = 0\noptimizer = "sdg"\n'
    )
    code, _, err = run_cli("-C", workspace.root, "train")
    assert code == 2
    assert all(
        part in err for part in ("backbone.pretraind", "pretrained", "training.epochs", "training.optimizer")
    )


@pytest.mark.slow
def test_init_writes_a_workspace_that_trains(
    tmp_path: Path,
    make_workspace: Callable[..., Workspace],
    run_cli: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_workspace(count=40).root / "data/images"
    made = tmp_path / "made"
    code, out, err = run_cli("init", made, "--labels", source / "data.csv")
    assert code == 0, err
    assert "spot" in out
    workspace = Workspace(made)
    assert workspace.head_names() == ["bar", "spot"]
    text = workspace.head_recipe("bar").read_text()
    assert text.startswith("# 10 positives, 30 negatives, 0 unknown\n")
    # As it stands, without a network: the weights have come with pip. (Smaller, because that is quicker.)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))
    smaller, count = re.subn(r"\nsize = \d+", "\nsize = 64", text)
    assert count == 1
    workspace.head_recipe("bar").write_text(smaller)
    code, _, err = run_cli("-C", made, "train", "bar", "--device", "cpu")
    assert code == 0, err
    assert "starts from package:" in err
    code, _, err = run_cli("init", made, "--labels", source / "data.csv")
    assert code == 2
    assert "exists" in err
    assert run_cli("init", tmp_path / "empty")[0] == 2
    assert run_cli("init", tmp_path / "empty", "--labels", tmp_path / "no.csv")[0] == 4
    assert not (tmp_path / "empty").exists()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_next_call_goes_on(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace({"spot": head_recipe(training={"epochs": 100_000})})
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ova", "-C", str(workspace.root), "train", "--device", "cpu"]
    child = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert child.stderr is not None
    assert "pos_weight" in child.stderr.readline()  # training begins
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    rest = child.communicate(timeout=60)[1]
    assert child.returncode == 130, rest
    assert "run the same command again" in rest
    assert list(workspace.head_runs("spot").glob("*/checkpoint-0.safetensors"))
    listed = subprocess.run(
        [sys.executable, "-m", "ova", "-C", str(workspace.root), "list", "--json"],
        capture_output=True,
        text=True,
    )
    assert json.loads(listed.stdout)["heads"][0]["state"] == "interrupted"


def test_public_names_are_these_and_all_load() -> None:
    assert ova.__all__ == sorted(ova.__all__)
    for name in ova.__all__:
        assert getattr(ova, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = ova.nothing  # pyright: ignore[reportAttributeAccessIssue]
