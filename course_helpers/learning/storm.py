"""A storm on the practice API: one fault after the other, and what the requests prove about who sent them."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from time import monotonic, sleep
from typing import Any
from unittest.mock import patch

from ..formatting import count
from ..practice_api import Practice
from ..practice_api.journal import Exchange
from ..pricing import estimate_cost
from . import sandbox
from .grading import MESSAGES, text_of

KEY = "sk-ant-practice-0123456789"  # in the program's environment: only keys begin like this
PATIENCE = 4.0  # seconds after which a program that does not read on hangs: the longest case takes two
LONGEST_TIMEOUT = 600.0  # seconds, the SDK's own
LONGEST_SLEEP = 0.5  # seconds of each `time.sleep` that are sat through; the rest is counted
ASKED = 0.4  # seconds of the retry-after that has to be kept
MOST_TRIES = 8  # requests for one question; five retries are six
# The cases, each a fault of the practice API's own, as a lesson would set it.
CASES = {
    "calm": lambda practice: None,
    "429 with retry-after": lambda practice: practice.fail_next(429, retry_after=ASKED),
    "429 without retry-after": lambda practice: practice.fail_next(429, retry_after=0),
    "spend cap": lambda practice: practice.fail_next(429, times=40, spend_cap=True),
    "500": lambda practice: practice.fail_next(500),
    "529 that lasts": lambda practice: practice.fail_next(529, times=40, retry_after=0.03),
    "stream dropped": lambda practice: practice.break_stream("disconnect"),
    "stream truncated": lambda practice: practice.break_stream("truncate"),
    "stream garbled": lambda practice: practice.break_stream("garble"),
    "stream stalled": lambda practice: practice.break_stream("stall", seconds=2),
    "context overflow": lambda practice: practice.fail_next(400, times=40),
    "model retired": lambda practice: practice.fail_next(404, times=40),
    "wrong key": lambda practice: practice.fail_next(401, times=40),
    "refusal": lambda practice: practice.shape("refusal"),
    "thinking only": lambda practice: practice.shape("thinking_only"),
    "empty reply": lambda practice: practice.shape("empty"),
    "calm again": lambda practice: None,
}
ASKING = {"429 with retry-after", "529 that lasts"}  # the API asks for a wait
HOPELESS = {"spend cap", "context overflow", "model retired", "wrong key"}  # the same again cannot succeed
# What can be found: the lesson that treats it, and what proves it.
FINDINGS = {
    "retry-after ignored": (6, f"asked to wait {ASKED:g} s, it came back sooner"),
    "non-retryable retried": (6, "the same request {same} times, and none could help"),
    "retry storm": (6, "{requests} requests for one question"),
    "truncated stream accepted": (4, "half a reply was given as a whole one, or kept as one"),
    "empty turn stored": (3, "the next request sent the turn along"),
    "failed turn left in history": (3, "the next request sent the turn along"),
    "unbounded wait": (6, "it did not come back, or its client announces no timeout, or a long one"),
    "key shown": (1, "an API key stands in what it printed"),
    "cost not counted": (5, "the totals leave out replies without text, which are billed too"),
    "session ended by an error": (8, "the program ended"),
}


def _turns(request: Exchange) -> list[tuple[str, str]]:
    """The messages that were sent, as role and text."""
    body = request.body if isinstance(request.body, dict) else {}
    messages = [each for each in body.get("messages") or () if isinstance(each, dict)]
    return [(str(each.get("role")), text_of(each.get("content"))) for each in messages]


def _text(request: Exchange) -> str:
    """The text of the whole reply that it got; "" without one."""
    return text_of((request.reply or {}).get("content")).strip()


def _bill(request: Exchange) -> tuple[int, int, float]:
    """Input tokens, output tokens and USD that were billed for it, as far as the API said."""
    usage = (request.reply or {}).get("usage") or {}
    tokens = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return *tokens, estimate_cost(*tokens, request.body["model"]) if usage else 0.0


@dataclass
class Case:
    """A case as it went, and what that proves."""

    name: str
    question: str
    requests: list[Exchange]
    session: list[Exchange]  # all requests from one start of the program to the next
    saw: str  # what the program printed
    end: str  # it read on, ended, hangs or was stopped: but for the first it was started anew
    after: Exchange | None = None  # the next request of the session: it shows what was kept in the history

    @property
    def answered(self) -> bool:
        """Did a whole reply with text come?"""
        return any(map(_text, self.requests))

    @property
    def kept(self) -> str:
        """The finding about a turn without a whole reply that the next request still held; "" if none."""
        turns = [*_turns(self.after), ("", "")] if self.after and not self.answered else []
        for (role, text), (next_role, answer) in pairwise(turns):
            if role == "user" and self.question in text:
                if next_role == "assistant" and not answer.strip():
                    return "empty turn stored"
                half = next_role == "assistant" and self.name.startswith("stream")
                return "truncated stream accepted" if half else "failed turn left in history"
        return ""

    @cached_property
    def findings(self) -> dict[str, str]:
        """What is proven, by name, and how. To be asked for when the storm is over."""
        requests, saw, kept = self.requests, self.saw.strip(), self.kept
        same = len(requests) - len({request.raw for request in requests}) + 1
        waited = requests[1].at - requests[0].at if same > 1 else ASKED
        cut = self.name.startswith("stream") and not self.answered
        half = cut and saw and any(text != saw and text.startswith(saw) for text in map(_text, self.session))
        by_sdk = [each.headers for each in requests if "x-stainless-lang" in each.headers]
        timeouts = [float(headers.get("x-stainless-read-timeout", "inf")) for headers in by_sdk]
        endless = max(timeouts, default=0) > LONGEST_TIMEOUT
        proven = {
            "retry-after ignored": self.name == "429 with retry-after" and waited < ASKED - 0.03,
            "non-retryable retried": self.name in HOPELESS and same > 1,
            "retry storm": len(requests) > MOST_TRIES,
            "truncated stream accepted": half,
            "unbounded wait": self.end == "hangs" or (endless and self.name == "stream stalled"),
            "key shown": re.search(r"sk-ant-\w", saw),
            "cost not counted": self.end == "read on" and not self.after and self._miscounts(),
            "session ended by an error": self.end == "ended",
            kept: True,  # of what the next request shows
        }
        made = {"same": same, "requests": len(requests)}
        return {name: how.format(**made) for name, (_, how) in FINDINGS.items() if proven.get(name)}

    def _miscounts(self) -> bool:
        """Are the totals that it printed those of the replies with text? All replies are billed."""
        shown = re.findall(r"\d+(?:\.\d+)?", self.saw.replace(",", ""))
        for place in range(3):
            billed = sum(_bill(request)[place] for request in self.session)
            counted = sum(_bill(request)[place] for request in self.session if _text(request))
            for number in shown:
                digits = len(number.partition(".")[2])
                right, wrong = f"{billed:.{digits}f}", f"{counted:.{digits}f}"
                if number == wrong != right and right not in shown:
                    return True
        return False

    def row(self) -> dict[str, Any]:
        """The case in a table. With a finding, each request after the first that got no reply is wasted."""
        lost = [request for request in self.requests if self.findings and not _text(request)]
        return {
            "case": self.name,
            "findings": "; ".join(f"{name}: {how}" for name, how in self.findings.items()),
            "the user saw": sandbox.clean(self.saw, 90),
            "history": "broken" if self.kept else "valid" if self.after else "not seen",
            "requests": len(self.requests),
            "wasted": max(len(lost) - 1, 0),
            "USD wasted": sum(_bill(request)[2] for request in lost),
        }

    def attempts(self) -> Iterator[dict[str, Any]]:
        """Its requests as `charts.plot_attempts` takes them, and its name."""
        for number, (request, following) in enumerate(pairwise([*self.requests, None]), 1):
            lost = {200: "no text", None: "cut off"}.get(request.status, str(request.status))
            yield {
                "case": self.name,
                "attempt": number,
                "started": request.at,
                "seconds": 0.0,
                "outcome": "reply" if _text(request) else lost,
                "wait": following.at - request.at if following else 0.0,
                "asked": self.name in ASKING,
            }


class Storm:
    """The way of `program` through the cases, in their order. It is started anew where it ended."""

    def __init__(self, program: Callable[[], Any], practice: Practice) -> None:
        self.program, self.practice, self.left = program, practice, list(CASES)
        self.cases: list[Case] = []
        self.screen, self.began = sys.stdout, monotonic()
        self.cuts: list[tuple[float, float]] = []  # when, and how many seconds, a wait was cut short
        practice.api.keys.add(KEY)

    def run(self, seconds: float) -> None:
        """Start the program and take it from case to case until it ends, `seconds` at most."""
        self.ran, self.session, self.asked_at = sandbox.Ran(), [], monotonic()
        typed, stdin = self._lines(), io.TextIOBase()
        stdin.readline = lambda *_: next((f"{line}\n" for line in typed), "")  # for who reads without `input`
        with patch.object(sys, "stdin", stdin):
            error = sandbox.run(self.program, typed, seconds=seconds, ran=self.ran).error
        if self.left and isinstance(error, sandbox.TimeUp):
            self._close("hangs" if monotonic() - self.asked_at > PATIENCE else "was stopped")
        elif self.left:
            self.ran.printed += f"{type(error).__name__}: {error}" if error else ""
            self._close("ended")

    def _lines(self) -> Iterator[str]:
        """What to type, one question a case."""
        while self.left:
            CASES[self.left[0]](self.practice)
            self.asked_at = monotonic()
            # A program may read something else first, a system prompt for instance: then it is asked again.
            for _ in range(3):
                self.ran.printed = ""
                yield self._question
                if self._requests:
                    break
            self._close("read on")

    @property
    def _requests(self) -> list[Exchange]:
        """The questions of the case at hand: a program may ask for other things too."""
        journal = self.practice.journal
        return [each for each in journal if each.method == "POST" and each.path.split("?")[0] == MESSAGES]

    @property
    def _question(self) -> str:
        return f"What is a context window? This is question {len(self.cases) + 1}."

    def _close(self, end: str) -> None:
        """Keep what the case came to, clear its fault, and print a line on it."""
        requests = self._requests
        for request in requests:
            request.at += sum(cut for when, cut in self.cuts if when < request.at) - self.began
        if requests and self.session:
            self.cases[-1].after = requests[0]
        self.session += requests
        saw = self.ran.printed.replace(self._question, "")
        case = Case(self.left.pop(0), self._question, requests, self.session, saw, end)
        self.cases.append(case)
        self.practice.reset()
        reply = "a reply" if case.answered else "no reply"
        print(f"{case.name}: {count(len(requests), 'request')}, {reply}", file=self.screen, flush=True)

    def sleep(self, seconds: float, /) -> None:
        """In the place of `time.sleep`: cuts long waits of the program short, and notes what it has cut."""
        cut = max(seconds - LONGEST_SLEEP, 0) if sandbox.is_graded() else 0
        sleep(seconds - cut)
        self.cuts.append((monotonic(), cut))
