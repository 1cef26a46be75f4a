"""What turns and calls were and what they cost, and the ledger that holds them."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


class Tokens(BaseModel):
    """Token counts as the API has them (`input_tokens`: the uncached part of the prompt)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    cache_read_tokens: Count = 0
    output_tokens: Count = 0
    thinking_tokens: Count = 0  # the part of the output that is thinking

    @classmethod
    def of(cls, usage: dict[str, Any]) -> Tokens:
        """The counts in the fields of an SDK `usage`; what it leaves out is 0. ValueError for no count."""
        by_age, details = usage.get("cache_creation"), usage.get("output_tokens_details")
        written = usage.get("cache_creation_input_tokens") or 0  # those for an hour among them
        hour = min(written, getattr(by_age, "ephemeral_1h_input_tokens", None) or 0)
        sent = usage.get("input_tokens"), written - hour, hour, usage.get("cache_read_input_tokens")
        came = usage.get("output_tokens"), getattr(details, "thinking_tokens", None)
        return cls(**{name: count or 0 for name, count in zip(TOKENS, sent + came, strict=True)})


TOKENS = tuple(Tokens.model_fields)
PROMPT_TOKENS = TOKENS[:4]


class Figures(Tokens):
    """Token counts and their cost."""

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

    def __repr__(self) -> str:
        return f"Turn({short(self.user, 60)!r} → {short(self.assistant, 60)!r}, {self})"


class Total(Figures):
    """Tokens and dollars of several calls together."""

    calls: Count

    def __repr__(self) -> str:
        return f"Total({count(self.calls, 'call')}, {self})"

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Total:
        """The sum of `calls`."""
        sums = {name: sum(getattr(call, name) for call in calls) for name in (*TOKENS, "cost_usd")}
        return cls(calls=len(calls), **sums)


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


class BudgetExceeded(ValueError):
    """The next call could cost more than is left of `budget_usd`: nothing was sent."""


class Purse(list["Ledger"]):
    """The ledgers of a conversation and its forks, also of those that are gone: what is spent is spent."""

    budget_usd: float | None = None  # for all of them together

    def check(self, worst: float, said: str) -> None:
        """Raises `BudgetExceeded`, which begins with `said`, where `worst` dollars are more than is left."""
        if self.budget_usd is None:
            return
        spent = sum(call.cost_usd for ledger in self for call in ledger.now.calls)
        if math.isnan(spent + worst):
            raise BudgetExceeded("Nothing was sent: budget_usd cannot be kept where a price is not known.")
        if spent + worst > self.budget_usd * (1 + 1e-9):
            said += f", and {dollars(spent)} of the budget of {dollars(self.budget_usd)} is spent."
            raise BudgetExceeded(f"{said} Raise budget_usd, lower max_tokens or shorten the history.")


class State(NamedTuple):
    """What a ledger holds at one moment."""

    turns: tuple[Turn, ...] = ()
    calls: tuple[Call, ...] = ()
    past: tuple[Call, ...] = ()  # those that the turns of a fork had taken before it was one

    @property
    def next_number(self) -> int:
        """Turns are counted from 1 and never twice, also not after an undo."""
        return 1 + next((call.turn for call in reversed(self.past + self.calls) if call.turn), 0)


class Ledger:
    """What a conversation has kept and spent, as it is `now`: each change is one assignment.

    So an interrupt, at whatever moment, finds it done or not begun.
    """

    def __init__(self, purse: Purse, now: State) -> None:
        self.purse, self.now = purse, now
        self._reader: Callable[[], Any] = lambda: None  # weak, so that one whom nobody holds is gone
        self._lock = threading.Lock()
        purse.append(self)

    def add(self, call: Call, turn: Turn | None = None) -> None:
        """Write `call` down, and keep the `turn` that came of it."""
        new = () if turn is None else (turn,)
        while True:
            before = self.now
            after = State(before.turns + new, (*before.calls, call), before.past)
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
                raise RuntimeError("This chat waits for a reply: let it come, or close its stream, first.")
            self._reader = reader
        if other is not None and not other.over:
            other.end(RuntimeError("This reply was ended: another turn of the conversation has begun since."))
