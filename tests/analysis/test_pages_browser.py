"""The page of `ova data stats` in a real browser: nothing leaves it, all of it is seen, on a phone too."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import tomli_w
from PIL import Image
from small import draw_images, head_recipe, write_table

from ova.analysis.statistics.describe import describe_data
from ova.workspace import Workspace

HOSTILE = "<script>alert(1)</script>"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
MEASURE = """
const images = [...document.images];
return {
  title: document.title,
  tables: [...document.querySelectorAll("table")].map(table => table.rows.length),
  headings: [...document.querySelectorAll("h2, h3")].map(heading => heading.innerText),
  scripts: document.scripts.length,
  images: images.length,
  broken: images.filter(image => !image.complete || image.naturalWidth === 0 || !image.alt).length,
  anchors: [...document.links].filter(link => !document.querySelector(link.hash)).length,
  width: document.scrollingElement.scrollWidth,
  past: [...document.querySelectorAll("main > * > *, header > *")]
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1).length,
  text: document.body.innerText,
  paper: getComputedStyle(document.body).backgroundColor,
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium, driven without any download."""
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        # The continuous integration installs them (.ci/run), so there their absence is a failure.
        assert os.environ.get("CI") != "true", "chromium and chromedriver are missing"
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a workspace with labels that try to be more than text, and with images of many sizes."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    folder = workspace.root / "data"
    folder.mkdir()
    drawn, labels = draw_images(72)
    names = [f"{number}.png" for number in range(72)]
    for number, (name, image) in enumerate(zip(names, drawn, strict=True)):
        Image.fromarray(image).resize((24 + number % 30, 24 + number % 7)).save(folder / name)
    extra = {
        f"a rather long name of the label number {number}": labels[:, number % 2].tolist()
        for number in range(9)
    }
    columns = {HOSTILE: labels[:, 0].tolist(), "bar": labels[:, 1].tolist()} | extra
    write_table(folder / "labels.csv", names, columns)
    recipes = {workspace.dataset_recipe: {"labels": "labels.csv", "split": {"folds": 3}}}
    recipes |= {
        workspace.head_recipe("one"): head_recipe(HOSTILE),
        workspace.head_recipe("two"): head_recipe("bar"),
    }
    for path, recipe in recipes.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(tomli_w.dumps(recipe))
    return describe_data(workspace).files[0].as_uri()


def look(browser, page, width, scheme="light"):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page)
    return browser.execute_script(MEASURE)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
def test_the_page_is_whole_quiet_and_fits(browser, page, width, scheme):
    found = look(browser, page, width, scheme)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [
        each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"
    ]
    assert page in requests
    assert all(url == page or url.startswith("data:") for url in requests)
    assert found["title"] == "What is in the data"
    assert len(found["tables"]) == 9
    assert min(found["tables"]) >= 2
    assert found["images"] > 20
    assert (found["scripts"], found["broken"], found["anchors"]) == (0, 0, 0)
    assert HOSTILE in found["text"]
    assert found["width"] <= width
    assert found["past"] == 0
    assert (found["paper"] == "rgb(252, 252, 251)") is (scheme == "light")


def test_the_page_prints(browser, page):
    look(browser, page, 1280)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(printed["data"]) > 50_000
