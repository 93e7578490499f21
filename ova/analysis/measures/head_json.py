"""The figures of a head as strict JSON, and as a cell of a table."""

from __future__ import annotations

from typing import Any

from ova.analysis.measures.values import HeadMeasures, as_json

_CURVES = ("sweeps", "histograms")


def head_json(head: HeadMeasures, *, curves: bool) -> dict[str, Any]:
    """Return the figures of a head as strict JSON, with all points of its curves if asked."""
    value = as_json(head)
    value["honest_f1"] = value.pop("f1")
    del value["name"], value["label"]
    if not curves:
        for name in _CURVES:
            del value[name]
        if value["reliability"] is not None:
            del value["reliability"]["curve"]
    return value


def nested_text(head: HeadMeasures) -> str:
    """Write the nested F1 with the apparent one in brackets, for a table."""
    nested, apparent = (
        "undefined" if each.value is None else f"{each.value:.3f}"
        for each in (head.f1.nested, head.f1.apparent)
    )
    return f"{nested} ({apparent})"
