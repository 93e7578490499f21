"""What a cell of a wide label table means: 1, 0, blank; or a number between, where the dataset says how."""

from __future__ import annotations

import re

from ova.data.labels import UNKNOWN
from ova.data.recipe import SoftRule

REFUSED = -2
_NUMBER = re.compile(r"(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_HARD = {"1": 1, "0": 0, "": UNKNOWN}


def cell_value(cell: str, soft: SoftRule | None) -> int:
    """Return 1, 0 or `UNKNOWN`; `REFUSED` for anything else.

    Args:
        cell: The text as it stands; white space around it does not count.
        soft: The rule for numbers from 0 to 1, with a decimal point or comma; only 1 and 0 without it.
    """
    text = cell.strip()
    if text in _HARD:
        return _HARD[text]
    number = soft_number(text)
    if soft is None or number is None:
        return REFUSED
    return 1 if number >= soft.positive_from else 0 if number <= soft.negative_to else UNKNOWN


def soft_number(text: str) -> float | None:
    """Read a number from 0 to 1, with a decimal point or comma; None for anything else."""
    number = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else 2.0
    return number if number <= 1 else None


def allowed(cells: list[str], soft: SoftRule | None) -> str:
    """Say what cells may hold, given some that were refused."""
    if soft is not None:
        return "a label is a number from 0 to 1, or blank (unknown)"
    hint = "; numbers between 0 and 1 need [soft] in dataset.toml"
    between = any(soft_number(cell.strip()) is not None for cell in cells)
    return f"a label is 0, 1 or blank (unknown){hint if between else ''}"
