"""A storm on the practice API: one fault after the other, and what the requests prove about who sent them."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from ..practice_api import Practice
from ..pricing import estimate_cost
from .grading import MESSAGES, text_of

if TYPE_CHECKING:
    from ..practice_api.journal import Exchange

KEY = "sk-ant-practice-0123456789"  # in the program's environment: only keys begin like this
ASKED = 0.4  # seconds of the retry-after that has to be kept
MOST_TRIES = 8  # requests for one question; five retries are six
LONGEST_TIMEOUT = 600.0  # seconds of silence after which a client gives up, as the SDK does by itself
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
"""What can be found, and the lesson that treats it."""
CASES = (
    ("calm", "", {}),
    ("429 with retry-after", "fail_next", {"status": 429, "retry_after": ASKED}),
    ("429 without retry-after", "fail_next", {"status": 429, "retry_after": 0}),
    ("spend cap", "fail_next", {"status": 429, "times": 40, "spend_cap": True}),
    ("500", "fail_next", {"status": 500}),
    ("529 that lasts", "fail_next", {"status": 529, "times": 40, "retry_after": 0.03}),
    ("stream dropped", "break_stream", {"kind": "disconnect"}),
    ("stream truncated", "break_stream", {"kind": "truncate"}),
    ("stream garbled", "break_stream", {"kind": "garble"}),
    ("stream stalled", "break_stream", {"kind": "stall", "seconds": 2}),
    ("context overflow", "fail_next", {"status": 400, "times": 40, "message": "prompt is too long"}),
    ("model retired", "fail_next", {"status": 404, "times": 40}),
    ("wrong key", "fail_next", {"status": 401, "times": 40}),
    ("refusal", "shape", {"kind": "refusal"}),
    ("thinking only", "shape", {"kind": "thinking_only"}),
    ("empty reply", "shape", {"kind": "empty"}),
    ("calm again", "", {}),
)
"""Each case: its name, the control of the practice API that makes it, and what that is given."""
ASKING = {name for name, _, given in CASES if given.get("retry_after")}
"""Those in which the API asks for a wait."""
HOPELESS = {"spend cap", "context overflow", "model retired", "wrong key"}
"""Those in which the same request cannot succeed."""


@dataclass
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
        timeout = float(headers.get("x-stainless-read-timeout", math.inf))
        return "x-stainless-lang" in headers and timeout > LONGEST_TIMEOUT


@dataclass
class Case:
    """A case as it went."""

    name: str
    session: int = 0  # which start of the program it met
    question: str = ""
    requests: list[Request] = field(default_factory=list)
    saw: str = ""  # what the program printed
    end: str | None = None  # "" where the program read on, else "ended" or "hangs"; None until then
    began: float = field(default_factory=time.monotonic)

    @property
    def answered(self) -> bool:
        """Did a whole reply with text come?"""
        return any(request.text for request in self.requests)


class Storm:
    """The cases in their order on `practice`: `begin` starts the next, or each new question `by_question`."""

    def __init__(self, practice: Practice, by_question: bool = True) -> None:
        self.practice, self.by_question, self.left = practice, by_question, list(CASES)
        self.cases: list[Case] = []
        self.skipped = 0.0  # seconds of waiting that were not sat through
        practice.api.keys.add(KEY)
        practice.api.on_request = self._on_request

    def begin(self) -> Case | None:
        """Clear the last case's fault and set the next one's; None after the last case."""
        self.practice.api.faults.reset()
        if not self.left:
            return None
        name, control, given = self.left.pop(0)
        if control:
            getattr(self.practice, control)(**given)
        self.cases.append(Case(name))
        return self.cases[-1]

    def _on_request(self, exchange: Exchange) -> None:
        if exchange.method != "POST" or exchange.path.split("?")[0] != MESSAGES:
            return
        request = Request(exchange, time.monotonic() + self.skipped)
        if self.by_question:
            question = next((text for role, text in request.turns[::-1] if role == "user"), "")
            if not self.cases or question != self.cases[-1].question:
                self.begin()
                self.cases[-1].question = question
        self.cases[-1].requests.append(request)

    def after(self, case: Case) -> Request | None:
        """The first request of the next case in the same session: it shows what was kept in the history."""
        following = self.cases[self.cases.index(case) + 1 :][:1]
        return next((r for each in following if each.session == case.session for r in each.requests), None)

    def findings(self, case: Case) -> dict[str, str]:
        """By name, what this case proves, and how."""
        requests, saw, found = case.requests, case.saw.strip(), {}
        again = len(requests) - len({request.exchange.raw for request in requests})
        waited = requests[1].at - requests[0].at if again else ASKED
        if case.name == "429 with retry-after" and waited < ASKED - 0.03:
            found["retry-after ignored"] = f"asked to wait {ASKED:g} s, it came back sooner"
        if case.name in HOPELESS and again:
            found["non-retryable retried"] = f"the same request {again + 1} times, and none could help"
        if len(requests) > MOST_TRIES:
            found["retry storm"] = f"{len(requests)} requests for one question"
        if case.end == "hangs":
            found["unbounded wait"] = "it did not come back after the API's last answer"
        elif case.name == "stream stalled" and any(request.is_endless for request in requests):
            found["unbounded wait"] = "its client announces no timeout, or one above 10 minutes"
        if re.search(r"sk-ant-\w", saw):
            found["key shown"] = "an API key stands in what it printed"
        if case.end == "ended":
            found["session ended by an error"] = "the program ended"
        cut = case.name.startswith("stream") and not case.answered
        if not case.answered and (kept := self._kept(case, cut)):
            found[kept] = "the next request sent the turn along"
        elif cut and saw and any(r.text != saw and r.text.startswith(saw) for r in self._requests()):
            found["truncated stream accepted"] = "half a reply was given as a whole one"
        if case is self.cases[-1] and (miscounted := self._miscounted(case)):
            found["cost not counted"] = miscounted
        return found

    def _requests(self, session: int | None = None) -> list[Request]:
        return [r for case in self.cases if session in (None, case.session) for r in case.requests]

    def _kept(self, case: Case, cut: bool) -> str:
        """What of a turn without a whole reply the next request still held; "" if nothing that is known."""
        after = self.after(case)
        turns = [*after.turns, ("", "")] if after and case.question else []
        for (role, text), (next_role, answer) in pairwise(turns):
            if role == "user" and case.question in text:
                if next_role != "assistant":
                    return "failed turn left in history"
                half = "truncated stream accepted" if cut else "failed turn left in history"
                return half if answer.strip() else "empty turn stored"
        return ""

    def _miscounted(self, last: Case) -> str:
        """What is wrong with the totals that the last turn printed: replies without text are billed too."""
        requests = self._requests(last.session)
        shown = re.findall(r"\d+(?:\.\d+)?", last.saw.replace(",", ""))
        for place, unit in enumerate(("input tokens", "output tokens", "USD")):
            billed = sum(request.bill[place] for request in requests)
            counted = sum(request.bill[place] for request in requests if request.text)
            for number in shown:
                digits = len(number.partition(".")[2])
                right, wrong = f"{billed:.{digits}f}", f"{counted:.{digits}f}"
                if number == wrong != right and right not in shown:
                    return f"{right} {unit} were billed, and it counts {wrong}"
        return ""
