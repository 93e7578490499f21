"""What README and docs tell people to type, typed."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from PIL import Image
from small import draw_images, head_recipe, write_table

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(page: str, language: str, holding: str) -> str:
    """Return the fenced block of a page that holds a text."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if holding in text]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and a label table, as a newcomer has them; the README's commands have been run on them."""
    folder = tmp_path_factory.mktemp("project")
    images, labels = draw_images(100)
    names = [f"{number:03d}.png" for number in range(100)]
    for place in ("photos", "new-photos"):
        (folder / place).mkdir()
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(folder / place / name)
    Image.fromarray(images[0]).save(folder / "new.png")
    write_table(
        folder / "photos/labels.csv",
        names,
        {"crack": labels[:, 0].tolist(), "inactive": labels[:, 1].tolist()},
    )
    return folder


def test_own_data_in_five_lines_then_python_then_the_bare_model(
    project: Path, run_cli: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    lines = block(README, "sh", "ova init cells").strip().splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    assert [command[0] for command in commands] == ["ova"] * 5
    for command in commands:
        code, out, err = run_cli(*command[1:])  # in this process: torch takes seconds to import
        assert code == 0, err
        if command[1] == "init":  # small networks, from scratch: there may be no network here
            for name in ("crack", "inactive"):
                recipe = head_recipe(name, training={"epochs": 3})
                (project / f"cells/heads/{name}.toml").write_text(tomli_w.dumps(recipe))
    assert out.startswith("image,crack probability,crack decision,")
    assert len(out.splitlines()) == 101

    Path("program.py").write_text(block(README, "python", "import ova"), encoding="utf-8")
    runpy.run_path("program.py")
    assert "'crack': " in capfd.readouterr().out

    page = (ROOT / "docs/model.md").read_text(encoding="utf-8")
    for name in ("model.onnx", "manifest.json"):
        shutil.copy(project / "cells/runs/ensembles/all" / name, project / name)
    shutil.copy(project / "new.png", project / "cell.png")
    grey = json.loads((project / "manifest.json").read_text())["channels"] == 1
    program = block(page, "python", "InferenceSession")
    if grey:  # as the sentence below the block says
        program = program.replace('convert("RGB")', 'convert("L")').replace(
            "(image)[None]", "(image)[None, :, :, None]"
        )
    command = [sys.executable, "-W", "error", "-c", program]
    bare = subprocess.run(command, capture_output=True, text=True)
    assert bare.returncode == 0, bare.stderr
    assert "'inactive': " in bare.stdout


def test_readme_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
