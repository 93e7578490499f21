from __future__ import annotations

import json

from ova.analysis.measures.values import Diagnosis, HonestF1, MeasuredValue, Slice, as_json


def test_values_become_strict_json_by_the_names_of_their_fields():
    undefined = MeasuredValue(None, reason="no positive among 3 rows")
    f1 = HonestF1(MeasuredValue(0.8, 0.6, 0.9), undefined, undefined, folds=5)
    value = as_json({"f1": f1, "findings": (Diagnosis("sound", "nothing"),), "edges": (0.5, 1.5)})
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value["f1"]["apparent"] == {"value": 0.8, "low": 0.6, "high": 0.9, "reason": None}
    assert value["f1"]["nested"]["reason"] == "no positive among 3 rows"
    assert value["findings"] == [{"kind": "sound", "text": "nothing"}]
    assert value["edges"] == [0.5, 1.5]


def test_a_slice_keeps_whether_the_other_label_is_there():
    part = Slice(
        "inactive", "crack", False, 3, 240, MeasuredValue(0.4, 0.1, 0.8), MeasuredValue(0.5, 0.1, 0.9)
    )
    assert as_json(part)["present"] is False
