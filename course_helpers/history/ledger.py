"""What a conversation has kept and what it has spent, and whose turn it is.

Every change is one assignment, of `Ledger.now`: an interrupt, at whatever moment, finds it done or not begun.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..formatting import dollars
from .records import Call, Reply, Total, Turn

ENDED = "This reply was ended: another turn of the conversation has begun since."


class BudgetExceeded(ValueError):
    """The next call could cost more than is left of `budget_usd`: nothing was sent."""


class Claim:
    """The right to add the next turn, which one reader has at a time."""

    def __init__(self, close: Callable[[], Callable | None] = lambda: None) -> None:
        self.lost, self.over = False, False
        """Has another taken it? Has its turn come to an end, in whatever way?"""
        self.stream: Any = None
        """The SDK's stream that its reader has open, and closes."""
        self._close = close  # a weak reference, so that a reader nobody holds is gone at once
        self._thread, self._task = threading.current_thread(), None

    def take(self) -> None:
        """This thread, or this task of it, is at it now."""
        self._thread, self._task = threading.current_thread(), _current_task()

    def give_way(self) -> None:
        """Lose it to another."""
        self.lost = self.over = True
        if close := self._close():
            close()

    @property
    def is_here(self) -> bool:
        """Is it in the hands of this very thread?"""
        return self._thread is threading.current_thread()

    @property
    def is_elsewhere(self) -> bool:
        """Is it in the hands of another thread or task that is still at it?"""
        if self._task is not None:
            return self._task is not _current_task() and not self._task.done()
        return not self.is_here and self._thread.is_alive()


@dataclass
class Purse:
    """One budget for a conversation and all its forks, and what they have spent of it in USD."""

    budget_usd: float | None = None
    ledgers: list[Ledger] = field(default_factory=list)
    """Of them all, also those whose conversations are gone: what was spent stays spent."""

    @property
    def spent(self) -> float:
        return sum(ledger.spent for ledger in self.ledgers)

    def check(self, worst: float, said: str) -> None:
        """Raises `BudgetExceeded`, which begins with `said`, where `worst` dollars are more than is left."""
        if self.budget_usd is None or self.spent + worst <= self.budget_usd * (1 + 1e-9):
            return
        if math.isnan(worst + self.spent):
            raise BudgetExceeded("Nothing was sent: budget_usd cannot be kept where a price is not known.")
        raise BudgetExceeded(
            f"{said}, and {dollars(self.spent)} of the budget of {dollars(self.budget_usd)} is spent. "
            "Raise budget_usd, lower max_tokens or shorten the history."
        )


@dataclass(frozen=True)
class State:
    """Turns, calls and their total at one moment."""

    turns: tuple[Turn, ...] = ()
    calls: tuple[Call, ...] = ()
    total: Total = field(default_factory=Total)


class Ledger:
    """Turns and calls as they are `now`; `past` has the calls that a fork's shared turns had taken."""

    def __init__(
        self,
        turns: Iterable[Turn] = (),
        calls: Iterable[Call] = (),
        past: Iterable[Call] = (),
        **purse: Purse,
    ) -> None:
        calls = tuple(calls)
        self.now, self.past = State(tuple(turns), calls, Total().plus(calls)), tuple(past)
        self.latest: Reply | None = None
        """The last reply that was kept, with its request: what an estimate of the next can build on."""
        self._claim: Claim | None = None
        self._lock = threading.Lock()
        self.purse: Purse = purse.get("purse") or Purse()
        self._counted = self.now.total.cost_usd if purse else 0.0
        self.purse.ledgers.append(self)

    @property
    def spent(self) -> float:
        """USD that the purse has not counted elsewhere."""
        return self.now.total.cost_usd - self._counted

    @property
    def next_number(self) -> int:
        """Turns are counted from 1 and never twice, also not after an undo."""
        calls = itertools.chain(reversed(self.now.calls), reversed(self.past))
        return 1 + next((call.turn for call in calls if call.turn), 0)

    def add(self, call: Call, turn: Turn | None = None) -> None:
        """Write `call` down, and keep the `turn` that came of it."""
        while True:
            before = self.now
            turns = before.turns if turn is None else (*before.turns, turn)
            after = State(turns, (*before.calls, call), before.total.plus([call]))
            # CPython lets another thread, a finalizer or an interrupt in at calls and jumps only: not here.
            if self.now is before:
                self.now = after
                return

    def has(self, call: Call | None) -> bool:
        """Was `call` the last that was written down?"""
        return call is not None and bool(self.now.calls) and self.now.calls[-1] is call

    def keep_turns(self, count: int) -> None:
        """Forget all turns but the first `count`; what they cost stays."""
        self.begin(Claim())
        self._claim = None
        self.now = State(self.now.turns[:count], self.now.calls, self.now.total)

    def begin(self, claim: Claim) -> None:
        """Give `claim` the next turn. One that was left standing loses it; raises where one is running."""
        with self._lock:  # safe from interrupts, which CPython does not let in between a C lock and its block
            other = self._claim
            if other is not None and not other.over and other.is_elsewhere:
                raise RuntimeError(
                    "This conversation is waiting for a reply: let it come, or close its stream, first."
                )
            claim.take()
            self._claim = claim
        if other is not None and not other.over and other is not claim:
            other.give_way()

    def check(self, claim: Claim) -> None:
        """Raises RuntimeError where another turn has begun since `claim` did."""
        if claim.lost or self._claim is not claim:
            raise RuntimeError(ENDED)


def _current_task() -> asyncio.Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
