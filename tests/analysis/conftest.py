from __future__ import annotations

import pytest
from browsing import open_browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium."""
    yield from open_browser(tmp_path_factory.mktemp("profile"))
