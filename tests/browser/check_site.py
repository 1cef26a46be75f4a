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


@pytest.mark.timeout(600)
def test_lesson_1_in_a_browser_tab(chromium):
    """It runs from top to bottom, an exercise is graded, a quiz answered, and both survive a reload."""
    files = functools.partial(SimpleHTTPRequestHandler, directory=site.SITE)  # as any web server would
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.address = lambda name: f"{server.url}/lab/index.html?path={name}"
        tab = Lab(server, chromium)
        tab.name = "notebooks/01_raw_call.ipynb"
        tab.page.set_default_timeout(180_000)
        tab.reload()
        assert tab.run_all(), tab.errors()
        assert not tab.strangers
        outputs = (output for cell in tab.notebook()["cells"] for output in cell.get("outputs", ()))
        assert not [output for output in outputs if output.get("name") == "stderr"]

        tab.run(ASK)
        assert "1.1 · Ask · passed" in tab.run("exercise('ask')")
        number = tab.show("quiz('raw_call')")
        for group in tab.cell(number).locator(".course-quiz-group").all():
            group.locator("label").first.click()
        tab.cell(number).get_by_text("Check my answers").click()
        box = tab.cell(number).locator(".course-quiz")
        expect(box).to_contain_text("answered correctly", timeout=30_000)

        kept = tab.run("progress()").splitlines()[1]
        assert "1 of 2" in kept
        tab.reload()
        tab.run_cell(1)
        assert tab.run("progress()").splitlines()[1] == kept
        tab.context.close()
        server.shutdown()
