"""The report card: a bot goes through a storm, and gets told what it did wrong, with proof."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import textwrap
import time
from collections.abc import Callable
from html import escape
from typing import Any
from unittest.mock import patch

from ..practice_api import Practice
from .sandbox import redirected
from .storm import FINDINGS, KEY, Case, Storm

SESSION_LIMIT, CARD_LIMIT = 12.0, 17.0  # seconds that one start of the bot, and all of them, may take


def report_card(bot: Any) -> ReportCard:
    """How `bot` weathers a storm on the practice API: what it did wrong, and which lesson treats it.

    `bot` is a `main` (typed lines in, printed lines out), a function `ask(text)`, or an object with `send`.
    It prints a line a case and takes 20 seconds at most. No request reaches any other server.
    Raises TypeError for anything else.
    """
    practice, deadline = Practice(), time.monotonic() + CARD_LIMIT
    storm = Storm(_program(bot), practice)
    try:
        with redirected(practice, KEY), patch.object(time, "sleep", storm.sleep):
            while storm.left and (left := deadline - time.monotonic()) > 0:
                storm.run(min(SESSION_LIMIT, left))
    finally:
        practice.stop()
    return ReportCard(storm.cases)


def _program(bot: Any) -> Callable[[], Any]:
    """`bot` as a program that reads lines and prints."""
    bot = bot() if isinstance(bot, type) else bot
    ask, stream = getattr(bot, "send", bot), getattr(bot, "stream", None)
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


class ReportCard:
    """What a storm proved. `findings` has, by name, the cases of each; without any, the card is `clean`.

    `cases` is a frame with a row a case, `attempts` one of all requests, for `charts.plot_attempts`.
    """

    def __init__(self, cases: list[Case]) -> None:
        import pandas as pd

        self.findings = {name: [case.name for case in cases if name in case.findings] for name in FINDINGS}
        self.clean = not any(self.findings.values())
        self.cases = pd.DataFrame([case.row() for case in cases]).set_index("case")
        self.attempts = pd.DataFrame(row for case in cases for row in case.attempts())

    def __repr__(self) -> str:
        seen = sum(map(bool, self.findings.values()))
        lines = [f"Report card: {f'{seen} of {len(FINDINGS)} findings' if seen else 'clean'}"]
        for name, cases in self.findings.items():
            where = f"{', '.join(cases)} (lesson {FINDINGS[name][0]})" if cases else "not seen"
            line = f"{'✗' if cases else '·'} {name}: {where}"
            lines.append(textwrap.fill(line, 88, subsequent_indent="    "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = re.sub("(?<=[a-z])(?=[A-Z])", "<wbr>", self.cases.to_html())  # errors' long names may break
        return f'<pre style="word-break: normal">{escape(repr(self))}</pre>{table}'
