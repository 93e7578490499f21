from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ova.cli.render import predictions as render_predictions
from ova.ensembles.runtime.model import Prediction

MODEL: Any = SimpleNamespace(labels=("crack", "=dust"), mode="multilabel")


def answer(image: str) -> Prediction:
    return Prediction(
        image,
        probabilities={"crack": 0.25, "=dust": 0.5},
        decisions={"crack": False, "=dust": True},
        logits={"crack": -1.0, "=dust": 0.0},
    )


def test_csv_is_printed_as_images_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[str] = []

    def interrupted() -> Iterator[Prediction]:
        yield answer("a.png")
        yield Prediction("b.png", error="is missing")
        printed.append(capsys.readouterr().out)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_predictions.show(MODEL, interrupted(), as_json=False, as_csv=True)
    header, *rows = csv.reader(io.StringIO(printed[0]))
    assert header[:4] == ["image", "crack probability", "crack decision", "crack logit"]
    assert header[4] == "'=dust probability"  # a spreadsheet would run it
    assert rows[0] == ["a.png", "0.25", "0", "-1.0", "0.5", "1", "0.0", ""]
    assert rows[1] == ["b.png", "", "", "", "", "", "", "is missing"]


@pytest.mark.parametrize("form", [{"as_json": True}, {"as_csv": True}, {}])
def test_images_with_an_error_are_returned(form: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    results = [answer("a.png"), Prediction("b.png", error="is missing"), answer("c.png")]
    chosen = {"as_json": False, "as_csv": False, **form}
    assert render_predictions.show(MODEL, iter(results), **chosen) == [results[1]]
    assert "c.png" in capsys.readouterr().out


def test_the_bar_moves_with_every_image() -> None:
    seen: list[tuple[str, int]] = []
    progress: Any = SimpleNamespace(
        start=lambda *_: None, advance=lambda task, done: seen.append((task, done))
    )
    results = [answer("a.png"), answer("b.png")]
    assert list(render_predictions.watch(results, 2, progress)) == results
    assert seen == [("predicting", 1), ("predicting", 2)]
