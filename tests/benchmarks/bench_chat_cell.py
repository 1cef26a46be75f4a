"""The chat cell in JupyterLab: bytes, delay and CPU of a streamed reply, how fast Stop works."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import WebSocket, expect, sync_playwright

from tests.benchmarks import Row, at_most

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest finds the modules of the tests

from browser.chat_page import ChatPage
from browser.lab import CHROMIUM_FLAGS, Lab, Server, find_chromium
from echo_server import EchoServer

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
        const parts = document.querySelectorAll(".course-text");
        const numbers = parts.length ? parts[parts.length - 1].textContent.match(/n(\\d+);/g) : null;
        if (numbers) seen.push([parseInt(numbers[numbers.length - 1].slice(1)),
                                performance.timeOrigin + performance.now()]);
    };
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""

FAULTS = {
    "before the first piece": ("practice.pace(50, 60)", "Waiting"),
    "between pieces": ("practice.pace(20, 0)", "The reply is coming"),
    "while a retry waits": ("practice.fail_next(529, times=9, retry_after=60)", "before retry"),
}


def bench() -> Iterator[Row]:
    """The rows of the chat cell."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("bench_chat_cell needs Chromium: install it, or set COURSE_CHROMIUM to its path.")
    echo = EchoServer()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        server = Server(Path(folder))
        browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        lab = Lab(server, browser)
        lab.received = 0
        lab.page.on("websocket", lambda socket: _count(lab, socket))
        try:
            lab.open([SETUP])
            lab.run_all()
            lab.page.evaluate(WATCH)
            yield from _streams(lab, echo, tokens=1500, pace=40, kilobytes=625, delay=50)
            yield from _streams(lab, echo, tokens=6000, pace=100, kilobytes=1320, delay=60)
            yield from _stops(lab)
            yield _opens(lab)
        finally:
            lab.close()
            browser.close()
            server.stop()
            echo.close()


def _count(lab: Lab, socket: WebSocket) -> None:
    if re.search(r"/api/kernels/.*/channels", socket.url):
        socket.on("framereceived", lambda frame: setattr(lab, "received", lab.received + len(frame)))


def _streams(
    lab: Lab, echo: EchoServer, tokens: int, pace: int, kilobytes: float, delay: float
) -> Iterator[Row]:
    """One streamed reply of so many numbered tokens: what it took, and the goals for that."""
    chat = ChatPage.make(
        lab, f"cell = ChatCell(client=connect({echo.url!r}), model='echo', max_tokens=9000)\ncell"
    )
    lab.page.wait_for_timeout(500)
    lab.page.evaluate("() => { window.seen = []; }")
    before, cpu = lab.received, float(lab.run("time.process_time()"))
    chat.ask(f"say {tokens} at {pace}", wait=False)
    chat.wait(300)
    lab.page.wait_for_timeout(300)
    came, cpu = (lab.received - before) / 1000, float(lab.run("time.process_time()")) - cpu
    seen, at, delays = lab.page.evaluate("() => window.seen"), 0, []
    for number, left in sorted(echo.sent.items()):
        while at < len(seen) and seen[at][0] < number:
            at += 1
        if at < len(seen):
            delays.append(seen[at][1] - left * 1000)
    late, name = sorted(delays)[int(len(delays) * 0.95)], f"chat cell, {tokens:,} tokens at {pace}/s"
    yield at_most(f"{name}: over the socket", came, kilobytes, "kB")
    yield at_most(f"{name}: p95 to page", late, delay, "ms")
    yield at_most(f"{name}: CPU per 1,000", cpu / tokens * 1000, 0.6, "s of the kernel")


def _stops(lab: Lab) -> Iterator[Row]:
    """The slowest of five each, from the click until the page offers Send again."""
    lab.run("client = connect()")
    chat = ChatPage.make(lab)
    for name, (fault, sign) in FAULTS.items():
        took = []
        for _ in range(5):
            lab.run(f"practice.reset(); {fault};")
            chat.ask("Tell me a very long story about the sea.", wait=False)
            expect(chat.status).to_contain_text(sign)
            lab.page.wait_for_timeout(200)
            began = time.monotonic()
            chat.stop()
            took.append(time.monotonic() - began)
        yield at_most(f"chat cell, Stop {name}", max(took), goal=0.3, unit="s, the slowest of five")


def _opens(lab: Lab) -> Row:
    """From the start of the cell until all of 200 turns stand on the page."""
    lab.run("long = ChatCell()\nfor number in range(200): long.chat.send('What is a token?');")
    index = lab.add_cell("long = ChatCell(long.chat)\nlong")
    began = time.monotonic()
    lab.start_cell(index)
    turns = ".jp-Notebook .jp-Cell:last-of-type .course-chat-exchange"
    lab.page.wait_for_function(f"() => document.querySelectorAll('{turns}').length === 200", polling="raf")
    return at_most("chat cell, a chat of 200 turns opens", time.monotonic() - began, goal=1, unit="s")
