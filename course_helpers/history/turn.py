"""One turn, sans-IO: chosen, weighed against the budget, asked, and then kept whole or not at all.

`run` is a generator. It yields what it needs (`wire.Need`) and the pieces of a streamed reply; `stream.py`
has the two readers that carry it out, blocking and asynchronous.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic

from ..formatting import count, dollars
from ..pricing import Rates
from ..retries import Retries
from ..wire import Need, Steps, reply_to
from .ledger import Claim, Ledger
from .records import Call, Reply, Turn
from .responses import Reading, StreamInterrupted
from .strategies import Message, Transcript, estimate_tokens

BUDGET_ESTIMATED = "The budget was checked with an estimate: this server does not count tokens."
CUT_BY_ESTIMATE = "The history was cut by an estimate: this server does not count tokens."
SUMMARY_TOKENS = 1024
"""The least `max_tokens` of a summary: a model that thinks first needs some."""


@dataclass(frozen=True)
class TurnSettings:
    """What a turn takes from its conversation."""

    model: str
    max_tokens: int
    system: str | None
    cache: bool
    rates: Rates | None
    """The prices of the model; None where calls cost nothing."""
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


class Counter:
    """Counts tokens for one turn. A server that cannot is asked once."""

    def __init__(self) -> None:
        self.refused = False

    def count(self, request: dict[str, Any]) -> Steps[int | None]:
        """The input tokens of `request`, which is free to ask; None where the server does not count them.

        Whatever it answers instead, in whatever time, an estimate will do; only a refused key is an error.
        """
        if self.refused:
            return None
        counted = {name: request[name] for name in ("model", "messages", "system") if name in request}
        try:
            tokens = getattr((yield Need("count", counted)), "input_tokens", None)
        except anthropic.AuthenticationError:
            raise
        except (anthropic.APIError, ValueError):
            tokens = None
        self.refused = not isinstance(tokens, int)
        return None if self.refused else tokens

    def afford(self, request: dict[str, Any], settings: TurnSettings, ledger: Ledger) -> Steps[float]:
        """The most that `request` can cost in USD; raises `BudgetExceeded` where that is more than is left.

        Without a budget nothing is counted.
        """
        if ledger.purse.budget_usd is None or settings.rates is None:
            return 0.0
        tokens, about, told = (yield from self.count(request)), "", ""
        if tokens is None:
            tokens = estimate_tokens(request["messages"], request["model"], request.get("system"))
            about, told = "about ", " (an estimate: this server does not count tokens)"
        worst = settings.worst(request, tokens)
        sizes = f", for {about}{count(tokens, 'token')} in{told} and {request['max_tokens']:,} out"
        ledger.purse.check(worst, f"Nothing was sent: the call could cost {about}{dollars(worst)}{sizes}")
        return worst


@dataclass
class Exchange:
    """The requests of one turn, until one is answered. What the others are known to have cost is kept."""

    request: dict[str, Any]
    worst: float  # the most in USD that it can cost
    settings: TurnSettings
    ledger: Ledger
    claim: Claim
    reading: Reading | None = None
    call: Call | None = None
    requests: int = 0
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None  # seconds until the first piece of text

    def ask(self) -> Steps[None]:
        """One request for the whole reply."""
        yield from whole_reply(self.request, self._next())

    def open(self) -> Steps[str]:
        """One request for a stream; its first piece of text, or "" where it comes whole without one."""
        reading = self._next()
        if self.claim.stream is not None:
            yield Need("close", self.claim.stream)
        stream = yield Need("open", self.request)
        reading.response, self.claim.stream = stream.response, (yield Need("events", stream))
        piece = yield from self.piece()
        self.first = time.perf_counter() - self.started if piece else None
        return piece

    def piece(self) -> Steps[str]:
        """The next piece of text; "" at the end of a reply that came whole."""
        reading = self.reading
        try:
            while (event := (yield Need("event", self.claim.stream))) is not None:
                if piece := reading.feed(event):
                    return piece
        except Exception as error:
            if not reading.complete:
                raise reading.interrupted(error) from error
        if not reading.complete:  # of which the SDK says nothing
            raise reading.interrupted()
        return ""

    def _next(self) -> Reading:
        self.lose()
        if self.requests and self.settings.rates:  # what was lost may have been dear
            said = f"Not tried again: another request could cost {dollars(self.worst)}"
            self.ledger.purse.check(self.worst, said)
        self.requests += 1
        self.reading = Reading()
        return self.reading

    def lose(self) -> None:
        """Nothing came of the last request: write down what it is known to have cost."""
        reading, self.reading = self.reading, None
        if reading is not None and reading.counts is not None and not self.ledger.has(self.call):
            self.ledger.add(Call(kind="lost", **self._figures(reading)))

    def keep(self, question: str, remarks: list[str]) -> Reply:
        """Keep the turn, or say why there is none; the call is in the ledger either way."""
        reading, limit, turn = self.reading, self.settings.max_tokens, None
        self.ledger.check(self.claim)
        note, figures = why_not_kept(reading, limit), self._figures(reading)
        if note is None:
            note, number = why_cut(reading, limit), self.ledger.next_number
            turn = Turn(kind="reply", turn=number, user=question, assistant=reading.text, **figures)
        self.call = Call(kind="lost", **figures) if turn is None else turn.call
        text = "" if turn is None else turn.assistant
        note = " ".join([*filter(None, [note]), *remarks]) or None
        reply = Reply(text, turn, reading.stop_reason, note, self.call, self.request)
        self.ledger.add(self.call, turn)
        self.ledger.latest = reply if turn else self.ledger.latest
        return reply

    def _figures(self, reading: Reading) -> dict[str, Any]:
        times = {"seconds": time.perf_counter() - self.started, "first_token_seconds": self.first}
        return figures(self.settings, reading, attempts=self.requests, **times)


def whole_reply(request: dict[str, Any], reading: Reading) -> Steps[None]:
    """`reading` of the reply to one request; a 200 that holds none is a `StreamInterrupted`."""
    try:
        reading.take((yield from reply_to(request)))
    except anthropic.APIResponseValidationError as error:
        raise StreamInterrupted(error.message, request=error.request, final=True) from None


def figures(settings: TurnSettings, reading: Reading, **times: Any) -> dict[str, Any]:
    """What a `Call` says of `reading`. A refusal without output is not billed."""
    unbilled = reading.stop_reason == "refusal" and not reading.counts["output_tokens"]
    free = settings.rates is None or unbilled
    cost = 0.0 if free else settings.rates.cost(reading.counts)
    told = {"cost_usd": cost, "stop_reason": reading.stop_reason, **times}
    return {"model": settings.model, **reading.counts, **told}


Settings = Callable[[], TurnSettings]
Choose = Callable[[Transcript], Steps[list[Message]]]


def run(
    question: str, ledger: Ledger, claim: Claim, settings: Settings, choose: Choose, streamed: bool
) -> Steps[Reply]:
    """The whole turn. Raises before anything is sent: busy, unknown model, over budget."""
    ledger.begin(claim)
    settings()
    counter = Counter()
    messages = yield from _met(choose(Transcript(ledger.now.turns, question)), settings, ledger, counter)
    remarks = [CUT_BY_ESTIMATE] if counter.refused else []
    now = settings()  # anew: a strategy may have chosen another model
    request = now.request(messages)
    worst = yield from counter.afford(request, now, ledger)
    remarks += [BUDGET_ESTIMATED] if counter.refused and worst else []
    exchange = Exchange(request, worst, now, ledger, claim)
    try:
        if streamed:
            piece = yield from now.retries().steps(exchange.open)
            while piece:
                yield piece
                piece = yield from exchange.piece()
        else:
            yield from now.retries().steps(exchange.ask)
        reply = exchange.keep(question, remarks)
    except BaseException:  # an error, an interrupt, or a reader that leaves (GeneratorExit)
        exchange.lose()
        raise
    return reply


def _met(steps: Steps[list[Message]], settings, ledger: Ledger, counter: Counter) -> Steps[list[Message]]:
    """What the strategy `steps` comes to; its needs, of messages, are met by requests."""
    answer = None
    while True:
        try:
            need = steps.send(answer)
        except StopIteration as end:
            return end.value
        if need.what == "count":
            answer = yield from counter.count(settings().request(need.about))
        else:
            answer = yield from aside(need.about, settings(), ledger, counter)


def aside(messages: list[Message], settings: TurnSettings, ledger: Ledger, counter: Counter) -> Steps[str]:
    """What the model answers to `messages`: outside of the conversation, in its ledger; "" if it will not."""
    limit = max(settings.max_tokens, SUMMARY_TOKENS)
    request = {"model": settings.model, "max_tokens": limit, "messages": messages}
    yield from counter.afford(request, settings, ledger)
    started, retries, reading = time.perf_counter(), settings.retries(), Reading()
    yield from retries.steps(lambda: whole_reply(request, reading))
    times = {"seconds": time.perf_counter() - started, "attempts": len(retries.attempts)}
    ledger.add(Call(kind="summary", **figures(settings, reading, **times)))
    return "" if reading.stop_reason == "refusal" else reading.text.strip()


def why_not_kept(reading: Reading, max_tokens: int) -> str | None:
    """What happened and what to do, where `reading` gives no text that can stand in a history."""
    if reading.stop_reason == "refusal":
        said = f" It said: {reading.explanation}" if reading.explanation else ""
        return f"The model refused to answer. Nothing was kept: ask in other words, or another model.{said}"
    if reading.text.strip():
        return None
    if reading.stop_reason == "max_tokens":
        went = "went into thinking" if reading.thought else "ran out"
        kept = "Nothing was kept: raise max_tokens, ask again."
        return f"No text came: max_tokens={max_tokens:,} {went}. {kept}"
    if reading.stop_reason == "model_context_window_exceeded":
        return "No text came: the context window is full. Nothing was kept: shorten the history."
    what = "The model thought, and then said nothing" if reading.thought else "The reply was empty"
    return f"{what} (stop reason {reading.stop_reason}). Nothing was kept: ask again, or in other words."


def why_cut(reading: Reading, max_tokens: int) -> str | None:
    """Where a reply that was kept does not end by itself: why, and what to do."""
    if reading.stop_reason == "max_tokens":
        return f"Cut off at max_tokens={max_tokens:,}: raise it, or ask the model to go on."
    if reading.stop_reason == "model_context_window_exceeded":
        return "Cut off: the context window is full. Shorten the history with keep=…, or start anew."
    return None
