"""What a rule does with the answers of heads, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ova.ensembles.rule import Rule, stacked_lines
from ova.errors import first_few


def describe_rule(rule: Rule, names: Sequence[str], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Say what decides a label besides its own head's threshold, a sentence each; nothing if nothing does.

    Args:
        rule: The rule.
        names: (K,) names of the heads, in the order of the rule.
        labels: Head -> text of its label.
    """
    lines: list[str] = []
    for name, weights in stacked_lines(names, rule):
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
