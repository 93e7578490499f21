"""What an ensemble does with the logits of its heads, as numbers and in words: the rule of a model.

The order of things: every logit is calibrated; stacked heads add what the other heads see; each value is
compared with its threshold; of exclusive labels only the surest fires; in argmax mode one class is chosen, or
none, or the choice is withheld. `ova.ensembles.rule.numpy_rule` is the reference in numpy,
`ova.ensembles.rule.torch_rule` the network. Importing this module is light.

Shape letter: K heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ova.errors import first_few

Coupling = Literal["odds", "matrix", "margin"]


@dataclass(frozen=True)
class Affine:
    """values -> weights @ values + biases."""

    weights: tuple[tuple[float, ...], ...]
    biases: tuple[float, ...]

    def fits(self, rows: int, columns: int) -> bool:
        """Whether the shapes are (rows, columns) and (rows,), and every number is finite."""
        lines = [*self.weights, self.biases]
        return (
            len(self.weights) == len(self.biases) == rows
            and all(len(line) == columns for line in self.weights)
            and all(math.isfinite(value) for line in lines for value in line)
        )


@dataclass(frozen=True)
class Stack:
    """Heads that also listen to the others: log odds -> K x K matrix of all heads' own log odds."""

    heads: tuple[str, ...]
    """Those whose line of the matrix is used; the other lines are those of the identity."""
    matrix: Affine


@dataclass(frozen=True)
class Rule:
    """How logits become decisions and a choice."""

    thresholds: tuple[float, ...]
    """(K,) exact in float32: of a head's raw logit, or of its log odds where it is stacked."""
    objective: str | None = None
    """What the thresholds are best at together; None where each is its head's own."""
    stack: Stack | None = None
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Groups of heads of which at most one fires: the one with the greatest margin, the first if equal."""
    coupling: Coupling | None = None
    """Argmax mode: where the scores come from."""
    matrix: Affine | None = None
    """(K + 1, K) of log odds, none last, for the coupling `matrix`."""
    abstain_below: float | None = None
    """Argmax mode: no choice is made if the chosen class is less probable than this."""
    notes: tuple[str, ...] = field(default=())
    """What was decided on calibration rows and why, in words."""
    recipe_digest: str = ""
    """Of the ensemble's recipe that it was made from."""

    def contradictions(self, names: Sequence[str], mode: str) -> list[tuple[bool, str]]:
        """Return (whether it is wrong, what is wrong) for an ensemble of these heads."""
        count, argmax = len(names), mode == "argmax"
        in_groups = {name for group in self.exclusive for name in group}
        stacked = set(self.stack.heads) if self.stack else set()
        band = self.abstain_below
        return [
            (len(self.thresholds) != count, "its rule has not one threshold per head"),
            (argmax != (self.coupling is not None), "only argmax mode has a coupling"),
            (
                (self.coupling == "matrix") != (self.matrix is not None),
                "its coupling and its matrix disagree",
            ),
            (self.matrix is not None and not self.matrix.fits(count + 1, count), "its matrix is damaged"),
            (self.stack is not None and not self.stack.matrix.fits(count, count), "its stack is damaged"),
            (not in_groups | stacked <= set(names), "its rule names heads that it does not have"),
            (argmax and bool(self.exclusive), "argmax mode has exclusive groups"),
            (band is not None and not (argmax and 0 < band <= 1), "its abstain band is not sound"),
        ]


def plain_rule(thresholds: Sequence[float], mode: str) -> Rule:
    """Each head against its own threshold; in argmax mode, odds coupling."""
    return Rule(tuple(thresholds), coupling="odds" if mode == "argmax" else None)


def conflicts(names: Sequence[str], groups: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Return the pairs of positions, lower first, that a group has in common."""
    place = {name: index for index, name in enumerate(names)}
    pairs = {
        (place[one], place[other])
        for group in groups
        for one in group
        for other in group
        if place[one] < place[other]
    }
    return sorted(pairs)


def longest_chain(pairs: Sequence[tuple[int, int]]) -> int:
    """Return how many rounds settle every conflict: heads in the largest connected part, less one."""
    return max((len(part) for part in _conflict_parts(pairs)), default=1) - 1


def _conflict_parts(pairs: Sequence[tuple[int, int]]) -> list[set[int]]:
    """Return the connected parts of the positions that exclude each other."""
    parts: list[set[int]] = []
    for pair in pairs:
        touching = [part for part in parts if part & set(pair)]
        parts = [part for part in parts if part not in touching] + [set(pair).union(*touching)]
    return parts


def _stacked_lines(names: Sequence[str], rule: Rule) -> list[tuple[str, tuple[float, ...]]]:
    """Return the stacked heads and their lines (K,) of the matrix."""
    if rule.stack is None:
        return []
    return [(name, rule.stack.matrix.weights[names.index(name)]) for name in rule.stack.heads]


def heads_needed(names: Sequence[str], rule: Rule) -> tuple[frozenset[int], ...]:
    """Return for every head the positions of those whose logits its decision depends on, itself included."""
    heard = [{place} for place in range(len(names))]
    for name, weights in _stacked_lines(names, rule):
        heard[names.index(name)] |= {place for place, weight in enumerate(weights) if weight}
    parts = _conflict_parts(conflicts(names, rule.exclusive))
    rivals = [next((part for part in parts if place in part), {place}) for place in range(len(names))]
    return tuple(frozenset().union(*(heard[rival] for rival in part)) for part in rivals)


def describe_rule(rule: Rule, names: Sequence[str], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Say what decides a label besides its own head's threshold, a sentence each; nothing if nothing does.

    Args:
        rule: The rule.
        names: (K,) names of the heads, in the order of the rule.
        labels: Head -> text of its label.
    """
    lines: list[str] = []
    for name, weights in _stacked_lines(names, rule):
        ranked = sorted(zip(names, weights, strict=True), key=lambda other: -abs(other[1]))
        heard = [labels[other] for other, weight in ranked if weight and other != name]
        lines.append(
            f"{labels[name]} is decided by its own score together with "
            f"those of {first_few(heard, 3)} (stacking)."
        )
    if rule.objective == "micro-f1":
        lines.append("Thresholds are set together, for the micro F1 of all labels.")
    lines += [
        f"Of {first_few([labels[name] for name in group], 5)} at most one is answered, the surest."
        for group in rule.exclusive
    ]
    return tuple(lines)
