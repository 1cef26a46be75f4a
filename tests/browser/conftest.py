"""The fixtures `lab` and `shared_lab`: a page of JupyterLab in Chromium. See lab.py for what it can do."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import sync_playwright

from browser.lab import CHROMIUM_FLAGS, Lab, Server, find_chromium


@pytest.fixture(scope="session")
def chromium():
    """One Chromium for the whole session."""
    if not (path := find_chromium()):
        stop = pytest.fail if os.environ.get("COURSE_REQUIRE_BROWSER") == "1" else pytest.skip
        stop("no Chromium found: install it (Debian: apt install chromium) or name it in COURSE_CHROMIUM")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One JupyterLab server for the whole session."""
    started = Server(tmp_path_factory.mktemp("lab"))
    yield started
    started.stop()


def page(server, chromium):
    """A page, closed with its kernels at the end."""
    made = Lab(server, chromium)
    yield made
    made.close()


lab = pytest.fixture(page)
shared_lab = pytest.fixture(
    page, scope="module"
)  # where a page and a kernel for each test would take too long
