"""The report card: a bot goes through a storm, and gets told what it did wrong, with proof."""

from __future__ import annotations

import asyncio
import inspect
import io
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from html import escape
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from ..formatting import count
from ..practice_api import Practice
from . import sandbox
from .redirect import redirected
from .storm import ASKING, KEY, LESSONS, Case, Storm

SESSION_LIMIT, CARD_LIMIT = 12.0, 17.0  # seconds that one start of the bot, and all of them, may take
PATIENCE = 4.0  # seconds after which a bot that does not read on hangs: the longest case takes two


def report_card(bot: Any) -> ReportCard:
    """How `bot` weathers a storm on the practice API: what it did wrong, and which lesson treats it.

    `bot` is a `main` (typed lines in, printed lines out), a function `ask(text)`, or an object with `send`.
    It prints a line a case and takes 20 seconds at most. No request reaches any other server.
    Raises TypeError for anything else.
    """
    program, practice = _program(bot), Practice()
    storm, deadline = Storm(practice), time.monotonic() + CARD_LIMIT
    try:
        with redirected(practice, KEY), patch.object(time, "sleep", storm.sleep):
            while storm.left and (left := deadline - time.monotonic()) > 0:
                _weather(program, storm, min(SESSION_LIMIT, left))
    finally:
        practice.stop()
    return ReportCard(storm.cases)


def storm(practice: Practice) -> Callable[[], str]:
    """A storm for any other program: each new question meets the next fault. The result is the report."""
    storm = Storm(practice, by_question=True)
    return lambda: repr(ReportCard(storm.cases))


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
                said = "".join(stream(text)) if stream else ask(text)
                print(asyncio.run(said) if inspect.iscoroutine(said) else said)
            except Exception as error:  # for a function, raising is a way to say that it failed
                print(f"{type(error).__name__}: {error}")

    return program


def _weather(program: Callable[[], Any], storm: Storm, seconds: float) -> None:
    """Take the program through the cases until it ends, `seconds` at most. Prints a line a case."""
    ran, screen, storm.session = sandbox.Ran(), sys.stdout, []

    def note(end: str) -> None:
        case.saw, case.end = ran.printed.replace(case.question, ""), end
        reply = "a reply" if case.answered else "no reply"
        print(f"{case.name}: {count(len(case.requests), 'request')}, {reply}", file=screen, flush=True)

    def lines() -> Iterator[str]:
        """What to type, one question a case."""
        nonlocal case
        while case:
            # A program may read something else first, a system prompt for instance: then it is asked again.
            for _ in range(3):
                ran.printed = ""
                yield case.question
                if case.requests:
                    break
            note("read on")
            case = storm.begin()

    case, typed, stdin = storm.begin(), lines(), io.TextIOBase()
    stdin.readline = lambda *_: next((f"{line}\n" for line in typed), "")  # for who reads without `input`
    with patch.object(sys, "stdin", stdin):
        sandbox.run(program, typed, seconds=seconds, ran=ran)
    if case and isinstance(ran.error, sandbox.TimeUp):
        note("hangs" if time.monotonic() - case.began > PATIENCE else "was stopped")
    elif case:
        ran.printed += f"{type(ran.error).__name__}: {ran.error}" if ran.error else ""
        note("ended")


class ReportCard:
    """What a storm proved. `cases` is a frame with a row a case; `findings` has, by name, the cases of each.

    `attempts` is a frame of all requests, for `charts.plot_attempts`.
    """

    def __init__(self, cases: list[Case]) -> None:
        import pandas as pd

        found = {case.name: dict(case.findings()) for case in cases}
        self.findings = {name: [case for case, names in found.items() if name in names] for name in LESSONS}
        rows = [_row(case, found[case.name]) for case in cases]
        self.cases = pd.DataFrame(rows or {"case": []}).set_index("case")
        self.attempts = pd.DataFrame(row for case in cases for row in _attempts(case, cases[0].began))

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
        table = re.sub("(?<=[a-z])(?=[A-Z])", "<wbr>", self.cases.to_html())  # errors' long names may break
        return f'<pre style="word-break: normal">{escape(repr(self))}</pre>{table}'


def _row(case: Case, found: dict[str, str]) -> dict[str, Any]:
    """A case for the table. With a finding, each request after the first that got no reply is wasted."""
    lost = [request for request in case.requests if found and not request.text]
    broken = "the next request sent the turn along" in found.values()
    return {
        "case": case.name,
        "findings": "; ".join(f"{name}: {how}" for name, how in found.items()),
        "the user saw": sandbox.clean(case.saw, 90),
        "history": "broken" if broken else "valid" if case.after else "not seen",
        "requests": len(case.requests),
        "wasted": max(len(lost) - 1, 0),
        "USD wasted": sum(request.bill[2] for request in lost),
    }


def _attempts(case: Case, began: float) -> Iterator[dict[str, Any]]:
    """Its requests as `charts.plot_attempts` takes them, and its name."""
    for number, (request, following) in enumerate(pairwise([*case.requests, None]), 1):
        status = request.exchange.status
        yield {
            "case": case.name,
            "attempt": number,
            "started": request.at - began,
            "seconds": 0.0,
            "outcome": "reply" if request.text else "no text" if status == 200 else str(status or "cut off"),
            "wait": following.at - request.at if following else 0.0,
            "asked": case.name in ASKING,
        }
