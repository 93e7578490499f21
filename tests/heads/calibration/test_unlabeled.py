from __future__ import annotations

import numpy as np
import pytest

from ova.errors import DataError
from ova.heads.calibration.prior_shift import read_unlabeled


def table(tmp_path, text):
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_of_labels_and_names_are_found_and_empty_cells_left_out(tmp_path):
    path = table(tmp_path, "image,Riß logit,bar logit,other\na,1.5,2,x\nb,,3,\nc,-1e-3,4,y\n")
    found = read_unlabeled(path, {"riss": "Riß", "bar": "Bar", "no": "No"}, all_of_them=False)
    assert list(found) == ["riss", "bar"]
    np.testing.assert_array_equal(found["riss"], np.array([1.5, -1e-3], np.float32).astype(float))
    assert found["bar"].tolist() == [2, 3, 4]


def test_a_label_that_looks_like_a_formula(tmp_path):
    path = table(tmp_path, "image,'=sum logit\na,1\n")
    assert read_unlabeled(path, {"sum": "=sum"}, all_of_them=True)["sum"].tolist() == [1]


def test_one_head_may_be_called_logit(tmp_path):
    path = table(tmp_path, "image,label,logit\na,1,0.5\n")
    assert read_unlabeled(path, {"bar": "Bar"}, all_of_them=False)["bar"].tolist() == [0.5]
    with pytest.raises(DataError, match="'Bar logit', 'Spot logit'"):
        read_unlabeled(path, {"bar": "Bar", "spot": "Spot"}, all_of_them=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,Bar logit\n", "no rows"),
        ("image,Bar probability\na,0.5\n", "lacks the column 'Bar logit'; .*ova predict"),
        ("image,Bar logit\na,1\nb,x\n", "row 3: Bar logit is 'x'"),
        ("image,Bar logit\na,inf\n", "not a finite number"),
        ("image,Bar logit\na,1e300\n", "not a finite number"),
        ("image,Bar logit\na,\n", "no row has a Bar logit"),
        ("image,Bar logit\na,1,2\n", "too many cells"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_other_tables_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_unlabeled(table(tmp_path, text), {"bar": "Bar"}, all_of_them=True)


def test_a_missing_file_is_data(tmp_path):
    with pytest.raises(DataError, match="missing"):
        read_unlabeled(tmp_path / "no.csv", {"bar": "Bar"}, all_of_them=True)
