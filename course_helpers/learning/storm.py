"""A storm on the practice API: one fault after the other, and what the requests prove about who sent them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic, sleep

from ..practice_api import Practice
from ..practice_api.journal import Exchange
from ..pricing import estimate_cost
from .grading import MESSAGES, text_of
from .redirect import is_graded

KEY = "sk-ant-practice-0123456789"  # in the program's environment: only keys begin like this
ASKED = 0.4  # seconds of the retry-after that has to be kept
MOST_TRIES = 8  # requests for one question; five retries are six
LONGEST_SLEEP = 0.5  # seconds of each `time.sleep` that are sat through; the rest is counted
LONGEST_TIMEOUT = 600.0  # seconds of silence after which a client gives up, as the SDK does by itself
# What can be found, and the lesson that treats it.
LESSONS = {
    "retry-after ignored": 6,
    "non-retryable retried": 6,
    "retry storm": 6,
    "truncated stream accepted": 4,
    "empty turn stored": 3,
    "failed turn left in history": 3,
    "unbounded wait": 6,
    "key shown": 1,
    "cost not counted": 5,
    "session ended by an error": 8,
}
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


@dataclass(eq=False)
class Request:
    """A request for a reply, and when it came, in seconds of the storm's clock."""

    exchange: Exchange
    at: float

    @property
    def turns(self) -> list[tuple[str, str]]:
        """The messages that were sent, as role and text."""
        body = self.exchange.body if isinstance(self.exchange.body, dict) else {}
        messages = [each for each in body.get("messages") or () if isinstance(each, dict)]
        return [(str(each.get("role")), text_of(each.get("content"))) for each in messages]

    @property
    def text(self) -> str:
        """The text of the whole reply that it got; "" without one."""
        return text_of((self.exchange.reply or {}).get("content")).strip()

    @property
    def bill(self) -> tuple[int, int, float]:
        """Input tokens, output tokens and USD that were billed for it, as far as the API said."""
        usage = (self.exchange.reply or {}).get("usage") or {}
        tokens = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
        return *tokens, estimate_cost(*tokens, self.exchange.body["model"]) if usage else 0.0

    @property
    def is_endless(self) -> bool:
        """Does an SDK's client announce no timeout for reading, or a longer one than the SDK's own?"""
        headers = self.exchange.headers
        announced = float(headers.get("x-stainless-read-timeout", "inf"))
        return "x-stainless-lang" in headers and announced > LONGEST_TIMEOUT


@dataclass
class Case:
    """A case as it went, and what that proves."""

    name: str
    question: str
    session: list[Request]  # all requests from one start of the program to the next
    requests: list[Request] = field(default_factory=list)
    saw: str = ""  # what the program printed
    end: str = "read on"  # or it ended, hangs or was stopped: then it was started anew
    began: float = field(default_factory=monotonic)

    @property
    def answered(self) -> bool:
        """Did a whole reply with text come?"""
        return any(request.text for request in self.requests)

    @property
    def after(self) -> Request | None:
        """The next request of the session: it shows what was kept in the history."""
        following = self.session[self.session.index(self.requests[-1]) + 1 :] if self.requests else []
        return following[0] if following else None

    def findings(self) -> Iterator[tuple[str, str]]:
        """What is proven, by name, and how."""
        requests, saw = self.requests, self.saw.strip()
        again = len(requests) - len({request.exchange.raw for request in requests})
        waited = requests[1].at - requests[0].at if again else ASKED
        if self.name == "429 with retry-after" and waited < ASKED - 0.03:
            yield "retry-after ignored", f"asked to wait {ASKED:g} s, it came back sooner"
        if self.name in HOPELESS and again:
            yield "non-retryable retried", f"the same request {again + 1} times, and none could help"
        if len(requests) > MOST_TRIES:
            yield "retry storm", f"{len(requests)} requests for one question"
        if self.end == "hangs":
            yield "unbounded wait", "it did not come back after the API's last answer"
        elif self.name == "stream stalled" and any(request.is_endless for request in requests):
            yield "unbounded wait", "its client announces no timeout, or one above 10 minutes"
        if re.search(r"sk-ant-\w", saw):
            yield "key shown", "an API key stands in what it printed"
        if self.end == "ended":
            yield "session ended by an error", "the program ended"
        cut = self.name.startswith("stream") and not self.answered
        if not self.answered and (kept := self._kept(cut)):
            yield kept, "the next request sent the turn along"
        elif cut and saw and any(r.text != saw and r.text.startswith(saw) for r in self.session):
            yield "truncated stream accepted", "half a reply was given as a whole one"
        if self.end == "read on" and not self.after and (miscounted := self._miscounted()):
            yield "cost not counted", miscounted

    def _kept(self, cut: bool) -> str:
        """What of a turn without a whole reply the next request still held; "" if nothing that is known."""
        turns = [*self.after.turns, ("", "")] if self.after else []
        for (role, text), (next_role, answer) in pairwise(turns):
            if role == "user" and self.question in text:
                if next_role == "assistant" and not answer.strip():
                    return "empty turn stored"
                half = cut and next_role == "assistant"
                return "truncated stream accepted" if half else "failed turn left in history"
        return ""

    def _miscounted(self) -> str:
        """What is wrong with the totals that were printed: replies without text are billed too."""
        shown = re.findall(r"\d+(?:\.\d+)?", self.saw.replace(",", ""))
        for place, unit in enumerate(("input tokens", "output tokens", "USD")):
            billed = sum(request.bill[place] for request in self.session)
            counted = sum(request.bill[place] for request in self.session if request.text)
            for number in shown:
                digits = len(number.partition(".")[2])
                right, wrong = f"{billed:.{digits}f}", f"{counted:.{digits}f}"
                if number == wrong != right and right not in shown:
                    return f"{right} {unit} were billed, and it counts {wrong}"
        return ""


class Storm:
    """The cases in their order on `practice`: `begin` starts the next, or each new question `by_question`."""

    def __init__(self, practice: Practice, by_question: bool = False) -> None:
        self.practice, self.by_question, self.left = practice, by_question, list(CASES.items())
        self.cases: list[Case] = []
        self.session: list[Request] = []
        self.skipped = 0.0  # seconds of waiting that were not sat through
        practice.api.keys.add(KEY)
        practice.api.on_request = self._on_request

    def begin(self, question: str = "") -> Case | None:
        """Clear the last case's fault and set the next one's, for `question`; None after the last case."""
        self.practice.api.faults.reset()
        if not self.left:
            return None
        name, set_fault = self.left.pop(0)
        set_fault(self.practice)
        question = question or f"What is a context window? This is question {len(self.cases) + 1}."
        self.cases.append(Case(name, question, self.session))
        return self.cases[-1]

    def _on_request(self, exchange: Exchange) -> None:
        if exchange.method != "POST" or exchange.path.split("?")[0] != MESSAGES:
            return
        request = Request(exchange, monotonic() + self.skipped)
        question = next((text for role, text in request.turns[::-1] if role == "user"), "")
        if self.by_question and (not self.cases or question != self.cases[-1].question):
            self.begin(question)
        self.cases[-1].requests.append(request)
        self.session.append(request)

    def sleep(self, seconds: float, /) -> None:
        """In the place of `time.sleep`: cuts long waits of the bot short, and counts what it has cut."""
        cut = max(seconds - LONGEST_SLEEP, 0) if is_graded() else 0
        self.skipped += cut
        sleep(seconds - cut)
