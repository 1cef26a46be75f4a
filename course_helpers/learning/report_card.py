"""The report card: a bot goes through a storm, and gets told what it did wrong, with proof."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any
from unittest.mock import patch

from ..formatting import count
from ..practice_api import Practice
from . import sandbox
from .redirect import is_graded, others_have_ended, redirected
from .storm import ASKING, KEY, LESSONS, Case, Storm

SESSION_LIMIT, CARD_LIMIT = 12.0, 17.0  # seconds that one start of the bot, and all of them, may take
PATIENCE = 4.0  # seconds after which a bot that does not read on hangs: the longest case takes two
LONGEST_SLEEP = 0.5  # seconds of each `time.sleep` that are sat through; the rest is counted


def report_card(bot: Any) -> ReportCard:
    """How `bot` weathers a storm on the practice API: what it did wrong, and which lesson treats it.

    `bot` is a `main` (typed lines in, printed lines out), a function `ask(text)`, or an object with `send`.
    It prints a line a case and takes 20 seconds at most. No request reaches any other server.
    Raises TypeError for anything else, RuntimeError while another call of this process is under way.
    """
    program, practice = _program(bot), Practice()
    if not others_have_ended(2):
        raise RuntimeError("Another call is under way, of a chat for instance: wait for it, then try again.")
    storm = Storm(practice, by_question=False)
    try:
        with redirected(practice, KEY), patch.object(time, "sleep", _short_sleep(storm)):
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

    def answer(text: str) -> Any:
        if stream is not None:
            with contextlib.closing(stream(text)) as pieces:
                return "".join(pieces)
        said = ask(text)
        if not inspect.iscoroutine(said):
            return said
        with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop that runs already
            return thread.submit(asyncio.run, said).result()

    def program() -> None:
        while text := sys.stdin.readline().strip():
            try:
                print(answer(text))
            except Exception as error:  # for a function, raising is a way to say that it failed
                print(f"{type(error).__name__}: {error}")

    return program


def _weather(program: Callable[[], Any], storm: Storm) -> None:
    """Take the program through all cases, starting it anew wherever it ended. Prints a line a case."""
    began, session, screen = time.monotonic(), 0, sys.stdout

    def note(case: Case, saw: str, end: str) -> None:
        case.saw, case.end = saw.replace(case.question, ""), end
        reply = "a reply" if case.answered else "no reply"
        print(f"{case.name}: {count(len(case.requests), 'request')}, {reply}", file=screen, flush=True)

    def lines() -> Iterator[str]:
        """What to type, one question a case; between them it notes what came of the last."""
        while case := storm.begin():
            case.session = session
            case.question = f"What is a context window? This is question {len(storm.cases)}."
            # A program may read something else first, a system prompt for instance: then it is asked again.
            for _ in range(3):
                printed.text = ""
                yield case.question
                if case.requests:
                    break
            note(case, printed.text, "")

    while storm.left and (left := CARD_LIMIT - (time.monotonic() - began)) > 0:
        session, printed, before, typed = session + 1, sandbox.Printed(), len(storm.cases), lines()
        with patch.object(sys, "stdin", _Typed(typed)):
            ran = sandbox.run(program, typed, min(SESSION_LIMIT, left), printed=printed)
        case = storm.cases[-1] if len(storm.cases) > before else storm.begin()  # it read not a single line
        if case.end is None:
            error = "" if ran.error is None else f"{type(ran.error).__name__}: {ran.error}"
            hangs = "hangs" if time.monotonic() - case.began > PATIENCE else ""
            note(case, printed.text + error, hangs if isinstance(ran.error, sandbox.TimeUp) else "ended")


class _Typed(io.TextIOBase):
    """A stdin for programs that read it without `input`."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.readline = lambda *_: next((f"{line}\n" for line in lines), "")


def _short_sleep(storm: Storm) -> Callable[[float], None]:
    """A sleep that cuts long ones of the bot short, and counts what it has cut."""
    real = time.sleep

    def sleep(seconds: float, /) -> None:
        if is_graded() and seconds > LONGEST_SLEEP:
            storm.skipped += seconds - LONGEST_SLEEP
            seconds = LONGEST_SLEEP
        real(seconds)

    return sleep


class ReportCard:
    """What a storm proved. `cases` is a frame with a row a case; `findings` has, by name, the cases of each.

    `attempts` is a frame of all requests, for `charts.plot_attempts`.
    """

    def __init__(self, storm: Storm) -> None:
        import pandas as pd

        found = {case.name: storm.findings(case) for case in storm.cases}
        self.findings = {name: [case for case, names in found.items() if name in names] for name in LESSONS}
        rows = [_row(storm, case, found[case.name]) for case in storm.cases]
        self.cases = pd.DataFrame(rows or {"case": []}).set_index("case")
        self.attempts = pd.DataFrame(row for case in storm.cases for row in _attempts(case, storm))

    @property
    def clean(self) -> bool:
        """Is there no finding?"""
        return not any(self.findings.values())

    def __repr__(self) -> str:
        seen = sum(map(bool, self.findings.values()))
        lines = [f"Report card: {f'{seen} of {len(LESSONS)} findings' if seen else 'clean'}"]
        for name, cases in self.findings.items():
            where = f"{', '.join(cases)} (lesson {LESSONS[name]})" if cases else "not seen"
            line = f"{'✗' if cases else '·'} {name}: {where}"
            lines.append(textwrap.fill(line, 88, subsequent_indent="    "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.cases.drop(columns="lessons").to_html()  # which stand above, beside the findings
        table = re.sub("(?<=[a-z])(?=[A-Z])", "<wbr>", table)  # long names of errors may break
        return f"<pre>{escape(repr(self))}</pre>{table}"


def _row(storm: Storm, case: Case, found: dict[str, str]) -> dict[str, Any]:
    """A case for the table. With a finding, each request after the first that got no reply is wasted."""
    lost = [request for request in case.requests if found and not request.text]
    broken = "the next request sent the turn along" in found.values()
    return {
        "case": case.name,
        "findings": "; ".join(f"{name}: {how}" for name, how in found.items()),
        "the user saw": sandbox.clean(case.saw, 90),
        "history": "broken" if broken else "valid" if storm.after(case) else "not seen",
        "requests": len(case.requests),
        "wasted": max(len(lost) - 1, 0),
        "USD wasted": sum(request.bill[2] for request in lost),
        "lessons": ", ".join(sorted({str(LESSONS[name]) for name in found})),
    }


def _attempts(case: Case, storm: Storm) -> Iterator[dict[str, Any]]:
    """Its requests as `charts.plot_attempts` takes them, and its name."""
    for number, request in enumerate(case.requests, 1):
        at, status = request.at, request.exchange.status
        yield {
            "case": case.name,
            "attempt": number,
            "started": at - storm.cases[0].began,
            "seconds": 0.0,
            "outcome": "reply" if request.text else "no text" if status == 200 else str(status or "cut off"),
            "wait": case.requests[number].at - at if case.requests[number:] else 0.0,
            "asked": case.name in ASKING,
        }
