from __future__ import annotations

import pytest

from ova.data.images import intake
from ova.data.images.decode import decode_bytes
from ova.data.labels.read import read_label_table
from ova.data.labels.table import LabelTable
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError


def _read(folder, text: str | bytes, **recipe) -> LabelTable:
    content = text.encode() if isinstance(text, str) else text
    (folder / "labels.csv").write_bytes(content)
    return read_label_table(DatasetRecipe(labels="labels.csv", **recipe), folder)


def _refusal(folder, text: str | bytes, **recipe) -> str:
    with pytest.raises(DataError) as caught:
        _read(folder, text, **recipe)
    message = str(caught.value)
    assert message.startswith(str(folder / "labels.csv"))
    assert "\n" not in message
    return message


# Of the session, so that hypothesis may use them.
@pytest.fixture(scope="session")
def read():
    """Write a label table into a folder and read it."""
    return _read


@pytest.fixture(scope="session")
def refusal():
    """Write a label table into a folder and return the one line that refuses it."""
    return _refusal


@pytest.fixture
def decoded(monkeypatch):
    """Sizes of what the one decoder was given, in order."""
    sizes = []

    def counting(source, **options):
        sizes.append(len(source))
        return decode_bytes(source, **options)

    monkeypatch.setattr(intake, "decode_bytes", counting)
    return sizes
