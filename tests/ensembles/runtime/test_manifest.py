from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ova.ensembles.rule.rule import Affine, Stack, plain_rule
from ova.ensembles.runtime.manifest import (
    MAX_MANIFEST_BYTES,
    AbsentEntry,
    HeadEntry,
    InputEntry,
    Manifest,
    ParityEntry,
    parse_manifest,
    read_manifest,
)
from ova.errors import ArtefactError
from ova.heads.calibration.calibrators.curve import Curve


def example(mode: str = "argmax") -> Manifest:
    heads = tuple(
        HeadEntry(
            name=name,
            label=f"Label {name}",
            threshold=0.1,
            slope=1.0,
            intercept=-0.5,
            prior=0.25,
            input=InputEntry(32, 48, channels, (0.5,) * channels, (0.25,) * channels),
            views="none",
            backbone="resnet18",
            weights_licence=None,
            weights_digest="a" * 64,
            calibration_digest="b" * 64,
        )
        for name, channels in (("b", 1), ("a", 3))
    )
    argmax = mode == "argmax"
    return Manifest(
        1,
        "0.1.0",
        "cell",
        mode,  # type: ignore[arg-type]
        heads,
        (AbsentEntry("c", "Label c", "0 positives"),),
        0.5 if argmax else None,
        "first" if argmax else None,
        3,
        None,
        96,
        replace(
            plain_rule((0.1, 0.1), mode),
            stack=Stack(("a",), Affine(((1.0, 0.0), (0.5, 1.0)), (0.0, 0.25))),
            notes=("a note",),
        ),
        "e" * 64,
        "c" * 64,
        ParityEntry(8, 1e-6, 0),
    )


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of all keys of all objects."""
    found = []
    if isinstance(value, dict):
        for key, below in value.items():
            found += [(*path, key), *places(below, (*path, key))]
    elif isinstance(value, list):
        for index, below in enumerate(value):
            found += places(below, (*path, index))
    return found


def parent(content: Any, path: tuple) -> Any:
    for step in path[:-1]:
        content = content[step]
    return content


PLACES = places(example().to_json())


@pytest.mark.parametrize("mode", ["argmax", "multilabel"])
def test_round_trip(mode: str, tmp_path: Path) -> None:
    manifest = example(mode)
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest.to_json()))
    assert read_manifest(file) == manifest
    assert manifest.labels == ("Label b", "Label a")


def test_a_curve_comes_back() -> None:
    manifest = example()
    curve = Curve("beta", (-1.0, 0.5), (-2.0, 0.25))
    bent = replace(manifest, heads=(replace(manifest.heads[0], curve=curve), manifest.heads[1]))
    assert parse_manifest(bent.to_json()) == bent
    assert bent.description() != manifest.description()


def test_a_shared_trunk_comes_back_and_its_key_is_absent_elsewhere() -> None:
    manifest = example()
    assert all("trunk" not in head for head in manifest.to_json()["heads"])
    assert "trunk" not in manifest.description()
    shared = replace(manifest, heads=tuple(replace(head, trunk="f" * 64) for head in manifest.heads))
    assert parse_manifest(shared.to_json()) == shared
    assert json.loads(shared.description())["heads"][0]["trunk"] == "f" * 64


def test_description_leaves_out_what_depends_on_the_bytes() -> None:
    manifest = example()
    other = replace(manifest, model_sha256="d" * 64, parity=ParityEntry(1, 0.0, 0))
    assert other.description() == manifest.description()
    assert json.loads(manifest.description())["heads"][1]["label"] == "Label a"
    assert replace(manifest, ensemble="other").description() != manifest.description()


@pytest.mark.parametrize("path", PLACES, ids=str)
def test_missing_unknown_and_mistyped_keys_are_refused(path: tuple) -> None:
    for change in ("missing", "unknown", "mistyped", "boolean"):
        content = example().to_json()
        target = parent(content, path)
        if change == "missing":
            del target[path[-1]]
        elif change == "unknown":
            target["import_path"] = "os.system"
        else:
            target[path[-1]] = {"x": 1} if change == "mistyped" else True
        with pytest.raises(ArtefactError) as caught:
            parse_manifest(content)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("format",), 2, "not known to this version"),
        (("mode",), "softmax", "mode"),
        (("heads",), [], "0 heads"),
        (("heads", 0, "name"), "a", "same name"),
        (("heads", 0, "label"), "Label a", "same label"),
        (("absent", 0, "name"), "a", "same name"),
        (("heads", 0, "prior"), 1.5, "prior"),
        (("heads", 0, "threshold"), float("inf"), "threshold"),
        (("heads", 0, "input", "height"), 0, "size"),
        (("heads", 0, "input", "channels"), 4, "channels"),
        (("heads", 0, "trunk"), "f" * 64, "shares its trunk with no other"),
        (("channels",), 1, "channels"),
        (
            ("heads", 1, "curve"),
            {"kind": "beta", "knots": [0.0, 0.0], "log_odds": [0.0, 1.0]},
            "curve is damaged",
        ),
        (("draft_side",), 47, "draft_side"),
        (("none_prior",), None, "none prior"),
        (("none_prior",), 0.0, "none prior"),
        (("tie_rule",), None, "tie rule"),
        (("model_sha256",), "C" * 64, "SHA-256"),
        (("mode",), "multilabel", "rule"),
        (("rule", "thresholds"), [0.1], "one threshold per head"),
        (("rule", "stack", "heads"), ["z"], "does not have"),
        (("rule", "stack", "matrix", "weights"), [[1.0, 0.0]], "stack is damaged"),
        (("rule", "coupling"), "matrix", "disagree"),
    ],
)
def test_contradictions_are_refused(path: tuple, value: object, word: str) -> None:
    content = example().to_json()
    parent(content, path)[path[-1]] = value
    with pytest.raises(ArtefactError, match=word):
        parse_manifest(content)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 1}', "[" * 200_000, '{"format": NaN}', "\x00", '{"format": [1]}'],
    ids=["empty", "list", "cut", "lacking", "deep", "nan", "nul", "listed"],
)
def test_damaged_files_are_refused_with_their_path(text: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(text)
    with pytest.raises(ArtefactError, match=r"manifest\.json"):
        read_manifest(file)


def test_infinity_in_disguise_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(example().to_json()).replace('"threshold": 0.1', '"threshold": 1e999'))
    with pytest.raises(ArtefactError, match="threshold"):
        read_manifest(file)


def test_missing_linked_and_huge_files_are_refused(tmp_path: Path) -> None:
    good, link, huge = (tmp_path / name for name in ("good.json", "link.json", "huge.json"))
    good.write_text(json.dumps(example().to_json()))
    link.symlink_to(good)
    huge.write_text(" " * (MAX_MANIFEST_BYTES + 1))
    for file in (link, huge, tmp_path / "none.json", tmp_path):
        with pytest.raises(ArtefactError):
            read_manifest(file)


def test_a_million_heads_are_refused() -> None:
    content = example().to_json()
    content["heads"] = [{**content["heads"][0], "name": str(n), "label": str(n)} for n in range(5000)]
    with pytest.raises(ArtefactError, match="5000 heads"):
        parse_manifest(content)


def test_import_is_light() -> None:
    code = (
        "import sys, ova.ensembles.runtime.manifest; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
