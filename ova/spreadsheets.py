"""Keep spreadsheets from running texts of a table as formulas, in a way that can be taken back.

A cell that begins with =, +, -, @, a tab or a carriage return is a formula to a spreadsheet, unless an
apostrophe stands before it (OWASP, CSV injection).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# With apostrophes before them, too: else those of the text itself would be taken for ours.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def neutralise(cell: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def neutralised(row: Iterable[object]) -> list[object]:
    """Do the same to the texts of a row; numbers stay what they are."""
    return [neutralise(cell) if isinstance(cell, str) else cell for cell in row]


def restore(cell: str) -> str:
    """Take back what `neutralise` did."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
