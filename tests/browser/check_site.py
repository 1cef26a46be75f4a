"""The course in a browser tab. `make site` runs this on the page that it has built, no other command does."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from browser.lab import Lab
from tools import site

ASK = '''def ask(question):
    """Return the text of the reply to `question`."""
    asked = [{"role": "user", "content": question}]
    message = client.messages.create(model=MODEL, max_tokens=300, messages=asked)
    return "".join(block.text for block in message.content if block.type == "text")
'''


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not a line a request."""


class Files:
    """Serves the built page as any web server would; `lab.Lab` opens notebooks there."""

    def __init__(self) -> None:
        handler = functools.partial(_Quiet, directory=site.SITE)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def address(self, name: str) -> str:
        return f"{self.url}/lab/index.html?path={name}"

    def end_kernels(self) -> None:
        """They end with the page."""

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def tab(chromium):
    files = Files()
    page = Lab(files, chromium)
    page.name = "notebooks/01_raw_call.ipynb"
    yield page
    page.close()
    files.stop()


@pytest.mark.timeout(600)
def test_lesson_1_in_a_browser_tab(tab):
    """It runs from top to bottom, an exercise is graded, a quiz answered, and both survive a reload."""
    tab.page.set_default_timeout(180_000)
    tab.reload()
    assert tab.run_all(), tab.errors()
    assert not tab.strangers
    warnings = [o for c in tab.notebook()["cells"] for o in c.get("outputs", []) if o.get("name") == "stderr"]
    assert not warnings

    tab.run(ASK)
    assert "1.1 · Ask · passed" in tab.run("exercise('ask')")
    number = tab.add_cell("quiz('raw_call')")
    tab.run_cell(number)
    groups = tab.cell(number).locator(".course-quiz-group")
    for index in range(groups.count()):
        groups.nth(index).locator("label").first.click()
    tab.cell(number).get_by_text("Check my answers").click()
    expect(tab.cell(number).locator(".course-quiz")).to_contain_text("answered correctly", timeout=30_000)

    kept = tab.run("progress()").splitlines()[1]
    assert "1 of 2" in kept
    tab.reload()
    tab.run_cell(1)
    assert tab.run("progress()").splitlines()[1] == kept
