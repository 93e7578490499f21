from __future__ import annotations

import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_curve

from ova.analysis import head_plots as plots
from ova.analysis.head_plots import loss_curves_png, precision_recall_png, write_plots
from ova.analysis.head_result import HeadEvidence
from ova.analysis.result import analyse_heads
from ova.errors import ArtefactError, RecipeError


def evidence_of(*, name="crack", label="crack", prior=0.3, threshold=0.5) -> HeadEvidence:
    generator = np.random.default_rng(0)
    labels = (generator.random(60) < prior).astype(np.int8)
    logits = (generator.normal(0, 1, 60) + 2 * labels).astype(np.float32).astype(np.float64)
    return HeadEvidence(name, label, threshold, labels, logits, tuple(f"{row}.png" for row in range(60)))


def picture_of(head: HeadEvidence) -> bytes:
    return precision_recall_png(head, analyse_heads([head], ensemble=None, mode="multilabel").heads[0])


def history_of(members=1, epochs=6) -> list[dict[str, str]]:
    return [
        {
            "member": str(member),
            "epoch": str(epoch),
            "train_loss": str(1 / (epoch + 1)),
            "validation_loss": str(1.2 / (epoch + 1) + 0.1 * member),
            "validation_average_precision": "" if epoch == 0 else str(0.9 - 0.1 * abs(epoch - 3)),
        }
        for member in range(members)
        for epoch in range(epochs)
    ]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, kept as they were saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self, *arguments, **settings):
        figures.append(self)
        return save(self, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3.0])), min_size=1, max_size=30
    )
)
def test_curve_is_that_of_scikit_learn_and_its_area_is_the_average_precision(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    labels[0] = 1
    recall, precision = plots._precision_recall_steps(labels.astype(np.int8), scores.astype(np.float32))
    expected_precision, expected_recall, _ = precision_recall_curve(labels, scores)
    # scikit-learn's last point, (0, 1), is a convention that no threshold reaches.
    np.testing.assert_allclose(recall[1:], expected_recall[-2::-1])
    np.testing.assert_allclose(precision[1:], expected_precision[-2::-1])
    area = np.sum(np.diff(recall) * precision[1:])  # steps-pre: each step has the height of its right end
    assert area == pytest.approx(average_precision_score(labels, scores))
    assert (recall[0], precision[0]) == (0, precision[1])


def test_picture_shows_point_baseline_and_title(drawn):
    head = evidence_of()
    result = analyse_heads([head], ensemble=None, mode="multilabel").heads[0]
    precision_recall_png(head, result)
    (axes,) = drawn[0].axes
    points = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in points] == [
        (result.recall, result.precision)
    ]
    prior = result.positives / 60
    assert any(np.allclose(line.get_ydata(), prior) for line in axes.get_lines())
    assert f"{result.average_precision:.3f}" in axes.get_title()
    assert f"{result.positives} positives among 60" in axes.get_title()
    assert axes.get_xlim() == (0, 1)
    assert axes.get_ylim()[0] == 0
    legend = " ".join(legend_of(drawn[0]))
    assert f"F1 {result.f1:.3f}" in legend
    assert f"F1 {result.always_yes_f1:.3f}" in legend


def test_equal_f1_lines_have_equal_f1(drawn):
    picture_of(evidence_of())
    grey = [line for line in drawn[0].axes[0].get_lines() if line.get_color() == "#bbbbbb"]
    for line, f1 in zip(grey, (0.2, 0.4, 0.6, 0.8), strict=True):
        recall, precision = line.get_xdata(), line.get_ydata()
        np.testing.assert_allclose(2 * precision * recall / (precision + recall), f1)
        assert precision.max() == pytest.approx(1)


def test_head_without_positives_gets_a_picture_that_says_so(drawn):
    picture_of(evidence_of(prior=0))
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == ["no curve: no positive among 60 labelled rows"]
    assert not axes.get_lines()


def test_head_that_never_says_yes_gets_a_curve_without_a_point(drawn):
    picture_of(evidence_of(threshold=100))
    assert "threshold 100.000: no row reaches it" in legend_of(drawn[0])
    assert not [line for line in drawn[0].axes[0].get_lines() if line.get_marker() == "o"]


@pytest.mark.parametrize("label", ["$x^2$", "a_1 ^ b", r"$\frac{", "100 % & #", "{}", "[b]x[/b]"])
def test_label_is_drawn_as_it_is_written(label, drawn):
    picture_of(evidence_of(label=label))
    title = drawn[0].get_suptitle()
    assert title == label
    assert not drawn[0]._suptitle.get_parse_math()


@pytest.mark.parametrize("label", ["\u88c2\u7eb9", "two\nlines", "\x00"])
def test_label_that_the_font_lacks_gives_way_to_the_name(label, drawn):
    picture_of(evidence_of(label=label, name="crack-1"))
    assert drawn[0].get_suptitle() == "crack-1"


def test_long_label_is_shortened(drawn):
    picture_of(evidence_of(label="x" * 500))
    assert drawn[0].get_suptitle() == "x" * 57 + "..."


def test_chosen_epoch_is_the_best_or_the_given_one(drawn):
    history = history_of()
    loss_curves_png(history, "crack")
    loss_curves_png(history, "crack", best_epochs=[2])
    assert "chosen epoch 3" in legend_of(drawn[0])
    assert "chosen epoch 2" in legend_of(drawn[1])
    for figure, epoch, height in ((drawn[0], 3, 0.9), (drawn[1], 2, 0.8)):
        (mark,) = [line for line in figure.axes[1].get_lines() if line.get_marker() == "o"]
        assert mark.get_xdata() == [epoch]
        assert mark.get_ydata() == pytest.approx([height])


def test_losses_and_precision_have_an_axis_each_and_gaps_where_undefined(drawn):
    loss_curves_png(history_of()[::-1], "crack")
    losses, precision = drawn[0].axes
    np.testing.assert_allclose(losses.get_lines()[0].get_ydata(), [1 / (epoch + 1) for epoch in range(6)])
    np.testing.assert_allclose(losses.get_lines()[1].get_ydata(), [1.2 / (epoch + 1) for epoch in range(6)])
    np.testing.assert_allclose(precision.get_lines()[0].get_ydata(), [np.nan, 0.7, 0.8, 0.9, 0.8, 0.7])
    assert precision.get_ylim() == (0, 1)
    assert losses.get_ylim()[0] == 0
    assert [losses.get_xlabel(), losses.get_ylabel(), precision.get_ylabel()] == [
        "epoch",
        "loss",
        "average precision",
    ]


def test_folds_are_thin_lines_with_a_mark_each(drawn):
    loss_curves_png(history_of(members=3), "crack", best_epochs=[1, 2, 3])
    losses, precision = drawn[0].axes
    assert len(losses.get_lines()) == 6
    assert all(line.get_linewidth() < 1 for line in losses.get_lines())
    marks = [line.get_xdata()[0] for line in precision.get_lines() if line.get_marker() == "o"]
    assert marks == [1, 2, 3]
    assert len(legend_of(drawn[0])) == 4


def test_spikes_are_cut_off_and_it_is_said(drawn):
    history = history_of(epochs=40)
    for row in history:
        row["train_loss"] = row["validation_loss"] = "0.5"
    history[2]["validation_loss"] = "80.0"
    history[3]["validation_loss"] = "inf"
    loss_curves_png(history, "crack")
    losses = drawn[0].axes[0]
    assert losses.get_ylim() == (0, 0.75)
    assert losses.get_ylabel() == "loss (spikes up to 80 are cut off)"


def test_history_without_a_defined_value_is_drawn():
    empty = {"train_loss": "", "validation_loss": "", "validation_average_precision": ""}
    picture = loss_curves_png([{"member": "0", "epoch": "1"} | empty], "crack")
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG"
        assert image.getextrema() != ((255, 255),) * len(image.getbands())


@pytest.mark.parametrize("change", [{"train_loss": "x"}, {"epoch": ""}, {"member": "a"}])
def test_damaged_history_is_refused_in_one_line(change):
    with pytest.raises(ArtefactError, match="history of head crack is damaged"):
        loss_curves_png([history_of()[0] | change], "crack")
    with pytest.raises(ArtefactError, match="no epochs"):
        loss_curves_png([], "crack")


def test_pictures_are_png_of_the_same_bytes_every_time_whatever_the_settings():
    first = picture_of(evidence_of()), loss_curves_png(history_of(2), "crack")
    with mpl.rc_context({"font.size": 20, "figure.facecolor": "red", "text.usetex": True}):
        again = picture_of(evidence_of()), loss_curves_png(history_of(2), "crack")
        assert mpl.rcParams["font.size"] == 20  # the user's settings are left as they were
    assert again == first
    for content in first:
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG"
            assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
            assert "Software" not in image.info
            assert np.asarray(image.convert("L")).std() > 5  # not blank


def test_plots_are_written_in_order_for_what_is_there(tmp_path):
    heads = [evidence_of(name="crack"), evidence_of(name="inactive", prior=0.05)]
    analysis = analyse_heads(heads, ensemble=None, mode="multilabel")
    histories = {"crack": history_of(), "other": history_of()}
    paths = write_plots(tmp_path, heads, analysis, histories, best_epochs={"crack": [2]})
    assert [path.name for path in paths] == [
        "precision-recall-inactive.png", "precision-recall-crack.png", "loss-crack.png",
    ]  # fmt: skip
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert paths[2].read_bytes() == loss_curves_png(history_of(), "crack", best_epochs=[2])


def test_name_that_is_no_slug_never_becomes_a_path(tmp_path):
    head = evidence_of(name="../evil")
    with pytest.raises(RecipeError, match="not a name"):
        write_plots(tmp_path, [head], analyse_heads([head], ensemble=None, mode="multilabel"), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pyplot_is_never_imported():
    code = "import sys, ova.analysis.head_plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
