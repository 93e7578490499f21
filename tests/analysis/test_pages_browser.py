"""The page of `ova data stats` in a real browser: nothing leaves it, all of it is seen, on a phone too."""

from __future__ import annotations

import pytest
import tomli_w
from browsing import look, requests_of
from PIL import Image
from small import draw_images, head_recipe, write_table

from ova.analysis.statistics.describe import describe_data
from ova.workspace import Workspace

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>"


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


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
def test_the_page_is_whole_quiet_and_fits(browser, page, width, scheme):
    found = look(browser, page, width, scheme)
    assert browser.get_log("browser") == []
    requests = requests_of(browser)
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
