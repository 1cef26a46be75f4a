"""What turns and calls were and what they cost, and the ledger that holds them."""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..formatting import count, dollars, short


def sendable(text: str, what: str = "message") -> str:
    """`text` as it is; raises ValueError or TypeError where the API would refuse it."""
    if not isinstance(text, str):
        raise TypeError(f"A {what} is text, not {type(text).__name__}.")
    if not text.strip():
        raise ValueError(f"The {what} is empty: the API takes no blank text, so nothing was sent.")
    if re.search("[\ud800-\udfff]", text):
        raise ValueError(f"The {what} holds half a character (a lone surrogate), which JSON cannot carry.")
    return text


Text = Annotated[str, AfterValidator(sendable)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# US dollars; nan (null in a file) where the price is not known.
Usd = Annotated[float, BeforeValidator(lambda usd: math.nan if usd is None else usd)]


class Figures(BaseModel):
    """Token counts as the API has them (`input_tokens`: the uncached part of the prompt), and their cost."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    cache_read_tokens: Count = 0
    output_tokens: Count = 0
    thinking_tokens: Count = 0  # the part of the output that is thinking
    cost_usd: Usd

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt: uncached, written to the cache and read from it."""
        return sum(getattr(self, name) for name in PROMPT_TOKENS)

    def __str__(self) -> str:
        """Tokens and dollars on one line; no seconds, so that a lesson shows the same everywhere."""
        cached, thought = self.cache_read_tokens, self.thinking_tokens
        sent = f"{self.prompt_tokens:,} tokens in" + (f" ({cached:,} from the cache)" if cached else "")
        came = f"{self.output_tokens:,} out" + (f" ({thought:,} of thinking)" if thought else "")
        return f"{sent} · {came} · {dollars(self.cost_usd)}"


TOKENS = tuple(name for name in Figures.model_fields if name.endswith("_tokens"))
PROMPT_TOKENS = TOKENS[:4]


class Call(Figures):
    """One billed request."""

    kind: Literal["reply", "summary", "lost"]
    turn: Number | None = None  # the turn that came of it, counted from 1 and never twice
    model: str
    stop_reason: str | None = None
    seconds: Seconds
    first_token_seconds: Seconds | None = None
    attempts: Number = 1

    def __repr__(self) -> str:
        return f"Call({self.kind}, {self.model}, {self})"


class Turn(Call):
    """A question and its answer, as the conversation keeps them, with the figures of their call."""

    user: Text
    assistant: Text

    @property
    def call(self) -> Call:
        """Its entry in the ledger: the same figures without the texts."""
        return Call.model_construct(**{name: getattr(self, name) for name in Call.model_fields})

    def __repr__(self) -> str:
        return f"Turn({short(self.user, 60)!r} → {short(self.assistant, 60)!r}, {self})"


class Total(Figures):
    """Tokens and dollars of several calls together."""

    calls: Count = 0
    cost_usd: Usd = 0.0

    def __repr__(self) -> str:
        return f"Total({count(self.calls, 'call')}, {self})"

    def plus(self, calls: Sequence[Call]) -> Total:
        """This total and `calls`."""
        more = {name: sum(getattr(call, name) for call in calls) for name in (*TOKENS, "cost_usd")}
        more["calls"] = len(calls)
        return Total(**{name: before + more[name] for name, before in self})


@dataclass(frozen=True)
class Reply:
    """What came of one `send`. `str(reply)` is the text.

    `turn` is None where nothing was kept: `note` then says what happened and what to do.
    `call` is the entry in the ledger, `request` what was sent: arguments of `messages.create`.
    """

    text: str
    turn: Turn | None = None
    stop_reason: str | None = None
    note: str | None = None
    call: Call | None = None
    request: dict[str, Any] | None = None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Reply({' · '.join([repr(short(self.text, 60)), *self._small])})"

    def _repr_html_(self) -> str:
        from .. import render

        looks = "font-size: 85%; opacity: .75; margin-top: .3em"
        answer = render.to_html(self.text) if self.text else ""
        return f'{answer}<div style="{looks}">{render.escape(" · ".join(self._small))}</div>'

    @property
    def _small(self) -> list[str]:
        return [words for words in (self.call and str(self.call), self.note) if words]


@dataclass(frozen=True)
class Preview:
    """What a turn would send, and what that would cost in USD; nothing was sent."""

    request: dict[str, Any]
    input_tokens: int
    estimated: bool  # False where they are the server's own count
    least_usd: float  # the input, and one token of output
    most_usd: float  # the input at its dearest (written to the cache), and max_tokens of output
    window: int | None  # the model's context window in tokens, if it is known


def counts(usage: dict[str, Any]) -> dict[str, int]:
    """The `TOKENS` of the fields of an SDK `usage`; what it leaves out is 0. ValueError for no count."""
    by_age, details = usage.get("cache_creation"), usage.get("output_tokens_details")
    told = {
        "input_tokens": usage.get("input_tokens"),
        "cache_write_tokens": usage.get("cache_creation_input_tokens"),
        "cache_write_1h_tokens": getattr(by_age, "ephemeral_1h_input_tokens", None),
        "cache_read_tokens": usage.get("cache_read_input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "thinking_tokens": getattr(details, "thinking_tokens", None),
    }
    for name, value in told.items():
        told[name] = 0 if value is None else value
        if not isinstance(told[name], int) or isinstance(value, bool) or told[name] < 0:
            raise ValueError(f"usage has {value!r} {name}, which is no count of tokens")
    written, hour = told["cache_write_tokens"], told["cache_write_1h_tokens"]  # the first are both together
    return told | {"cache_write_tokens": max(0, written - hour), "cache_write_1h_tokens": min(hour, written)}


class BudgetExceeded(ValueError):
    """The next call could cost more than is left of `budget_usd`: nothing was sent."""


@dataclass
class Purse:
    """One budget, in USD, for a conversation and all its forks."""

    budget_usd: float | None = None
    ledgers: list[Ledger] = field(default_factory=list)  # also of those that are gone: what is spent is spent

    def check(self, worst: float, said: str) -> None:
        """Raises `BudgetExceeded`, which begins with `said`, where `worst` dollars are more than is left."""
        if self.budget_usd is None:
            return
        spent = sum(call.cost_usd for ledger in self.ledgers for call in ledger.now.calls)
        if math.isnan(spent + worst):
            raise BudgetExceeded("Nothing was sent: budget_usd cannot be kept where a price is not known.")
        if spent + worst > self.budget_usd * (1 + 1e-9):
            said += f", and {dollars(spent)} of the budget of {dollars(self.budget_usd)} is spent."
            raise BudgetExceeded(f"{said} Raise budget_usd, lower max_tokens or shorten the history.")


class State(NamedTuple):
    """What a ledger holds at one moment."""

    turns: tuple[Turn, ...]
    calls: tuple[Call, ...]


class Ledger:
    """What a conversation has kept and spent, as it is `now`: each change is one assignment.

    So an interrupt, at whatever moment, finds it done or not begun.
    """

    def __init__(self, purse: Purse, turns: tuple = (), calls: tuple = (), past: tuple = ()) -> None:
        self.now, self.purse = State(turns, calls), purse
        self.past = past  # the calls that the turns of a fork had taken before it was one
        self.latest: Reply | None = None  # the last that was kept: an estimate of the next builds on it
        self._reader: Callable[[], Any] = lambda: None  # weak, so that one whom nobody holds is gone
        self._lock = threading.Lock()
        purse.ledgers.append(self)

    @property
    def next_number(self) -> int:
        """Turns are counted from 1 and never twice, also not after an undo."""
        known = itertools.chain(reversed(self.now.calls), reversed(self.past))
        return 1 + next((call.turn for call in known if call.turn), 0)

    def add(self, call: Call, turn: Turn | None = None) -> None:
        """Write `call` down, and keep the `turn` that came of it."""
        new = () if turn is None else (turn,)
        while True:
            before = self.now
            after = State(before.turns + new, (*before.calls, call))
            # CPython lets another thread, a finalizer or an interrupt in at calls and jumps only: not here.
            if self.now is before:
                self.now = after
                return

    def keep_turns(self, count: int) -> None:
        """Forget all turns but the first `count`; what they cost stays."""
        self.begin(lambda: None)
        self.now = self.now._replace(turns=self.now.turns[:count])

    def begin(self, reader: Callable[[], Any]) -> None:
        """Give the turn to `reader()`. One that was left standing loses it; raises where one is waiting."""
        with self._lock:  # safe from interrupts, which CPython does not let in between a C lock and its block
            other, new = self._reader(), reader()
            other = None if other is new else other
            if other is not None and other.busy:
                what = "let it come, or close its stream, first"
                raise RuntimeError(f"This conversation is waiting for a reply: {what}.")
            self._reader = reader
        if other is not None and not other.over:
            other.end(RuntimeError("This reply was ended: another turn of the conversation has begun since."))
