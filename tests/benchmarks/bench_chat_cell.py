"""The chat cell in JupyterLab: bytes, delay and processor time of a streamed reply, and how fast Stop works.

Beside it, in the same notebook, the same reply drawn anew and sent whole with every token.
"""

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
import ipywidgets
from course_helpers import connect, practice, render
from course_helpers.chat_cell import ChatCell
client = connect({url!r})
"""

RESEND = """
whole, shown = "", ipywidgets.HTML()
display(shown)
with client.messages.stream(
    model="echo", max_tokens=9000, messages=[{{"role": "user", "content": {order!r}}}]
) as pieces:
    for piece in pieces.text_stream:
        whole += piece
        shown.value = render.to_html(whole, style=False)
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


class Measured:
    """What one streamed reply took: `kilobytes`, `delay` (p95, milliseconds) and `cpu` (kernel, seconds)."""

    def __init__(self, lab: Lab, echo: EchoServer, work) -> None:
        lab.page.evaluate("() => { window.seen = []; }")
        before, cpu = lab.received, float(lab.run("time.process_time()"))
        work()
        lab.page.wait_for_timeout(300)
        self.kilobytes = (lab.received - before) / 1000
        self.cpu = float(lab.run("time.process_time()")) - cpu
        seen, at, delays = lab.page.evaluate("() => window.seen"), 0, []
        while seen[at][0] > 100:  # of the reply before
            at += 1
        for number, left in sorted(echo.sent.items()):
            while at < len(seen) and seen[at][0] < number:
                at += 1
            if at < len(seen):
                delays.append(seen[at][1] - left * 1000)
        self.delay = sorted(delays)[int(len(delays) * 0.95)]


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
        try:
            yield from _streams(lab, echo)
            yield from _stops(lab)
            yield _opens(lab)
        finally:
            lab.close()
            browser.close()
            server.stop()
            echo.close()


def _streams(lab: Lab, echo: EchoServer) -> Iterator[Row]:
    lab.received = 0
    lab.page.on("websocket", lambda socket: _count(lab, socket))
    lab.open([SETUP.format(url=echo.url)])
    lab.run_all()
    lab.page.evaluate(WATCH)
    all_again = Measured(lab, echo, lambda: lab.run(RESEND.format(order="say 1500 at 40")))
    chat = ChatPage.make(lab, "cell = ChatCell(model='echo', max_tokens=9000)\ncell")
    lab.page.wait_for_timeout(500)

    def ask(order: str) -> None:
        chat.ask(order, wait=False)
        chat.wait(300)

    ours = Measured(lab, echo, lambda: ask("say 1500 at 40"))
    long = Measured(lab, echo, lambda: ask("say 6000 at 100"))
    unit = f"kB (sending all again: {all_again.kilobytes:,.0f})"
    yield at_most("chat cell, 1,500 tokens over the socket", ours.kilobytes, goal=625, unit=unit)
    yield at_most("chat cell, 6,000 tokens over the socket", long.kilobytes, goal=1320, unit="kB")
    unit = f"ms (sending all again: {all_again.delay:,.0f})"
    yield at_most("chat cell, p95 from server to page, 40/s", ours.delay, goal=50, unit=unit)
    yield at_most("chat cell, p95 from server to page, 100/s", long.delay, goal=60, unit="ms")
    unit = f"s (sending all again: {all_again.cpu / 1.5:.2f})"
    yield at_most("chat cell, kernel CPU per 1,000 tokens", ours.cpu / 1.5, 0.6, unit)
    yield at_most("chat cell, the same in a long reply", long.cpu / 6, goal=0.6, unit="s")


def _count(lab: Lab, socket: WebSocket) -> None:
    if re.search(r"/api/kernels/.*/channels", socket.url):
        socket.on("framereceived", lambda frame: setattr(lab, "received", lab.received + len(frame)))


def _stops(lab: Lab) -> Iterator[Row]:
    """The slowest of five each, from the click until the page offers Send again."""
    lab.run("client = connect()")
    chat = ChatPage.make(lab)
    faults = {
        "before the first piece": ("practice.pace(50, 60)", "Waiting"),
        "between pieces": ("practice.pace(20, 0)", "The reply is coming"),
        "while a retry waits": ("practice.fail_next(529, times=9, retry_after=60)", "before retry"),
    }
    for name, (fault, sign) in faults.items():
        took = []
        for _ in range(5):
            lab.run(f"practice.reset(); {fault};")
            chat.ask("Tell me a very long story about the sea.", wait=False)
            expect(chat.status).to_contain_text(sign)
            lab.page.wait_for_timeout(200)
            took.append(chat.stop())
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
