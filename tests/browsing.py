"""A headless Chromium for tests of pages, driven without any download."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


def open_browser(profile: Path) -> Iterator[Any]:
    """Start a browser, and end it when the test is over."""
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        # The continuous integration installs them (.ci/run), so there their absence is a failure.
        assert os.environ.get("CI") != "true", "chromium and chromedriver are missing"
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


def look(browser: Any, page: str, width: int, scheme: str = "light") -> dict[str, Any]:
    """Open a page in a window of that width and return what is seen of it."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page)
    return browser.execute_script(MEASURE)


def requests_of(browser: Any) -> list[str]:
    """Return the addresses that the browser has asked for since it was last asked."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"
    ]
