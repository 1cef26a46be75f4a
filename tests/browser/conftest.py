"""The fixture `lab`: a page of JupyterLab in Chromium. See lab.py for what it can do."""

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
def new_page(chromium, tmp_path_factory):
    """Makes pages on one JupyterLab server for the whole session."""
    server = Server(tmp_path_factory.mktemp("lab"))
    yield lambda: Lab(server, chromium)
    server.stop()


@pytest.fixture
def lab(new_page):
    """A fresh page for one test."""
    page = new_page()
    yield page
    page.close()


@pytest.fixture(scope="session")
def shared_lab(new_page):
    """One page for all tests that ask for it, where a page and a kernel for each would take too long."""
    page = new_page()
    yield page
    page.close()
