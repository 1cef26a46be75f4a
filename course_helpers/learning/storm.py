"""A storm on the practice API: one fault after the other, and what the requests prove about who sent them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..models import DEFAULT_MODEL
from ..practice_api import Practice

if TYPE_CHECKING:
    from ..practice_api.faults import Control
    from ..practice_api.journal import Exchange

KEY = "sk-ant-practice-0123456789"
"""The key that the program finds in its environment: no other text looks like it."""
ASKED = 0.4
"""Seconds of the retry-after that has to be kept."""
MOST_TRIES = 8
"""Requests for one question; five retries are six."""
LONGEST_TIMEOUT = 600.0
"""Seconds of silence after which a client gives up at the latest, as the SDK does by itself."""
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
    """One fault: its name, the control and its arguments, whether a retry cannot help."""

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
        messages = body.get("messages") or ()
        return [(str(m.get("role")), _text(m.get("content"))) for m in messages if isinstance(m, dict)]

    @property
    def whole(self) -> bool:
        """Was it answered with a reply that holds text?"""
        return self.exchange.status == 200 and bool(_text((self.exchange.reply or {}).get("content")).strip())

    @property
    def usage(self) -> tuple[int, int]:
        """Input and output tokens that were billed for it, as far as the API said."""
        usage = (self.exchange.reply or {}).get("usage") or {}
        return usage.get("input_tokens", 0), usage.get("output_tokens", 0)


@dataclass
class Met:
    """A case as it went."""

    case: Case
    question: str = ""
    session: int = 0
    """Which start of the program this was."""
    requests: list[Request] = field(default_factory=list)
    saw: str = ""
    """What the program printed."""
    end: str | None = None
    """"" where the program read on, else "ended" or "hangs"; None while the case goes on."""
    began: float = field(default_factory=time.monotonic)

    @property
    def came_to(self) -> str:
        """In a few words: how many requests, and whether they got a reply with text."""
        reply = "a reply" if any(request.whole for request in self.requests) else "no reply"
        return f"{len(self.requests)} request{'s' if len(self.requests) != 1 else ''}, {reply}"


class Storm:
    """The cases in their order on `practice`: `begin` starts the next, or each new question `by_question`."""

    def __init__(self, practice: Practice, by_question: bool = True) -> None:
        self.practice, self.by_question, self.cases = practice, by_question, CASES
        self.met: list[Met] = []
        self.skipped = 0.0
        """Seconds of waiting that were not sat through."""
        self.began = time.monotonic()
        self._control: Control | None = None
        self.secrets = {KEY}
        """Keys that the program knows."""
        practice.api.keys.add(KEY)
        practice.api.on_request = self._on_request

    def begin(self) -> Met | None:
        """Clear the last case's fault and set the next one's; None after the last case."""
        if self._control is not None:
            self._control.clear()
        if len(self.met) == len(self.cases):
            return None
        case = self.cases[len(self.met)]
        sent = [
            request.exchange.body["model"] for met in self.met for request in met.requests if request.whole
        ]
        given = (sent[-1] if sent else DEFAULT_MODEL,) if case.control == "retire" else case.given
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
        gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
        if case.named.get("retry_after") == ASKED and gaps and gaps[0] < ASKED - 0.03:
            found["retry-after ignored"] = f"asked to wait {ASKED:g} s, it came back sooner"
        if case.final and len(requests) > 1:
            found["non-retryable retried"] = f"{len(requests)} requests, and none could help"
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
        if kept := self._kept(met):
            found[kept] = "the next request sent the turn along"
        if met is self.met[-1] and (miscounted := self._miscounted(met)):
            found["cost not counted"] = miscounted
        return found

    def _kept(self, met: Met) -> str:
        """What of a turn without a whole reply the next request still held; "" if nothing that is known."""
        after = self.after(met)
        if after is None or not met.question or any(request.whole for request in met.requests):
            return ""
        turns = [*after.turns, ("", "")]
        for (role, text), (next_role, answer) in pairwise(turns):
            if role == "user" and met.question in text:
                if next_role != "assistant":
                    return "failed turn left in history"
                if not answer.strip():
                    return "empty turn stored"
                cut = met.case.control == "break_stream"
                return "truncated stream accepted" if cut else "failed turn left in history"
        return ""

    def _miscounted(self, last: Met) -> str:
        """What is wrong with the totals that the last turn printed: replies without text are billed too."""
        requests = [request for met in self.met if met.session == last.session for request in met.requests]
        shown = set(re.findall(r"\d+", last.saw.replace(",", "")))
        for place, unit in enumerate(("input", "output")):
            billed = sum(request.usage[place] for request in requests)
            counted = sum(request.usage[place] for request in requests if request.whole)
            if str(counted) in shown and str(billed) not in shown:
                return f"{billed} {unit} tokens were billed, and it counts {counted}"
        return ""


def _endless(request: Request) -> bool:
    """Does an SDK's client announce no timeout for reading, or a longer one than the SDK's own?"""
    headers = request.exchange.headers
    try:
        return float(headers.get("x-stainless-read-timeout", "")) > LONGEST_TIMEOUT
    except ValueError:
        return "x-stainless-lang" in headers


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(
        str(b.get("text") or "") for b in blocks if isinstance(b, dict) and b.get("type") == "text"
    )
