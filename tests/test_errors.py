from __future__ import annotations

import inspect
import re

import pytest

from ova import errors
from ova.errors import OvaError, first_few

KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, OvaError) and kind.__module__ == errors.__name__
}


def test_exit_codes_are_those_drawn_in_the_module():
    drawn = re.findall(r"^(?:[├└]── )?([A-Z]\w+) +(\d+) ", errors.__doc__ or "", flags=re.MULTILINE)
    assert {name: int(code) for name, code in drawn} == {name: kind.exit_code for name, kind in KINDS.items()}
    assert len(drawn) == len(set(KINDS)) == 6


def test_exit_codes_are_those_of_the_commands():
    codes = {kind.exit_code for kind in KINDS.values()}
    assert codes == {1, 2, 3, 4, 5, 6}
    assert all(kind is OvaError or kind.__bases__ == (OvaError,) for kind in KINDS.values())


@pytest.mark.parametrize(
    ("count", "limit", "text"),
    [(0, 10, ""), (3, 10, "0, 1, 2"), (3, 3, "0, 1, 2"), (5, 3, "0, 1, 2 and 2 more"), (12, 10, None)],
)
def test_first_few(count, limit, text):
    shown = first_few([str(number) for number in range(count)], limit)
    assert shown == (text if text is not None else "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more")
