"""One turn, sans-IO: chosen, weighed against the budget, asked, and then kept whole or not at all.

Its generators say what they need (`wire.Need`); the two readers in `stream.py` have it carried out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import anthropic

from ..formatting import count, dollars
from ..models import MODELS, find_model
from ..practice_api import tokens as practice
from ..pricing import Rates
from ..retries import Retries
from ..wire import Need, Steps, events_of, reply_to
from .records import Call, Ledger, Preview, Reply, Turn
from .responses import Reading
from .strategies import Message, Transcript, estimate_tokens

ESTIMATED = "an estimate: this server does not count tokens"
SUMMARY_TOKENS = 1024  # the least max_tokens of a summary: a model that thinks first needs some


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
        request |= {} if self.system is None else {"system": self.system}
        return request | ({"cache_control": {"type": "ephemeral"}} if self.cache else {})

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
class Server:
    """What a conversation, and a strategy within a turn, asks of the server."""

    settings: Callable[[], TurnSettings]  # asked anew for each request: a strategy may choose another model
    ledger: Ledger
    uncounted: bool = field(default=False, init=False)  # could it not count tokens? It is asked once

    def count(self, messages: list[Message]) -> Steps[int | None]:
        """The input tokens of `messages` and the system prompt; None where the server cannot count them."""
        if self.uncounted:
            return None
        request = _input_of(self.settings().request(messages))
        try:
            tokens = getattr((yield Need("count", request)), "input_tokens", None)
        except (anthropic.APIError, ValueError):
            tokens = None
        self.uncounted = not isinstance(tokens, int)
        return None if self.uncounted else tokens

    def ask(self, messages: list[Message]) -> Steps[str]:
        """The answer to `messages`, outside of the conversation, its call in the ledger; "" for a refusal."""
        now, reading, started = self.settings(), Reading(), time.perf_counter()
        limit, retries = max(now.max_tokens, SUMMARY_TOKENS), now.retries()
        request = {"model": now.model, "max_tokens": limit, "messages": messages}
        yield from self.afford(request, now)
        yield from retries.steps(lambda: reply_to(request, reading.take))
        times = {"seconds": time.perf_counter() - started, "attempts": len(retries.attempts)}
        self.ledger.add(Call(kind="summary", **now.figures(reading, **times)))
        return "" if reading.stop_reason == "refusal" else reading.text.strip()

    def afford(self, request: dict[str, Any], now: TurnSettings) -> Steps[float]:
        """The most that `request` can cost in USD; raises `BudgetExceeded` where it is more than is left."""
        if self.ledger.purse.budget_usd is None or now.rates is None:
            return 0.0  # and nothing is counted
        tokens, about, told = (yield from self.count(request["messages"])), "", ""
        if tokens is None:
            tokens, about, told = estimate_tokens(**_input_of(request)), "about ", f" ({ESTIMATED})"
        worst = now.worst(request, tokens)
        said = f"Nothing was sent: the call could cost {about}{dollars(worst)}, for {about}"
        said += f"{count(tokens, 'token')} in{told} and {request['max_tokens']:,} out"
        self.ledger.purse.check(worst, said)
        return worst


@dataclass(eq=False)
class Exchange(Server):
    """One turn, as it goes: its reply piece by piece. It is over when it is kept, or when it is ended."""

    question: str
    choose: Callable[..., Steps[list[Message]]]
    streamed: bool

    def __post_init__(self) -> None:
        self.pieces: list[str] = []
        self.opened: list[Any] = []  # streams of events that are still to be closed
        self.attempts, self.first = 0, None  # requests so far; seconds until the first piece of text
        self.reading: Reading | None = None  # of the request that goes on
        self.call: Call | None = None
        self.reply: Reply | None = None  # once the last piece has been read
        self.busy = self.over = False  # is somebody waiting for it just now? is there nothing to come?
        self.why: Exception | None = None  # it was ended, if it was; said once

    def piece(self) -> Steps[str]:
        """The next piece; "" at the end. Raises before anything is sent: unknown model, over budget."""
        if not self.over:
            self.busy = True
            self.ledger.begin(ref(self))
            try:
                going_on = self.reading is not None
                piece = yield from self.reading.piece(self.opened[-1]) if going_on else self._first_piece()
                if not self.over:  # which another thread may have ended
                    self.pieces.append(piece)
                    self.reply = None if piece else self._keep()
                    return piece
            except BaseException:  # an error, or an interrupt
                self.end()
                raise
            finally:
                self.busy = False
        why, self.why = self.why, None
        if why is not None:
            raise why
        return ""

    def end(self, why: Exception | None = None) -> None:
        """No more of this turn: what is not complete is not kept, only what it cost."""
        self.over, self.why = True, why or self.why
        self._lose()

    def close(self) -> Steps[None]:
        """`end`, and close what is open, if nobody is waiting: else whoever waits does it."""
        self.end()
        while self.opened and not self.busy:
            stream = self.opened.pop()
            yield Need("call", getattr(stream, "aclose", None) or stream.close)

    def _first_piece(self) -> Steps[str]:
        """What to send is chosen, weighed against the budget, and asked; "" for a reply that came whole."""
        self.settings()  # raises for an unknown model, before a strategy asks anything
        messages = yield from self.choose(Transcript(self.ledger.now.turns, self.question), self)
        self.remarks = [f"The history was cut by {ESTIMATED}."] if self.uncounted else []
        self.now = self.settings()
        self.request = self.now.request(messages)
        self.worst = yield from self.afford(self.request, self.now)
        if self.uncounted and self.worst:
            self.remarks.append(f"The budget was checked with {ESTIMATED}.")
        self.started = time.perf_counter()
        return (yield from self.now.retries().steps(self._try))

    def _try(self) -> Steps[str]:
        """One request, up to its first piece of text."""
        self._lose()
        if self.attempts and self.now.rates:  # what was lost may have been dear
            said = f"Not tried again: another request could cost {dollars(self.worst)}"
            self.ledger.purse.check(self.worst, said)
        self.attempts, self.reading = self.attempts + 1, Reading()
        if not self.streamed:
            yield from reply_to(self.request, self.reading.take)
            return ""
        stream = yield Need("open", self.request)
        self.reading.response = stream.response
        self.opened.append(
            events_of(stream, self.end) if isinstance(stream, anthropic.AsyncStream) else stream
        )
        piece = yield from self.reading.piece(self.opened[-1])
        self.first = time.perf_counter() - self.started if piece else None
        return piece

    def _lose(self) -> None:
        """Nothing came of the last request: write down what it is known to have cost."""
        reading, self.reading = self.reading, None
        kept = self.call in self.ledger.now.calls[-1:]  # interrupted just after it was
        if reading is not None and reading.counts is not None and not kept:
            self.ledger.add(Call(kind="lost", **self._figures(reading)))

    def _keep(self) -> Reply:
        """Keep the turn, or say why there is none; the call is in the ledger either way."""
        reading, turn, figures = self.reading, None, self._figures(self.reading)
        kept = reading.stop_reason != "refusal" and bool(reading.text.strip())
        if kept:
            texts = {"user": self.question, "assistant": reading.text}
            turn = Turn(kind="reply", turn=self.ledger.next_number, **texts, **figures)
        self.call = turn.call if kept else Call(kind="lost", **figures)
        note = " ".join(filter(None, [remark(reading, kept, self.now.max_tokens), *self.remarks])) or None
        text = reading.text if kept else ""
        reply = Reply(text, turn, reading.stop_reason, note, self.call, self.request)
        self.ledger.add(self.call, turn)
        self.ledger.latest = reply if kept else self.ledger.latest
        return reply

    def _figures(self, reading: Reading) -> dict[str, Any]:
        times = {"seconds": time.perf_counter() - self.started, "first_token_seconds": self.first}
        return self.now.figures(reading, attempts=self.attempts, **times)


def remark(reading: Reading, kept: bool, max_tokens: int) -> str:
    """What to do where `reading` is not whole, or could not be kept."""
    reason = reading.stop_reason
    if reason == "refusal":
        said = f" It said: {reading.explanation}" if reading.explanation else ""
        advice = "ask in other words, or another model"
        return f"The model refused to answer. Nothing was kept: {advice}.{said}"
    where, advice = {
        "max_tokens": (f"at max_tokens={max_tokens:,}", "raise it, or ask the model to go on"),
        "model_context_window_exceeded": ("by the context window", "shorten the history with keep=…"),
    }.get(reason, ("", "ask again, or in other words"))
    if kept:
        return f"Cut off {where}: {advice}." if where else ""
    return f"The reply was empty (stop reason {reason}). Nothing was kept: {advice}."


def preview(messages: list[Message], now: TurnSettings, counted: int | None, last: Reply | None) -> Preview:
    """The request of `messages`; `counted` are its tokens, if they are known, `last` the last reply."""
    request, size = now.request(messages), counted
    if size is None:
        size = estimate_tokens(**_input_of(request))
        if last is not None and last.request["model"] == now.model:  # the guess is wrong as it was then
            size = round(size * last.call.prompt_tokens / estimate_tokens(**_input_of(last.request))) or 1
    least = now.rates.cost({"input_tokens": size, "output_tokens": 1}) if now.rates else 0.0
    window = MODELS[now.model].context_window if now.model in MODELS else None
    return Preview(request, size, counted is None, least, now.worst(request, size), window)


def _input_of(request: dict[str, Any]) -> dict[str, Any]:
    return {name: request[name] for name in ("model", "messages", "system") if name in request}


def practice_tokens(messages: list[Message], model: str, system: str | None) -> int:
    """The count that the practice API would give; nothing of it is seen in its journal."""
    texts = [system or "", *(str(each["content"]) for each in messages)]
    factor = find_model(model).tokenizer_factor
    size = practice.REQUEST_OVERHEAD + practice.MESSAGE_OVERHEAD * len(messages)
    return practice.whole(size + sum(practice.text_tokens(text, factor) for text in texts))
