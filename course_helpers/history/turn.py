"""One turn, sans-IO: chosen, weighed against the budget, asked, and then kept whole or not at all.

`Exchange.run` is a generator. It yields what it needs (`wire.Need`) and the pieces of a streamed reply;
`stream.py` has the two readers that carry it out. `preview` says what a turn would send and cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic

from ..formatting import count, dollars
from ..models import UnknownModelError, find_model
from ..practice_api import tokens as practice
from ..pricing import Rates
from ..retries import Retries
from ..wire import Need, Steps, reply_to
from .records import Call, Ledger, Preview, Reply, Turn
from .responses import Reading, StreamInterrupted
from .strategies import Message, as_messages, estimate_tokens

ESTIMATED = "an estimate: this server does not count tokens"
SUMMARY_TOKENS = 1024
"""The least `max_tokens` of a summary: a model that thinks first needs some."""


@dataclass(frozen=True)
class TurnSettings:
    """What a turn takes from its conversation."""

    model: str
    max_tokens: int
    system: str | None
    cache: bool
    rates: Rates | None  # the prices of the model; None where calls cost nothing
    retries: Callable[[], Retries]

    def request(self, messages: list[Message]) -> dict[str, Any]:
        """The arguments of `messages.create`."""
        request = {"model": self.model, "max_tokens": self.max_tokens, "messages": messages}
        if self.system is not None:
            request["system"] = self.system
        if self.cache:
            request["cache_control"] = {"type": "ephemeral"}
        return request

    def worst(self, request: dict[str, Any], tokens: int) -> float:
        """The most that `request` can cost in USD, if it has `tokens` of input."""
        if self.rates is None:
            return 0.0
        tier = self.rates.at(tokens)
        dearest = max(tier.input, tier.cache_write) if "cache_control" in request else tier.input
        return (tokens * dearest + request["max_tokens"] * tier.output) / 1_000_000

    def figures(self, reading: Reading, **times: Any) -> dict[str, Any]:
        """What a `Call` says of `reading`. A refusal without output is not billed."""
        unbilled = reading.stop_reason == "refusal" and not reading.counts["output_tokens"]
        cost = 0.0 if unbilled or self.rates is None else self.rates.cost(reading.counts)
        told = {"model": self.model, "cost_usd": cost, "stop_reason": reading.stop_reason}
        return {**told, **reading.counts, **times}


@dataclass
class Exchange:
    """All that one turn asks of the server. What its failed requests are known to have cost is written down.

    `settings` is asked anew for each request: a strategy may choose another model for the turn.
    """

    settings: Callable[[], TurnSettings]
    ledger: Ledger
    opened: list[Any] = field(default_factory=list)
    """The stream of events that is open, if one is. Its reader closes it."""
    uncounted: bool = False  # could the server not count tokens? It is asked once
    requests: int = 0  # for the question itself
    first: float | None = None  # seconds until the first piece of text
    reading: Reading | None = None
    call: Call | None = None

    def run(self, question: str, choose: Callable[..., Steps[list[Message]]], streamed: bool) -> Steps[Reply]:
        """The whole turn. Raises before anything is sent: unknown model, over budget."""
        self.settings()
        messages = yield from choose(as_messages(self.ledger.now.turns, question), self)
        remarks = [f"The history was cut by {ESTIMATED}."] if self.uncounted else []
        self.now = self.settings()
        self.request = self.now.request(messages)
        self.worst = yield from self._afford(self.request, self.now)
        remarks += [f"The budget was checked with {ESTIMATED}."] if self.uncounted and self.worst else []
        self.started = time.perf_counter()
        try:
            piece = yield from self.now.retries().steps(self._open if streamed else self._whole)
            while piece:
                yield piece
                piece = yield from self._piece()
            return self._keep(question, remarks)
        except BaseException:  # an error, an interrupt, or a reader that leaves (GeneratorExit)
            self._lose()
            raise

    def count(self, messages: list[Message]) -> Steps[int | None]:
        """The input tokens of `messages` and the system prompt; None where the server does not count them."""
        return (yield from self._count(self.settings().request(messages)))

    def ask(self, messages: list[Message]) -> Steps[str]:
        """The answer to `messages`, outside of the conversation, its call in the ledger; "" for a refusal."""
        now = self.settings()
        limit = max(now.max_tokens, SUMMARY_TOKENS)
        request = {"model": now.model, "max_tokens": limit, "messages": messages}
        yield from self._afford(request, now)
        started, retries, reading = time.perf_counter(), now.retries(), Reading()
        yield from retries.steps(lambda: _read_whole(request, reading))
        times = {"seconds": time.perf_counter() - started, "attempts": len(retries.attempts)}
        self.ledger.add(Call(kind="summary", **now.figures(reading, **times)))
        return "" if reading.stop_reason == "refusal" else reading.text.strip()

    def _count(self, request: dict[str, Any]) -> Steps[int | None]:
        """Whatever a server answers in place of a count, in whatever time, an estimate will do."""
        if self.uncounted:
            return None
        try:
            tokens = getattr((yield Need("count", _sized(request))), "input_tokens", None)
        except anthropic.AuthenticationError:
            raise
        except (anthropic.APIError, ValueError):
            tokens = None
        self.uncounted = not isinstance(tokens, int)
        return None if self.uncounted else tokens

    def _afford(self, request: dict[str, Any], now: TurnSettings) -> Steps[float]:
        """The most that `request` can cost in USD; raises `BudgetExceeded` where that is more than is left.

        Without a budget nothing is counted.
        """
        if self.ledger.purse.budget_usd is None or now.rates is None:
            return 0.0
        tokens, about, told = (yield from self._count(request)), "", ""
        if tokens is None:
            tokens, about, told = estimate_tokens(**_sized(request)), "about ", f" ({ESTIMATED})"
        worst = now.worst(request, tokens)
        sizes = f", for {about}{count(tokens, 'token')} in{told} and {request['max_tokens']:,} out"
        self.ledger.purse.check(
            worst, f"Nothing was sent: the call could cost {about}{dollars(worst)}{sizes}"
        )
        return worst

    def _whole(self) -> Steps[None]:
        """One request for the whole reply."""
        yield from _read_whole(self.request, self._next())

    def _open(self) -> Steps[str]:
        """One request for a stream; its first piece of text, or "" where it comes whole without one."""
        reading = self._next()
        while self.opened:
            yield Need("close", self.opened.pop())
        stream = yield Need("open", self.request)
        reading.response = stream.response
        self.opened.append((yield Need("events", stream)))
        piece = yield from self._piece()
        self.first = time.perf_counter() - self.started if piece else None
        return piece

    def _piece(self) -> Steps[str]:
        """The next piece of text; "" at the end of a reply that came whole."""
        reading = self.reading
        try:
            while (event := (yield Need("event", self.opened[0]))) is not None:
                if piece := reading.feed(event):
                    return piece
        except Exception as error:
            if not reading.complete:
                raise reading.interrupted(error) from error
        if not reading.complete:  # of which the SDK says nothing
            raise reading.interrupted()
        return ""

    def _next(self) -> Reading:
        """For one more request."""
        self._lose()
        if self.requests and self.now.rates:  # what was lost may have been dear
            said = f"Not tried again: another request could cost {dollars(self.worst)}"
            self.ledger.purse.check(self.worst, said)
        self.requests += 1
        self.reading = Reading()
        return self.reading

    def _lose(self) -> None:
        """Nothing came of the last request: write down what it is known to have cost."""
        reading, self.reading = self.reading, None
        kept = any(call is self.call for call in self.ledger.now.calls[-1:])  # interrupted just after it was
        if reading is not None and reading.counts is not None and not kept:
            self.ledger.add(Call(kind="lost", **self._figures(reading)))

    def _keep(self, question: str, remarks: list[str]) -> Reply:
        """Keep the turn, or say why there is none; the call is in the ledger either way."""
        reading, turn, figures = self.reading, None, self._figures(self.reading)
        kept, note = remark(reading, self.now.max_tokens)
        if kept:
            number = self.ledger.next_number
            turn = Turn(kind="reply", turn=number, user=question, assistant=reading.text, **figures)
        self.call = turn.call if turn else Call(kind="lost", **figures)
        note = " ".join(filter(None, [note, *remarks])) or None
        text = turn.assistant if turn else ""
        reply = Reply(text, turn, reading.stop_reason, note, self.call, self.request)
        self.ledger.add(self.call, turn)
        self.ledger.latest = reply if turn else self.ledger.latest
        return reply

    def _figures(self, reading: Reading) -> dict[str, Any]:
        times = {"seconds": time.perf_counter() - self.started, "first_token_seconds": self.first}
        return self.now.figures(reading, attempts=self.requests, **times)


def _read_whole(request: dict[str, Any], reading: Reading) -> Steps[None]:
    """`reading` of the reply to one request; a 200 that holds none is a `StreamInterrupted`."""
    try:
        reading.take((yield from reply_to(request)))
    except anthropic.APIResponseValidationError as error:
        raise StreamInterrupted(error.message, request=error.request, final=True) from None


def remark(reading: Reading, max_tokens: int) -> tuple[bool, str]:
    """Whether `reading` holds text that can stand in a history, and what to do where it is not whole."""
    reason, advice = reading.stop_reason, "ask again, or in other words"
    if reason == "refusal":
        said = f" It said: {reading.explanation}" if reading.explanation else ""
        advice = "ask in other words, or another model"
        return False, f"The model refused to answer. Nothing was kept: {advice}.{said}"
    cut = ""
    if reason == "max_tokens":
        advice = "raise max_tokens, and ask again"
        cut = f"Cut off at max_tokens={max_tokens:,}: raise it, or ask the model to go on."
    elif reason == "model_context_window_exceeded":
        advice = "shorten the history"
        cut = "Cut off: the context window is full. Shorten the history with keep=…, or start anew."
    if reading.text.strip():
        return True, cut
    what = "The model thought, and then said nothing" if reading.thought else "The reply was empty"
    return False, f"{what} (stop reason {reason}). Nothing was kept: {advice}."


def preview(
    messages: list[Message], settings: TurnSettings, counted: int | None, last: Reply | None
) -> Preview:
    """The request of `messages`; `counted` are its tokens, if they are known, `last` the last reply."""
    request = settings.request(messages)
    size = _near(request, last) if counted is None else counted
    least = settings.rates.cost({"input_tokens": size, "output_tokens": 1}) if settings.rates else 0.0
    try:
        window = find_model(settings.model).context_window
    except UnknownModelError:
        window = None
    return Preview(request, size, counted is None, least, settings.worst(request, size), window)


def _near(request: dict, last: Reply | None) -> int:
    """The tokens of `request`: those of the last reply are known, only the difference is a guess."""
    guess = estimate_tokens(**_sized(request))
    if last is None or last.request["model"] != request["model"]:
        return guess
    said = [*last.request["messages"], {"role": "assistant", "content": last.text}]
    known = last.call.prompt_tokens + last.call.output_tokens - last.call.thinking_tokens
    return max(1, known + guess - estimate_tokens(**_sized(last.request) | {"messages": said}))


def _sized(request: dict[str, Any]) -> dict[str, Any]:
    """What of `request` is input."""
    return {name: request[name] for name in ("model", "messages", "system") if name in request}


def practice_tokens(messages: list[Message], model: str, system: str | None) -> int:
    """The count that the practice API would give; nothing of it is seen in its journal."""
    factor, size = find_model(model).tokenizer_factor, float(practice.REQUEST_OVERHEAD)
    size += practice.text_tokens(system or "", factor)
    for message in messages:
        size += practice.MESSAGE_OVERHEAD + practice.text_tokens(str(message["content"]), factor)
    return practice.whole(size)
