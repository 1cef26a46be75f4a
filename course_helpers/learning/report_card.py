"""The report card: a bot goes through a storm, and gets told what it did wrong, with proof."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import io
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

import anthropic

from ..formatting import count
from ..practice_api import PRACTICE_KEY, Practice
from . import sandbox
from .redirect import others_have_ended, redirected
from .storm import HISTORY, KEY, LESSONS, Met, Storm

SESSION_LIMIT, CARD_LIMIT = 10.0, 17.0  # seconds that one start of the bot, and all of them, may take
PATIENCE = 4.0  # seconds after which a bot that does not read on hangs: the longest case takes two
LONGEST_SLEEP = 0.5  # seconds of each `time.sleep` that are sat through; the rest is counted


def report_card(bot: Any) -> ReportCard:
    """How `bot` weathers a storm on the practice API: what it did wrong, and which lesson treats it.

    `bot` is a `main` (typed lines in, printed lines out), a function `ask(text)`, or an object with `send`.
    It prints a line a case and takes 20 seconds at most. No request reaches any other server.
    Raises TypeError for anything else, RuntimeError while another call of this process is under way.
    """
    program = _program(bot)
    if not others_have_ended(2):
        raise RuntimeError("Another call is under way, of a chat for instance: wait for it, then try again.")
    practice = Practice()
    storm = Storm(practice, by_question=False)
    clients = [each for each in gc.get_objects() if issubclass(type(each), anthropic.Anthropic)]
    storm.secrets |= {each.api_key for each in clients if len(each.api_key or "") > len(PRACTICE_KEY)}
    try:
        with redirected(practice.url, KEY), _in_place(storm):
            _weather(program, storm)
    finally:
        practice.stop()
    return ReportCard(storm)


def storm(practice: Practice) -> Callable[[], str]:
    """A storm for any other program: each new question meets the next fault. The result is the report."""
    storm = Storm(practice)
    return lambda: repr(ReportCard(storm))


def _program(bot: Any) -> Callable[[], Any]:
    """`bot` as a program that reads lines and prints."""
    bot = bot() if isinstance(bot, type) else bot
    ask, stream = getattr(bot, "send", bot), getattr(bot, "stream", None)
    if not callable(ask):
        raise TypeError("report_card takes a main(), a function ask(text) or an object with send(text).")
    given = inspect.signature(ask).parameters.values()
    if ask is bot and not any(p.default is p.empty and p.kind < p.VAR_POSITIONAL for p in given):
        return bot

    def program() -> None:
        while text := sys.stdin.readline().strip():
            try:
                if stream is None:
                    print(_awaited(ask(text)))
                else:
                    with contextlib.closing(stream(text)) as pieces:
                        print(*pieces, sep="")
            except Exception as error:  # for a function, raising is a way to say that it failed
                print(f"{type(error).__name__}: {error}")

    return program


def _awaited(answer: Any) -> Any:
    if not inspect.iscoroutine(answer):
        return answer
    with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop that runs already
        return thread.submit(asyncio.run, answer).result()


def _weather(program: Callable[[], Any], storm: Storm) -> None:
    """Take the program through all cases, starting it anew wherever it ended. Prints a line a case."""
    began, session, screen = time.monotonic(), 0, sys.stdout
    while len(storm.met) < len(storm.cases) and (left := CARD_LIMIT - (time.monotonic() - began)) > 0:
        session, printed, before = session + 1, sandbox.Printed(), len(storm.met)
        lines = _lines(storm, session, printed, screen)
        ran = sandbox.run(program, lines, min(SESSION_LIMIT, left), printed=printed)
        if len(storm.met) == before:  # it did not read a single line
            storm.begin()
        met = storm.met[-1]
        if met.end is None:
            error = "" if ran.error is None else f"{type(ran.error).__name__}: {ran.error}"
            hangs = time.monotonic() - met.began > PATIENCE
            end = "ended" if not isinstance(ran.error, sandbox.TimeUp) else "hangs" if hangs else ""
            _came_back(met, printed.text + error, end, screen)


def _lines(storm: Storm, session: int, printed: sandbox.Printed, screen: Any) -> Iterator[str]:
    """The lines to type, one question a case; between them it looks at what came of the last."""
    while met := storm.begin():
        met.session = session
        met.question = f"What is a context window? This is question {len(storm.met)}."
        # A program may read something else first, a system prompt for instance: then it is asked again.
        for _ in range(3):
            printed.text = ""
            yield met.question
            if met.requests:
                break
        _came_back(met, printed.text, "", screen)


def _came_back(met: Met, saw: str, end: str, screen: Any) -> None:
    met.saw, met.end = saw.replace(met.question, ""), end
    reply = "a reply" if met.answered else "no reply"
    print(f"{met.case.name}: {count(len(met.requests), 'request')}, {reply}", file=screen, flush=True)


@contextlib.contextmanager
def _in_place(storm: Storm) -> Iterator[None]:
    """Within the block, long sleeps of this thread are cut short and counted, and stdin is what is typed."""
    real_sleep, real_stdin, thread = time.sleep, sys.stdin, threading.current_thread()

    def sleep(seconds: float, /) -> None:
        if threading.current_thread() is thread and seconds > LONGEST_SLEEP:
            storm.skipped += seconds - LONGEST_SLEEP
            seconds = LONGEST_SLEEP
        real_sleep(seconds)

    time.sleep, sys.stdin = sleep, _Typed()
    try:
        yield
    finally:
        time.sleep, sys.stdin = real_sleep, real_stdin


class _Typed(io.TextIOBase):
    """A stdin for programs that read it without `input`."""

    def readline(self, _size: int = -1) -> str:
        try:
            return input() + "\n"
        except EOFError:
            return ""


class ReportCard:
    """What a storm proved. `cases` is a frame with a row a case; `findings` has, by name, the cases of each.

    `attempts` is a frame of all requests, for `charts.plot_attempts`.
    """

    def __init__(self, storm: Storm) -> None:
        import pandas as pd

        found = {met.case.name: storm.findings(met) for met in storm.met}
        self.findings = {name: [case for case, names in found.items() if name in names] for name in LESSONS}
        self.cases = pd.DataFrame(_row(storm, met) for met in storm.met).set_index("case")
        self.attempts = pd.DataFrame(
            _attempt(storm, met, number) for met in storm.met for number in range(len(met.requests))
        )

    @property
    def clean(self) -> bool:
        """Is there no finding?"""
        return not any(self.findings.values())

    def __repr__(self) -> str:
        seen = sum(map(bool, self.findings.values()))
        lines = ["Report card: clean" if self.clean else f"Report card: {seen} of {len(LESSONS)} findings"]
        for name, cases in self.findings.items():
            where = f"{', '.join(cases)} (lesson {LESSONS[name]})" if cases else "not seen"
            lines.append(
                textwrap.fill(f"{'✗' if cases else '·'} {name}: {where}", 88, subsequent_indent="    ")
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>{self.cases.to_html()}"


def _row(storm: Storm, met: Met) -> dict[str, Any]:
    """A case for the table. With a finding, each request after the first that got no reply is wasted."""
    found = storm.findings(met)
    lost = [request for request in met.requests if found and not request.text]
    history = "broken" if found.keys() & HISTORY else "valid" if storm.after(met) else "not seen"
    return {
        "case": met.case.name,
        "findings": "; ".join(f"{name}: {how}" for name, how in found.items()),
        "the user saw": sandbox.clean(met.saw, 90),
        "history": history,
        "requests": len(met.requests),
        "wasted": max(len(lost) - 1, 0),
        "USD wasted": sum(request.bill[2] for request in lost),
        "lessons": ", ".join(sorted({str(LESSONS[name]) for name in found})),
    }


def _attempt(storm: Storm, met: Met, number: int) -> dict[str, Any]:
    """A request as `charts.plot_attempts` takes it, and the case it belongs to."""
    request, following = met.requests[number], met.requests[number + 1 : number + 2]
    status = request.exchange.status
    return {
        "case": met.case.name,
        "attempt": number + 1,
        "started": request.at - storm.began,
        "seconds": 0.0,
        "outcome": "reply" if request.text else "no text" if status == 200 else str(status or "cut off"),
        "wait": following[0].at - request.at if following else 0.0,
        "asked": "retry_after" in met.case.named,
    }
