"""The chat cell in JupyterLab: bytes, delay and processor time of a streamed reply, how fast Stop works."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.benchmarks import Row
from tests.scripted_server import EchoServer

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest finds the modules of the tests

from browser.chat_page import ChatPage
from browser.lab import CHROMIUM_FLAGS, Lab, Server, find_chromium

SETUP = """
import time
from course_helpers import connect, practice
from course_helpers.chat_cell import ChatCell
client = connect()
"""

# Notes when the highest token number was first to be read on the page.
WATCH = """() => {
    window.seen = [];
    const look = () => {
        const numbers = [...document.querySelectorAll(".course-text")].at(-1)?.textContent.match(/n\\d+;/g);
        const now = performance.timeOrigin + performance.now();
        if (numbers) seen.push([parseInt(numbers.at(-1).slice(1)), now]);
    };
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


STOP = """button => new Promise(done => {
    const began = performance.now(), look = () =>
        button.textContent === "Send" ? done(performance.now() - began) : requestAnimationFrame(look);
    button.click();
    look();
})"""


def bench() -> Iterator[Row]:
    """The rows of the chat cell."""
    came: list = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver, ExitStack() as ends:
        echo, server = ends.enter_context(EchoServer()), Server(Path(folder))
        browser = driver.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        lab = Lab(server, browser)
        for end in (server.close, browser.close, lab.close):  # the last first
            ends.callback(end)
        lab.page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: came.append(frame)))
        lab.open(SETUP)
        lab.run_all()
        yield from _streams(lab, echo, came, 1_500, pace=40, goals=(625, 50))
        yield from _streams(lab, echo, came, 6_000, pace=100, goals=(1_320, 60))
        yield _stops(lab)
        yield _opens(lab)


def _streams(lab: Lab, echo: EchoServer, came: list, tokens: int, pace: int, goals: tuple) -> Iterator[Row]:
    """A reply of numbered tokens, so many a second; `goals` are kB and milliseconds."""
    lab.run(f"connect({echo.url!r})")
    chat = ChatPage.make(lab, "cell = ChatCell(model='echo', max_tokens=9000)\ncell")
    lab.page.evaluate(WATCH)
    received, cpu = sum(map(len, came)), float(lab.run("time.process_time()"))
    chat.ask(f"say {tokens} at {pace}", wait=False)
    chat.wait(300)
    lab.page.wait_for_timeout(300)
    received, cpu = sum(map(len, came)) - received, float(lab.run("time.process_time()")) - cpu
    seen, delays = iter(lab.page.evaluate("() => window.seen")), []
    highest, at = next(seen)
    for number, left in sorted(echo.sent.items()):
        while highest < number:
            highest, at = next(seen)
        delays.append(at - left * 1000)
    late, name = sorted(delays)[int(len(delays) * 0.95)], f"chat cell, {tokens:,} tokens at {pace}/s"
    yield Row(f"{name}: over the socket", received / 1000, goals[0], "kB")
    yield Row(f"{name}: p95 to page", late, goals[1], "ms")
    yield Row(f"{name}: CPU per 1,000", cpu / tokens * 1000, 0.6, "s of the kernel")


def _stops(lab: Lab) -> Row:
    """From the click until the page offers Send again."""
    lab.run("client = connect(); practice.pace(20, 0)")
    chat, took = ChatPage.make(lab), []
    for _ in range(5):
        chat.ask("Tell me a very long story about the sea.", wait=False)
        chat.until(lambda: "is coming" in chat.status.inner_text())
        took.append(chat.main.evaluate(STOP))
    return Row("chat cell, Stop", max(took) / 1000, goal=0.3, unit="s, the slowest of five")


def _opens(lab: Lab) -> Row:
    """From the start of the cell until all of 200 turns stand on the page."""
    lab.run("practice.reset(); long = ChatCell()\nfor _ in range(200): long.chat.send('What is a token?');")
    index = lab.add_cell("long = ChatCell(long.chat)\nlong")
    began = time.monotonic()
    lab.run_cell(index, wait=False)
    turns = ".jp-Notebook .jp-Cell:last-of-type .course-chat-exchange"
    lab.page.wait_for_function(f"() => document.querySelectorAll('{turns}').length === 200", polling="raf")
    return Row("chat cell, a chat of 200 turns opens", time.monotonic() - began, goal=1, unit="s")
