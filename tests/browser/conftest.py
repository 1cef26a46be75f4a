"""The fixture `lab`: one page of JupyterLab in Chromium for all tests. See lab.py for what it can do."""

from __future__ import annotations

import contextlib
import os

import pytest
from playwright.sync_api import sync_playwright

from browser.chat_page import ChatPage
from browser.lab import CHROMIUM_FLAGS, Lab, Server, find_chromium

SETUP = """
import contextlib, json
import ipywidgets
from IPython.display import display
from course_helpers import connect, practice
from course_helpers.chat_cell import ChatCell
from course_helpers.history import Reply, last_turns
from course_helpers.learning import guess, quiz
"""


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
def shared_lab(chromium, tmp_path_factory):
    """One server and one notebook for the whole session: a kernel for each test would take too long."""
    with contextlib.closing(Server(tmp_path_factory.mktemp("lab"))) as server:
        made = Lab(server, chromium)
        made.open(SETUP)
        assert made.run_all()
        yield made


@pytest.fixture
def lab(shared_lab):
    """Each test finds no faults set, and must leave no error and no stranger behind."""
    shared_lab.run("connect(); practice.reset()")
    yield shared_lab
    assert shared_lab.errors() == shared_lab.strangers == shared_lab.faults == []


@pytest.fixture
def chat(lab):
    """A fresh chat with the practice API."""
    return ChatPage.make(lab)


@pytest.fixture
def echoing(lab, echo):
    """A fresh chat with the server that says what it is told."""
    lab.run(f"connect({echo.url!r})")
    return ChatPage.make(lab, "cell = ChatCell(model='echo')\ncell")
