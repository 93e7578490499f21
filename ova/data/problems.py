"""What intake refuses: every problem once, counted by kind in one line, to be corrected in one go."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from ova.errors import DataError

# A table read with the wrong settings may be wrong in every row; a person needs no more than this to see it.
MAX_LISTED = 1_000_000


class Problem(NamedTuple):
    """One image or row that is refused: a line of `runs/intake.csv`."""

    image: str
    problem: str
    where: str
    """Table and line, or the file."""


class RefusedData(DataError):
    """Labels or images are refused; the message counts them by kind, `problems` holds each once.

    `summary` is the message without the file in which they are listed.
    """

    def __init__(self, message: str, problems: list[Problem], *, summary: str = "") -> None:
        self.problems = problems
        self.summary = summary or message
        super().__init__(message)


class Ledger:
    """Collects problems while data is read, to refuse all of them together."""

    def __init__(self) -> None:
        self.summaries: list[str] = []
        self.problems: list[Problem] = []

    def add(self, summary: str, problems: Iterable[Problem]) -> None:
        """Note problems of one kind; the summary says how many, gives examples, and says what to do."""
        self.summaries.append(summary)
        self.problems.extend(islice(problems, max(0, MAX_LISTED - len(self.problems))))

    def settle(self, source: str) -> None:
        """Refuse the data if there was any problem.

        Raises:
            RefusedData: There was one.
        """
        if self.summaries:
            raise RefusedData(f"{source}: {'; '.join(self.summaries)}", self.problems)
