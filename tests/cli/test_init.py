"""`ova init` refuses what it cannot use: one line, the right exit code, and no workspace."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who has photos and tables of them in several forms."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "photos" / name)
    tables = {
        "wide": "file,crack,hole\na.png,1,0\nb.png,0,\n",
        "long": "file,coarse,fine\na.png,x,1\nb.png,y,2\n",
        "ragged": "file,crack\na.png,1,2\nb.png,1\n",
        "words": "file,crack\na.png,yes\nb.png,no\n",
        "soft": "file,crack\na.png,0.3\nb.png,0.7\n",
        "gone": "file,crack\na.png,1\nc.png,0\n",
        "twice": "file,crack\na.png,1\na.png,0\n",
        "out": "file,crack\n../a.png,1\n",
        "empty": "",
        "head": "file,crack\n",
        "column": "file\na.png\n",
        "blank": "file,crack\na.png,\n",
        "names": "code,name\n1,moss\n",
    }
    for name, text in tables.items():
        (tmp_path / f"photos/{name}.csv").write_text(text)
    (tmp_path / "photos/latin.csv").write_bytes("file,größe\na.png,1\n".encode("latin-1"))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "photos/a.png", "p/a.png")
        archive.writestr("p/t.csv", "file,crack\na.png,1\n")
    return tmp_path


LONG = ["--labels", "photos/long.csv"]
REFUSED = [
    ([], 2, "say where the data is"),
    (["--drop", "x"], 2, "say where the data is"),
    (["--labels", "none.csv"], 4, "none.csv does not exist"),
    (["--images", "none"], 4, "none does not exist"),
    (
        ["--images", "photos"],
        4,
        "photos has no class folders; if a table says.*--images photos --labels TABLE",
    ),
    (["--images", "photos/wide.csv"], 4, "no zip archive"),
    (["--labels", "photos"], 4, "cannot be read"),
    (["--labels", "photos/ragged.csv"], 4, "not the 2 cells"),
    (["--labels", "photos/words.csv"], 4, "'yes'"),
    (["--labels", "photos/soft.csv"], 4, "soft"),
    (["--labels", "photos/gone.csv"], 4, r"c\.png"),
    (["--labels", "photos/twice.csv"], 4, "line 3"),
    (["--labels", "photos/out.csv"], 4, "leaves the image root"),
    (["--labels", "photos/empty.csv"], 4, "is empty"),
    (["--labels", "photos/head.csv"], 4, "no rows"),
    (["--labels", "photos/column.csv"], 4, "no delimiter"),
    (["--labels", "photos/blank.csv"], 4, "no image is left"),
    (["--labels", "photos/latin.csv"], 4, "not UTF-8"),
    (["--labels", "photos/wide.csv", "--labels", "photos/long.csv"], 4, "against"),
    (["--labels", "photos/wide.csv", "--labels", "photos/wide.csv"], 2, "twice"),
    (["--labels", "photos/wide.csv", "--label", "crak"], 4, "did you mean crack"),
    (["--labels", "photos/wide.csv", "--drop", "crak"], 4, "did you mean crack"),
    (["--labels", "photos/wide.csv", "--image-column", "path"], 4, "no column 'path'"),
    (["--labels", "photos/wide.csv", "--delimiter", ";;"], 2, "delimiter"),
    (["--labels", "photos/wide.csv", "--group-column", "module"], 4, "no column 'module'"),
    (["--labels", "photos/wide.csv", "--group-pattern", "("], 2, "not a regular expression"),
    (["--labels", "photos/wide.csv", "--group-pattern", "cell"], 4, "finds nothing"),
    (["--labels", "photos/wide.csv", "--group-pattern", "a", "--group-column", "hole"], 2, "exactly one"),
    ([*LONG, "--class-column", "corse"], 4, "did you mean coarse"),
    ([*LONG, "--class-column", "coarse", "--class-column", "coarse"], 2, "twice"),
    ([*LONG, "--class-column", "coarse", "--label", "fine"], 2, "label_columns is for format wide"),
    ([*LONG, "--class-column", "fine", "--label-names", "none.csv"], 4, "none.csv does not exist"),
    ([*LONG, "--class-column", "fine", "--label-names", "photos/names.csv"], 4, "'2'|code"),
    ([*LONG, "--class-column", "fine", *(["--label-names", "photos/names.csv"] * 2)], 2, "given twice"),
    (["--class-column", "fine", "--images", "photos"], 2, "needs a table"),
    (["--images", "photos.zip", "--labels", "none.csv"], 4, r"photos\.zip holds p/t\.csv"),
    (["--labels", "inside:p/t.csv"], 2, "name the archive too"),
    (["--images", "photos.zip"], 4, "no class folders; to use its table"),
]


@pytest.mark.parametrize(("options", "code", "told"), REFUSED, ids=lambda value: str(value)[:60])
def test_refused(here: Path, run_cli: Run, options: list[str], code: int, told: str) -> None:
    found, out, err = run_cli("init", "cells", *options)
    assert (found, out) == (code, ""), err
    assert err.startswith("ova: ")
    assert err.count("\n") == 1
    assert re.search(told, err), err
    assert not (here / "cells").exists()


def test_what_is_made_is_shown_or_given_as_json(here: Path, run_cli: Run) -> None:
    code, out, err = run_cli("init", "cells", "--images", "photos.zip", "--labels", "t.csv", "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert made["ensembles"] == {"all": "multilabel"}
    assert made["notes"] == ["images: 1, rows: 1"]
    assert all(Path(path).is_file() for path in made["files"])
    code, out, err = run_cli("init", "other", *LONG, "--class-column", "coarse", "--class-column", "fine")
    assert (code, err) == (0, "")
    for line in (
        "images: 2, rows: 2",
        f"wrote {Path('other/ensembles/fine.toml')}",
        "next: ova -C other train",
    ):
        assert line in out.splitlines()
