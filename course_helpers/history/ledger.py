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

BUSY = "This conversation is waiting for a reply: let it come, or close its stream, first."
ENDED = "This reply was ended: another turn of the conversation has begun since."


class BudgetExceeded(ValueError):
    """The next call could cost more than is left of `budget_usd`: nothing was sent."""


class Claim:
    """The right to add the next turn, which one reader has at a time; `close` ends its reading."""

    def __init__(self, close: Callable[[], Callable | None] = lambda: None) -> None:
        self._close = close  # a weak reference, so that a reader whom nobody holds is gone at once
        self.lost = self.over = False  # has another taken it? has its turn ended, in whatever way?
        self.stream: Any = None  # the events that its reader has open
        self.take()

    def take(self) -> None:
        """This thread, or this task of it, is at it now."""
        self.thread, self._task = threading.current_thread(), _current_task()

    def give_way(self) -> None:
        """Lose it to another."""
        self.lost = self.over = True
        if close := self._close():
            close()

    @property
    def is_elsewhere(self) -> bool:
        """Is it in the hands of another thread or task that is still at it?"""
        if self._task is not None:
            return self._task is not _current_task() and not self._task.done()
        return self.thread is not threading.current_thread() and self.thread.is_alive()


def _current_task() -> asyncio.Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@dataclass
class Purse:
    """One budget, in USD, for a conversation and all its forks."""

    budget_usd: float | None = None
    ledgers: list[Ledger] = field(default_factory=list)
    """Of them all, also those whose conversations are gone: what was spent stays spent."""

    def check(self, worst: float, said: str) -> None:
        """Raises `BudgetExceeded`, which begins with `said`, where `worst` dollars are more than is left."""
        spent = sum(ledger.now.total.cost_usd - ledger.counted for ledger in self.ledgers)
        if self.budget_usd is None or spent + worst <= self.budget_usd * (1 + 1e-9):
            return
        if math.isnan(spent + worst):
            raise BudgetExceeded("Nothing was sent: budget_usd cannot be kept where a price is not known.")
        so_far = f"{dollars(spent)} of the budget of {dollars(self.budget_usd)} is spent"
        advice = "Raise budget_usd, lower max_tokens or shorten the history."
        raise BudgetExceeded(f"{said}, and {so_far}. {advice}")


@dataclass(frozen=True)
class State:
    """Turns, calls and their total at one moment."""

    turns: tuple[Turn, ...] = ()
    calls: tuple[Call, ...] = ()
    total: Total = field(default_factory=Total)


class Ledger:
    """Turns and calls as they are `now`; `past` has the calls that a fork's shared turns had taken."""

    def __init__(self, turns: Iterable, calls: Iterable, past: Iterable, purse: Purse) -> None:
        self.now, self.past, self.purse = State(tuple(turns), tuple(calls), Total().plus(calls)), past, purse
        self.counted = 0.0  # USD of these calls that the purse knows from another ledger
        self.latest: Reply | None = None  # the last that was kept: an estimate of the next builds on it
        self._claim: Claim | None = None
        self._lock = threading.Lock()
        purse.ledgers.append(self)

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
        return call is not None and self.now.calls[-1:] == (call,) and self.now.calls[-1] is call

    def keep_turns(self, count: int) -> None:
        """Forget all turns but the first `count`; what they cost stays."""
        self.begin(Claim())
        self._claim = None
        self.now = State(self.now.turns[:count], self.now.calls, self.now.total)

    def begin(self, claim: Claim) -> None:
        """Give `claim` the next turn. One that was left standing loses it; raises where one is running."""
        with self._lock:  # safe from interrupts, which CPython does not let in between a C lock and its block
            other = self._claim if self._claim is not None and not self._claim.over else None
            if other is not None and other.is_elsewhere:
                raise RuntimeError(BUSY)
            claim.take()
            self._claim = claim
        if other is not None:
            other.give_way()

    def check(self, claim: Claim) -> None:
        """Raises RuntimeError where another turn has begun since `claim` did."""
        if claim.lost or self._claim is not claim:
            raise RuntimeError(ENDED)
