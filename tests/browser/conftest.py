"""The fixture `lab`: a page of JupyterLab in Chromium. See lab.py for what it can do."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import sync_playwright

from browser.lab import CHROMIUM_FLAGS, Lab, Server, find_chromium


@pytest.fixture(scope="session")
def lab_browser():
    """One Chromium for the whole session."""
    chromium = find_chromium()
    if chromium is None:
        words = (
            "no Chromium found: install it (Debian: apt install chromium) or set COURSE_CHROMIUM to its path"
        )
        if os.environ.get("COURSE_REQUIRE_BROWSER") == "1":
            pytest.fail(words)
        pytest.skip(words)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab_server(lab_browser, tmp_path_factory):
    """One JupyterLab server for the whole session."""
    server = Server(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture
def lab(lab_server, lab_browser):
    """A fresh page for one test."""
    page = Lab(lab_server, lab_browser)
    yield page
    page.close()


@pytest.fixture(scope="session")
def shared_lab(lab_server, lab_browser):
    """One page for all tests that ask for it, where a page and a kernel for each would take too long."""
    page = Lab(lab_server, lab_browser)
    yield page
    page.close()
