"""One turn, sans-IO: chosen, weighed against the budget, asked, and then kept whole or not at all.

Its generators say what they need (`wire.Need`); the reader in `stream.py` has that met.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import ref

import anthropic

from ..formatting import count, dollars
from ..pricing import Rates
from ..retries import Retries
from ..wire import Need, Steps, reply_to
from .records import Call, Ledger, Reply, Turn
from .responses import Reading
from .strategies import Message, Messages, estimate_tokens

ESTIMATED = "an estimate: this server does not count tokens"
COUNTLESS = f"The size of the prompt was {ESTIMATED}."
ADVICE = {  # by stop reason
    "max_tokens": "raise max_tokens, or ask the model to go on",
    "model_context_window_exceeded": "shorten the history with keep=…",
    "refusal": "ask in other words, or another model",
}
SUMMARY_TOKENS = 1024  # the least max_tokens of a summary: a model that thinks first needs some


@dataclass
class Server:
    """What a conversation, and a strategy within a turn, asks: with its settings, and for its ledger."""

    model: str
    max_tokens: int
    system: str | None
    cache: bool
    rates: Rates | None  # the prices of the model; None where calls cost nothing
    retries: dict[str, Any]  # arguments of `Retries`
    ledger: Ledger
    uncounted: bool = False  # could it not count tokens? It is asked once

    def request(self, messages: list[Message]) -> dict[str, Any]:
        """The arguments of `messages.create`."""
        request = {"model": self.model, "max_tokens": self.max_tokens, "messages": messages}
        request |= {} if self.system is None else {"system": self.system}
        return request | ({"cache_control": {"type": "ephemeral"}} if self.cache else {})

    def count(self, messages: list[Message]) -> Steps[int]:
        """The input tokens of `messages` and the system prompt: an estimate where the server counts none."""
        if not self.uncounted:
            request = self.request(messages)
            prompt = {name: request[name] for name in ("model", "messages", "system") if name in request}
            with suppress(anthropic.APIError, ValueError):
                tokens = getattr((yield Need("count", prompt)), "input_tokens", None)
                if isinstance(tokens, int):
                    return tokens
            self.uncounted = True
        return estimate_tokens(messages, self.model, self.system)

    def ask(self, messages: list[Message]) -> Steps[str]:
        """The answer to `messages`, outside of the conversation, its call in the ledger; "" for a refusal."""
        reading, retries, started = Reading(), Retries(**self.retries), time.perf_counter()
        most = max(self.max_tokens, SUMMARY_TOKENS)
        request = {"model": self.model, "max_tokens": most, "messages": messages}
        yield from self.afford(request)
        yield from retries.steps(lambda: reply_to(request, reading.take))
        figures = self.figures(reading, started, attempts=len(retries.attempts))
        self.ledger.add(Call(kind="summary", **figures))
        return "" if reading.stop_reason == "refusal" else reading.text.strip()

    def afford(self, request: dict[str, Any]) -> Steps[float]:
        """The most that `request` can cost in USD; raises `BudgetExceeded` where it is more than is left."""
        if self.ledger.purse.budget_usd is None or self.rates is None:
            return 0.0  # and nothing is counted
        tokens = yield from self.count(request["messages"])
        worst = self.worst(request, tokens)
        size = count(tokens, "token") + (f" ({ESTIMATED})" if self.uncounted else "")
        said = f"Nothing was sent: the call could cost {dollars(worst)}, for {size} in"
        self.ledger.purse.check(worst, f"{said} and {request['max_tokens']:,} out")
        return worst

    def worst(self, request: dict[str, Any], tokens: int) -> float:
        """The most that `request` can cost in USD, if it has `tokens` of input."""
        if self.rates is None:
            return 0.0
        tier = self.rates.at(tokens)
        dearest = max(tier.input, tier.cache_write) if "cache_control" in request else tier.input
        return (tokens * dearest + request["max_tokens"] * tier.output) / 1_000_000

    def figures(self, reading: Reading, started: float, **others: Any) -> dict[str, Any]:
        """What a `Call` says of `reading`. A refusal without output is not billed."""
        unbilled = reading.stop_reason == "refusal" and not reading.tokens.output_tokens
        counts, seconds = dict(reading.tokens), time.perf_counter() - started
        cost = 0.0 if unbilled or self.rates is None else self.rates.cost(counts)
        told = {"model": self.model, "stop_reason": reading.stop_reason, "cost_usd": cost, "seconds": seconds}
        return told | counts | others


@dataclass(eq=False)
class Exchange:
    """One turn, as it goes: its reply piece by piece. It is over when it is kept, or when it is ended."""

    server: Server
    question: str
    choose: Callable[..., Steps[list[Message]]]
    streamed: bool

    def __post_init__(self) -> None:
        self.ledger = self.server.ledger
        self.opened: list[Any] = []  # streams of events that are still to be closed
        self.attempts, self.first = 0, None  # requests so far; seconds until the first piece of text
        self.reading: Reading | None = None  # of the request that goes on
        self.call: Call | None = None
        self.reply: Reply | None = None  # once the last piece has been read
        self.busy = self.over = False  # is somebody waiting for it just now? is there nothing to come?
        self.why: Exception | None = None  # it was ended, if it was

    def piece(self) -> Steps[str]:
        """The next piece; "" at the end. Raises `BudgetExceeded` before anything is sent."""
        if not self.over:
            self.busy = True
            self.ledger.begin(ref(self))
            try:
                reading = self.reading
                piece = yield from reading.piece(self.opened[-1]) if reading else self._first_piece()
                if not self.over:  # which another thread may have ended
                    self.reply = None if piece else self._keep()
                    return piece
            except BaseException:  # an error, or an interrupt
                self.end()
                raise
            finally:
                self.busy = False
        if self.why is not None:
            raise self.why
        return ""

    def end(self, why: Exception | None = None) -> None:
        """No more of this turn: what is not complete is not kept, only what it cost."""
        self.over, self.why = True, why or self.why
        self._lose()

    def close(self) -> Steps[None]:
        """`end`, and close what is open, if nobody is waiting: else whoever waits does it."""
        self.end()
        while self.opened and not self.busy:
            yield Need("call", self.opened.pop().close)

    def _first_piece(self) -> Steps[str]:
        """What to send is chosen, weighed against the budget, and asked; "" for a reply that came whole."""
        messages = yield from self.choose(Messages(self.ledger.now.turns, self.question), self.server)
        self.request = self.server.request(messages)
        self.worst = yield from self.server.afford(self.request)
        self.started = time.perf_counter()
        return (yield from Retries(**self.server.retries).steps(self._try))

    def _try(self) -> Steps[str]:
        """One request, up to its first piece of text."""
        self._lose()
        if self.attempts and self.server.rates:  # what was lost may have been dear
            self.ledger.purse.check(self.worst, f"Not tried again: that could cost {dollars(self.worst)}")
        self.attempts, self.reading = self.attempts + 1, Reading()
        if not self.streamed:
            yield from reply_to(self.request, self.reading.take)
            return ""
        stream = yield Need("open", self.request)
        self.reading.response = stream.response
        self.opened.append(stream)
        piece = yield from self.reading.piece(stream)
        self.first = time.perf_counter() - self.started if piece else None
        return piece

    def _lose(self) -> None:
        """Nothing came of the last request: write down what it is known to have cost."""
        reading, self.reading = self.reading, None
        kept = self.call in self.ledger.now.calls[-1:]  # interrupted just after it was
        if reading is not None and reading.tokens is not None and not kept:
            self.ledger.add(Call(kind="lost", **self._figures(reading)))

    def _keep(self) -> Reply:
        """Keep the turn, or say why there is none; the call is in the ledger either way."""
        reading, turn = self.reading, None
        kept = reading.stop_reason != "refusal" and bool(reading.text.strip())
        number = self.ledger.now.next_number if kept else None
        self.call = Call(kind="reply" if kept else "lost", turn=number, **self._figures(reading))
        if kept:
            turn = Turn(**vars(self.call), user=self.question, assistant=reading.text)
        note = " ".join(filter(None, [remark(reading, kept), COUNTLESS if self.server.uncounted else ""]))
        text = reading.text if kept else ""
        reply = Reply(text, turn, reading.stop_reason, note or None, self.call, self.request)
        self.ledger.add(self.call, turn)
        return reply

    def _figures(self, reading: Reading) -> dict[str, Any]:
        times = {"first_token_seconds": self.first, "attempts": self.attempts}
        return self.server.figures(reading, self.started, **times)


def remark(reading: Reading, kept: bool) -> str:
    """What to do where `reading` is not whole, or could not be kept."""
    reason, advice = reading.stop_reason, ADVICE.get(reading.stop_reason)
    if kept:
        return f"Cut off ({reason}): {advice}." if advice else ""
    empty = f"The reply was empty (stop reason {reason})"
    what = "The model refused to answer" if reason == "refusal" else empty
    said = f" It said: {reading.explanation}" if reading.explanation else ""
    return f"{what}. Nothing was kept: {advice or 'ask again, or in other words'}.{said}"
