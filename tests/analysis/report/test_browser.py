"""The page of `ova analyse` in a real browser."""

from __future__ import annotations

import numpy as np
import pytest
from browsing import look, requests_of
from sklearn.metrics import f1_score, precision_score, recall_score

from ova.analysis.report.files import SHOWN

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>"
READ = """
const part = document.getElementById("head-spot");
const fields = Object.fromEntries([...part.querySelectorAll("[data-field]")].map(e => [e.dataset.field, e.textContent]));
const dots = [...part.querySelectorAll(".dot")].map(dot => {
  const box = dot.getBoundingClientRect(), frame = dot.parentElement.getBoundingClientRect();
  return getComputedStyle(dot).display === "none" ? null
    : [(box.x + box.width / 2 - frame.x) / frame.width, (frame.bottom - box.y - box.height / 2) / frame.height];
});
const slider = part.querySelector("input");
return {fields, dots, value: +slider.value, max: +slider.max, text: slider.getAttribute("aria-valuetext"),
        label: slider.ariaLabel, shown: slider.checkVisibility(), focused: document.activeElement === slider};
"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_whole_quiet_and_fits(browser, made, width, scheme):
    page = made.files[0].as_uri()
    found = look(browser, page, width, scheme)
    assert browser.get_log("browser") == []
    requests = requests_of(browser)
    assert page in requests
    assert all(url == page or url.startswith("data:") for url in requests)
    assert found["title"] == "cells: how good each head is"
    assert [heading for heading in found["headings"] if heading == HOSTILE] == [HOSTILE]
    assert len(found["tables"]) == 1 + 3 + 4 * 3  # summary, across, each head
    assert found["tables"][0] == 1 + 3
    pictures = 2 * 6 + 3 + sum(len(each) for each in galleries(made))
    assert (found["images"], found["broken"], found["anchors"], found["scripts"]) == (pictures, 0, 0, 1)
    assert "cell <u>" in found["text"]
    assert found["width"] <= width
    assert found["past"] == 0
    assert (found["paper"] == "rgb(252, 252, 251)") is (scheme == "light")


def galleries(made):
    from ova.analysis.report.mistakes import find_mistakes

    for source in made.sources:
        yield from find_mistakes(source.evidence, source.calibration, SHOWN).lists().values()


def test_the_slider_and_its_keys_move_the_figures(browser, made):
    from selenium.webdriver.common.keys import Keys

    look(browser, made.files[0].as_uri(), 1000)
    evidence = next(each.evidence for each in made.sources if each.evidence.name == "spot")
    result = next(each for each in made.analysis.heads if each.name == "spot")
    start = browser.execute_script(READ)
    assert start["shown"]
    assert start["label"] == f"threshold of {HOSTILE}"
    assert start["fields"]["f1"] == f"{result.f1:.3f}"
    assert [int(start["fields"][name]) for name in ("tp", "fp", "fn", "tn")] == [
        result.counts.tp, result.counts.fp, result.counts.fn, result.counts.tn,
    ]  # fmt: skip
    assert start["dots"] == [None] * 5

    slider = browser.find_element("css selector", "#head-spot input")
    slider.send_keys(Keys.ARROW_LEFT * 9)
    moved = browser.execute_script(READ)
    assert moved["focused"]
    assert moved["value"] == start["value"] - 9
    decisions = evidence.logits >= float(moved["fields"]["threshold"]) - 5e-4
    assert moved["fields"]["f1"] == f"{f1_score(evidence.labels, decisions):.3f}"
    assert int(moved["fields"]["tp"]) == int((decisions & (evidence.labels == 1)).sum())
    assert f"F1 {moved['fields']['f1']}" in moved["text"]
    assert moved["fields"]["precision"] == f"{precision_score(evidence.labels, decisions):.3f}"
    assert moved["fields"]["recall"] == f"{recall_score(evidence.labels, decisions):.3f}"
    assert moved["fields"]["recall"] != moved["fields"]["precision"]
    recall, precision = (float(moved["fields"][name]) for name in ("recall", "precision"))
    flagged = int(moved["fields"]["fp"]) / (evidence.labels == 0).sum()
    curve, roc, thresholds, scores, reliability = moved["dots"]
    assert curve == pytest.approx([recall, precision / 1.01], abs=2e-3)
    assert roc == pytest.approx([flagged, recall / 1.01], abs=2e-3)
    assert thresholds[1] == pytest.approx(float(moved["fields"]["f1"]) / 1.01, abs=2e-3)
    assert scores is reliability is None  # a line shows the threshold there

    slider.send_keys(Keys.END)
    end = browser.execute_script(READ)
    assert (end["value"], end["fields"]["tp"], end["fields"]["precision"]) == (end["max"], "0", "undefined")
    assert end["dots"][0] is None  # where nothing is flagged there is no precision
    browser.find_element("css selector", "#head-spot button").click()
    assert browser.execute_script(READ)["fields"] == start["fields"]


def test_pointing_at_a_curve_shows_the_nearest_threshold(browser, made):
    from selenium.webdriver import ActionChains

    look(browser, made.files[0].as_uri(), 1000)
    frame = browser.find_element("css selector", "#head-spot [data-plot=thresholds] .frame")
    size = frame.size
    seen = []
    for share in (0.2, 0.5, 0.8):
        ActionChains(browser, duration=0).move_to_element_with_offset(
            frame, round((share - 0.5) * size["width"]), 0
        ).perform()
        seen.append(browser.execute_script(READ))
    thresholds = [float(each["fields"]["threshold"]) for each in seen]
    places = [each["dots"][2][0] for each in seen]
    assert thresholds == sorted(thresholds)
    assert np.abs(np.array(places) - [0.2, 0.5, 0.8]).max() < 0.06
    assert int(seen[0]["fields"]["tp"]) > int(seen[2]["fields"]["tp"])


def test_without_a_script_the_page_shows_the_chosen_threshold_and_no_control(browser, made):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(browser, made.files[0].as_uri(), 1000)
        slider = browser.find_element("css selector", "#head-spot input")
        field = browser.find_element("css selector", "#head-spot [data-field=recall]")
        assert not slider.is_displayed()
        recall = next(each.recall for each in made.analysis.heads if each.name == "spot")
        assert field.text == f"{recall:.3f}"
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_page_prints(browser, made):
    look(browser, made.files[0].as_uri(), 1280)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(printed["data"]) > 50_000
