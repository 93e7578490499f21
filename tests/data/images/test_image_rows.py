from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.images.store import ImageRows
from ova.errors import ArtefactError
from ova.storage import write_tensors

NAMES = st.lists(st.text(max_size=8).filter(lambda text: text.isprintable()), unique=True, max_size=40)


@pytest.mark.slow
@given(NAMES, st.randoms())
@settings(max_examples=60)
def test_every_image_is_found_where_it_was(names, random):
    rows = ImageRows.of(names)
    assert len(rows) == len(names)
    wanted = random.sample(names, len(names))
    assert rows.find(wanted).tolist() == [names.index(name) for name in wanted]


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "ü"]])
def test_an_unknown_image_is_named(names):
    rows = ImageRows.of(names)
    assert rows.find([]).tolist() == []
    for unknown in ("none.png", "", "A"):
        with pytest.raises(KeyError, match=unknown or "''"):
            rows.find([*names, unknown])


def test_rows_are_stored(tmp_path):
    names = [f"{number}.png" for number in range(100)]
    ImageRows.of(names).write(tmp_path / "rows.safetensors")
    assert ImageRows.read(tmp_path / "rows.safetensors").find(names[::-1]).tolist() == list(range(100))[::-1]
    assert (tmp_path / "rows.safetensors").stat().st_size < 100 * 24 + 1000


def test_another_file_is_refused(tmp_path):
    write_tensors(tmp_path / "rows.safetensors", {"row": np.arange(3)})
    with pytest.raises(ArtefactError, match="lists no images"):
        ImageRows.read(tmp_path / "rows.safetensors")
