from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ova.analysis.argmax_result import Choices


def test_choices_agree_with_scikit_learn_and_leave_out_what_has_no_right_answer():
    generator = np.random.default_rng(5)
    truth, chosen = generator.integers(0, 4, 100), generator.integers(0, 4, 100)
    values = np.eye(4, dtype=np.int8)[truth][:, :3]
    values = np.vstack([values, [[1, 1, 0], [-1, 0, 0], [1, -1, 0]]])
    choices = Choices.of(("a", "b", "c"), values, np.append(chosen, [0, 3, 0]))
    assert choices.labels == ("a", "b", "c", "none")
    np.testing.assert_array_equal(choices.matrix, confusion_matrix(truth, chosen))
    assert choices.left_out == 3
    assert choices.accuracy == pytest.approx((truth == chosen).mean())
    value = choices.to_json()
    assert value["labels"] == ["a", "b", "c", "none"]
    assert value["matrix"] == confusion_matrix(truth, chosen).tolist()
    assert value["left_out"] == 3
    assert value["accuracy_low"] < choices.accuracy < value["accuracy_high"]
    scores = precision_recall_fscore_support(truth, chosen, labels=[0, 1, 2, 3])
    for each, *expected in zip(value["classes"], *scores, strict=True):
        found = [each["precision"], each["recall"], each["f1"], each["rows"]]
        assert found == pytest.approx(expected)
        assert each["f1_low"] < each["f1"] < each["f1_high"]
    json.dumps(choices.to_json(), allow_nan=False)


def test_choices_without_a_row_have_no_accuracy_and_strange_ones_are_refused():
    assert Choices.of(("a",), np.zeros((0, 1), np.int8), np.zeros(0, np.int64)).accuracy is None
    for strange in (-1, 2):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            Choices.of(("a",), [[1]], [strange])
