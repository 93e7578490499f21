from __future__ import annotations

import json

import pytest
from messy import SOUND, add_mess, add_unusable, sound_workspace
from PIL import Image

from ova.data.checks.clean import clean_data
from ova.data.dataset import open_dataset
from ova.data.labels.exclusions import read_exclusions
from ova.errors import DataError, RecipeError


@pytest.fixture
def made(tmp_path):
    made = sound_workspace(tmp_path)
    add_mess(made)
    return made


def added(made, **settings):
    return {line.image: line.reason for line in clean_data(made.workspace, settings).added}


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


COPY = {"copy of 03.png": f"identical: the same pixels as {SOUND[3]}"}
ALWAYS = {"flat.png": "one shade: luma spread below 2", **COPY}


def test_by_default_only_what_is_of_no_use_is_left_out(made):
    assert added(made) == ALWAYS
    assert set(read_exclusions(made.workspace.exclusions)) == set(ALWAYS)


def test_images_that_cannot_be_read_are_left_out_and_training_goes_on(made):
    add_unusable(made)
    with pytest.raises(DataError, match="gone"):
        open_dataset(made.workspace)
    found = added(made)
    assert found.keys() == {"gone.png", "page.png", "cut.png", *ALWAYS}
    assert found["gone.png"] == "missing"
    assert found["page.png"].startswith("unreadable: is neither JPEG nor PNG")
    assert not found.keys() & set(open_dataset(made.workspace).table.images)
    assert not made.workspace.intake_problems.exists()


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"min_side": 13}, {"small.png": "too small: shorter side below 13 pixels"}),
        ({"min_side": 12}, {}),
        ({"sharpness": 50.0}, {"blurred.png": "blurred: sharpness below 50"}),
        ({"colour": "grey"}, {"red.png": "unusual colour: colour, where grey is wanted or usual"}),
        ({"duplicates": "near"}, {"flip of 10.png": f"near duplicate: in a cluster with {SOUND[10]}"}),
        (
            {"conflicts": "exclude"},
            {
                SOUND[4]: "labels conflict: crack is 0 here and 1 in copy of 04.png",
                "copy of 04.png": f"labels conflict: crack is 1 here and 0 in {SOUND[4]}",
            },
        ),
    ],
)
def test_settings_leave_out_more_by_option_or_recipe(made, settings, more):
    if "conflicts" in settings and made.labels[SOUND[4]][0] == 1:
        more = {
            SOUND[4]: "labels conflict: crack is 1 here and 0 in copy of 04.png",
            "copy of 04.png": f"labels conflict: crack is 0 here and 1 in {SOUND[4]}",
        }
    assert added(made, **settings) == {**ALWAYS, **more}
    made.workspace.exclusions.unlink()
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    made.declare(f"[clean]\n{lines}")
    report = clean_data(made.workspace, again=True)
    assert {line.image: line.reason for line in report.added} == {**ALWAYS, **more}


def test_no_copy_is_left_out_where_nothing_is_to_be(made):
    assert added(made, duplicates="keep") == {"flat.png": ALWAYS["flat.png"]}


def test_the_image_that_knows_most_is_kept(made):
    cell = Image.open(made.path(SOUND[20]))
    cell.save(made.path("aaa.png"))
    cell.resize((200, 200)).save(made.path("large.png"))
    made.labels |= {"aaa.png": ("", made.labels[SOUND[20]][1]), "large.png": made.labels[SOUND[20]]}
    made.declare()
    found = added(made, duplicates="near")
    assert found["aaa.png"] == "near duplicate: in a cluster with large.png"
    assert found[SOUND[20]] == "near duplicate: in a cluster with large.png"
    assert "large.png" not in found


def test_an_image_with_a_label_that_the_kept_one_lacks_stays(made):
    Image.open(made.path(SOUND[20])).save(made.path("half.png"))
    made.labels |= {"half.png": ("", 1), SOUND[20]: (1, "")}
    made.declare()
    assert not added(made).keys() & {"half.png", SOUND[20]}


def test_conflicts_are_told_and_kept(made):
    report = clean_data(made.workspace)
    assert [each.image for each in report.conflicts] == [SOUND[4], "copy of 04.png"]
    assert report.to_json()["conflicts"][SOUND[4]].endswith("in copy of 04.png")
    assert not {SOUND[4], "copy of 04.png"} & {line.image for line in report.added}


def test_nothing_but_the_list_and_the_records_is_written(made):
    before = files_of(made.data)
    clean_data(made.workspace, {"min_side": 50})
    after = files_of(made.data)
    assert {path: content for path, content in after.items() if path in before} == before
    assert after.keys() - before.keys() == {made.workspace.exclusions}
    listed = made.workspace.exclusions.read_bytes()
    again = clean_data(made.workspace, {"min_side": 50})
    assert (again.added, again.listed, again.brought_back) == ([], 3, [])
    assert made.workspace.exclusions.read_bytes() == listed


def test_what_a_person_wrote_stays_and_what_a_person_took_off_stays_off(made):
    made.workspace.exclusions.write_text("image;reason;who\r\ncells/05.png;a finger; Eva\r\n")
    clean_data(made.workspace)
    lines = made.workspace.exclusions.read_bytes().splitlines(keepends=True)
    assert lines[:2] == [b"image;reason;who\r\n", b"cells/05.png;a finger; Eva\r\n"]
    made.workspace.exclusions.write_bytes(b"".join(lines[:2]))
    report = clean_data(made.workspace)
    assert (report.added, sorted(report.brought_back)) == ([], sorted(ALWAYS))
    assert "flat.png" in open_dataset(made.workspace).table.images
    more = clean_data(made.workspace, {"min_side": 13})
    assert [line.image for line in more.added] == ["small.png"]
    assert len(clean_data(made.workspace).brought_back) == len(ALWAYS)
    assert clean_data(made.workspace, again=True).added
    made.workspace.cleaning.write_text("damaged")
    made.workspace.exclusions.unlink()
    assert len(clean_data(made.workspace).added) == len(ALWAYS)


def test_what_is_left_is_counted_of_everything(made):
    add_unusable(made)
    crack = sum(labels[0] == 1 for labels in made.labels.values())
    gone = {"gone.png", "page.png", "cut.png", *ALWAYS}
    report = clean_data(made.workspace)
    left = sum(labels[0] == 1 for image, labels in made.labels.items() if image not in gone)
    assert left < crack
    assert report.kept["images"] == (len(made.labels) - len(gone), len(made.labels))
    assert report.kept["crack"] == (left, crack)
    assert clean_data(made.workspace).kept == report.kept
    assert report.reasons() == {"missing": 1, "unreadable": 2, "one shade": 1, "identical": 1}


def test_settings_that_leave_nothing_or_make_no_sense_are_refused(made):
    with pytest.raises(DataError, match="leave out all 33 images"):
        clean_data(made.workspace, {"min_side": 1000})
    for settings in ({"min_side": 0}, {"sharpness": -1.0}, {"colour": "blue"}, {"duplicates": "some"}):
        with pytest.raises(RecipeError, match=next(iter(settings))) as caught:
            clean_data(made.workspace, settings)
        assert "\n" not in str(caught.value)
    assert not made.workspace.exclusions.exists()


def test_neither_order_of_rows_nor_of_columns_decides(made):
    first = added(made, duplicates="near", conflicts="exclude")
    made.workspace.exclusions.unlink()
    made.workspace.cleaning.unlink()
    made.labels = dict(reversed(made.labels.items()))
    made.declare()
    assert added(made, duplicates="near", conflicts="exclude") == first
