"""A storm on the practice API: one fault after the other, and what the requests prove about who sent them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..models import DEFAULT_MODEL
from ..practice_api import Practice
from ..pricing import estimate_cost
from .grading import text_of

if TYPE_CHECKING:
    from ..practice_api.faults import Control
    from ..practice_api.journal import Exchange

KEY = "sk-ant-practice-0123456789"  # in the program's environment; no other text looks like it
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
HISTORY = {"truncated stream accepted", "empty turn stored", "failed turn left in history"}


@dataclass(frozen=True)
class Case:
    """One fault: its name, the control and its arguments; `final` where the same request cannot succeed."""

    name: str
    control: str = ""
    given: tuple = ()
    named: dict[str, Any] = field(default_factory=dict)
    final: bool = False


TOO_LONG = "prompt is too long: 1000001 tokens > 1000000 maximum"
CASES = (
    Case("calm"),
    Case("429 with retry-after", "fail_next", (429,), {"retry_after": ASKED}),
    Case("429 without retry-after", "fail_next", (429,), {"retry_after": 0}),
    Case("spend cap", "fail_next", (429, 40), {"spend_cap": True}, final=True),
    Case("500", "fail_next", (500,)),
    Case("529 that lasts", "fail_next", (529, 40), {"retry_after": 0.03}),
    Case("stream dropped", "break_stream", ("disconnect",)),
    Case("stream truncated", "break_stream", ("truncate",)),
    Case("stream garbled", "break_stream", ("garble",)),
    Case("stream stalled", "break_stream", ("stall",), {"seconds": 2}),
    Case("context overflow", "fail_next", (400, 40), {"message": TOO_LONG}, final=True),
    Case("model retired", "retire", final=True),
    Case("wrong key", "fail_next", (401, 40), {"message": "invalid x-api-key"}, final=True),
    Case("refusal", "shape", ("refusal",)),
    Case("thinking only", "shape", ("thinking_only",)),
    Case("empty reply", "shape", ("empty",)),
    Case("calm again"),
)


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
        answered = self.exchange.reply if self.exchange.status == 200 else None
        return text_of((answered or {}).get("content")).strip()

    @property
    def bill(self) -> tuple[int, int, float]:
        """Input tokens, output tokens and USD that were billed for it, as far as the API said."""
        usage = (self.exchange.reply or {}).get("usage")
        tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)
        return (*tokens, estimate_cost(*tokens, self.exchange.body["model"]) if usage else 0.0)


@dataclass
class Met:
    """A case as it went."""

    case: Case
    question: str = ""
    session: int = 0  # which start of the program this was
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
        self.practice, self.by_question, self.cases = practice, by_question, CASES
        self.met: list[Met] = []
        self.began, self.skipped = time.monotonic(), 0.0  # seconds of waiting that were not sat through
        self.secrets = {KEY}
        self._control: Control | None = None
        practice.api.keys.add(KEY)
        practice.api.on_request = self._on_request

    def begin(self) -> Met | None:
        """Clear the last case's fault and set the next one's; None after the last case."""
        if self._control is not None:
            self._control.clear()
        if len(self.met) == len(self.cases):
            return None
        case = self.cases[len(self.met)]
        used = [r.exchange.body["model"] for met in self.met for r in met.requests if r.text]
        given = (used[-1] if used else DEFAULT_MODEL,) if case.control == "retire" else case.given
        self._control = getattr(self.practice, case.control)(*given, **case.named) if case.control else None
        self.met.append(Met(case))
        return self.met[-1]

    def _on_request(self, exchange: Exchange) -> None:
        if exchange.method != "POST" or exchange.path.split("?")[0] != "/v1/messages":
            return
        request = Request(exchange, time.monotonic() + self.skipped)
        if self.by_question:
            question = next((text for role, text in request.turns[::-1] if role == "user"), "")
            if not self.met or question != self.met[-1].question:
                self.begin()
                self.met[-1].question = question
        self.met[-1].requests.append(request)

    def after(self, met: Met) -> Request | None:
        """The first request of the next case in the same session: it shows what was kept in the history."""
        following = self.met[self.met.index(met) + 1 :][:1]
        return next((r for each in following if each.session == met.session for r in each.requests), None)

    def findings(self, met: Met) -> dict[str, str]:
        """By name, what this case proves, and how."""
        case, requests, found = met.case, met.requests, {}
        again = len(requests) - len({request.exchange.raw for request in requests})
        gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
        if case.named.get("retry_after") == ASKED and gaps and gaps[0] < ASKED - 0.03:
            found["retry-after ignored"] = f"asked to wait {ASKED:g} s, it came back sooner"
        if case.final and again:
            found["non-retryable retried"] = f"the same request {again + 1} times, and none could help"
        if len(requests) > MOST_TRIES:
            found["retry storm"] = f"{len(requests)} requests for one question"
        if met.end == "hangs":
            found["unbounded wait"] = "it did not come back after the API's last answer"
        elif case.given == ("stall",) and any(map(_endless, requests)):
            found["unbounded wait"] = "its client announces no timeout, or one above 10 minutes"
        if any(key in met.saw for key in self.secrets):
            found["key shown"] = "the API key stands in what it printed"
        if met.end == "ended":
            found["session ended by an error"] = "the program ended"
        if not met.answered and (kept := self._kept(met)):
            found[kept] = "the next request sent the turn along"
        elif not met.answered and case.control == "break_stream" and self._is_half(met.saw.strip()):
            found["truncated stream accepted"] = "half a reply was given as a whole one"
        if met is self.met[-1] and (miscounted := self._miscounted(met)):
            found["cost not counted"] = miscounted
        return found

    def _kept(self, met: Met) -> str:
        """What of a turn without a whole reply the next request still held; "" if nothing that is known."""
        after = self.after(met)
        turns = [*after.turns, ("", "")] if after and met.question else []
        for (role, text), (next_role, answer) in pairwise(turns):
            if role == "user" and met.question in text:
                if next_role == "assistant" and not answer.strip():
                    return "empty turn stored"
                half = next_role == "assistant" and met.case.control == "break_stream"
                return "truncated stream accepted" if half else "failed turn left in history"
        return ""

    def _is_half(self, text: str) -> bool:
        """Is `text`, and nothing besides, the beginning of a reply that came whole in another case?"""
        whole = [request.text for met in self.met for request in met.requests]
        return text != "" and any(each.startswith(text) and each != text for each in whole)

    def _miscounted(self, last: Met) -> str:
        """What is wrong with the totals that the last turn printed: replies without text are billed too."""
        requests = [request for met in self.met if met.session == last.session for request in met.requests]
        shown = re.findall(r"\d+(?:\.\d+)?", last.saw.replace(",", ""))
        for place, unit in enumerate(("input tokens", "output tokens", "USD")):
            billed = sum(request.bill[place] for request in requests)
            counted = sum(request.bill[place] for request in requests if request.text)
            for number in shown:
                digits = len(number.partition(".")[2])
                both = f"{counted:.{digits}f}", f"{billed:.{digits}f}"
                if number == both[0] != both[1] and both[1] not in shown:
                    return f"{both[1]} {unit} were billed, and it counts {number}"
        return ""


def _endless(request: Request) -> bool:
    """Does an SDK's client announce no timeout for reading, or a longer one than the SDK's own?"""
    try:
        return float(request.exchange.headers.get("x-stainless-read-timeout", "")) > LONGEST_TIMEOUT
    except ValueError:
        return "x-stainless-lang" in request.exchange.headers
