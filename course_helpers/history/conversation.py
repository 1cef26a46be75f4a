"""The conversation itself: its settings, its turns, its transcript and its ledger.

What a turn does stands in `turn.py`; `send`, `stream`, `asend` and `astream` are four faces of it.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anthropic

from .. import models
from ..client import costs_nothing, current_client, place
from ..formatting import count
from ..models import UnknownModelError, find_model, model_id
from ..pricing import Rates, Tier, rates
from ..retries import Wait
from ..wire import advance
from . import storage
from .records import Call, Ledger, Purse, Reply, State, Total, Turn, sendable
from .strategies import Messages, Strategy, at_least, chosen
from .stream import Pieces
from .turn import Exchange, Server

if TYPE_CHECKING:
    import pandas

SAVED = ("model", "system", "max_tokens", "cache", "budget_usd")  # the settings that a file holds

# The prices of a model whose prices are not known: whatever it does costs nan.
UNPRICED = Rates(model="", provider="", tiers=(Tier(**dict.fromkeys(Tier.__annotations__, math.nan)),))


class Conversation:
    """A conversation with a model.

    `client`: one that `connect` returned; None is the one of the last `connect`, else the practice API's.
    `system`: the system prompt; None or blank for none. `max_tokens`: of a reply, thinking included.
    `keep`: what of the history is sent; None sends all of it (see `strategies.py`).
    `cache`: ask for prompt caching. `budget_usd`: this conversation and its forks never spend more.
    `on_wait`: gets a `retries.Wait` before each wait for a retry; None keeps it silent.

    Plain attributes, to be set at any time; the next turn follows them: `model` (an id or an alias),
    `system`, `max_tokens`, `keep`, `cache`, `budget_usd`, `on_wait`, and `waits`, further arguments of
    `retries.Retries`. What makes no sense is refused as it is set.
    """

    def __init__(
        self,
        client: anthropic.Anthropic | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int = 1024,
        keep: Strategy | None = None,
        cache: bool = False,
        budget_usd: float | None = None,
        on_wait: Callable[[Wait], None] | None = None,
    ) -> None:
        if client is not None and not isinstance(client, anthropic.Anthropic):
            kind = type(client).__name__
            raise TypeError(f"client is one that connect returned, not {kind}; asend needs no other.")
        self.client, self.waits, self._ledger = client or current_client(), {}, Ledger(Purse(), State())
        self.model, self.system, self.max_tokens = model or models.MODEL, system, max_tokens
        self.keep, self.cache, self.budget_usd, self.on_wait = keep, cache, budget_usd, on_wait

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "model":
            value, where = model_id(value), place(self.client)
            if where == "practice" or (where == "live" and rates(value).provider != "anthropic"):
                find_model(value)  # raises where it is not served
        elif name == "max_tokens":
            at_least(1, max_tokens=value)
        elif name == "system" and value is not None:
            blank = isinstance(value, str) and not value.strip()
            value = None if blank else sendable(value, "system prompt")
        super().__setattr__(name, value)

    @property
    def budget_usd(self) -> float | None:
        """What this conversation and its forks may spend in all; None for no bound."""
        return self._ledger.purse.budget_usd

    @budget_usd.setter
    def budget_usd(self, usd: float | None) -> None:
        if usd is not None and not (isinstance(usd, int | float) and 0 <= usd < math.inf):
            raise ValueError(f"budget_usd is an amount of dollars from 0, or None, not {usd!r}.")
        self._ledger.purse.budget_usd = None if usd is None else float(usd)

    def send(self, text: str) -> Reply:
        """Ask `text`, with the history; the whole reply at once."""
        whole = self._turn(text, streamed=False)
        next(whole, None)
        return whole.reply

    async def asend(self, text: str) -> Reply:
        """`send` to await."""
        whole = self._turn(text, streamed=False)
        await anext(whole, None)
        return whole.reply

    def stream(self, text: str) -> Pieces:
        """Ask `text`, with the history; the reply piece by piece. What is not read to its end is not kept."""
        return self._turn(text, streamed=True)

    astream = stream  # for `async with` and `async for`

    def _turn(self, text: str, *, streamed: bool) -> Pieces:
        choose = functools.partial(chosen, self.keep, self)
        return Pieces(Exchange(self.server(), sendable(text), choose, streamed), self.client)

    def count(self, messages: list[dict[str, Any]]) -> int:
        """The input tokens of `messages` and the system prompt: an estimate where the server counts none."""
        return advance(self.server().count(messages), self.client)

    def ask(self, messages: list[dict[str, Any]]) -> str:
        """What the model answers to `messages`, outside of the conversation; its call is counted."""
        return advance(self.server().ask(messages), self.client)

    def fork(self, after_turn: int | Turn | None = None, **settings: Any) -> Conversation:
        """A conversation with the same past and a future of its own.

        Its turns are those up to the one numbered `after_turn` (0 for none, None for all). `settings` are
        arguments of `Conversation`; the others are as they are here. `calls` starts empty: what the past had
        cost is in `past`. `budget_usd` is one purse, for this conversation and all forks together.
        """
        turns, past = self._ledger.now.turns, (*self._ledger.now.past, *self._ledger.now.calls)
        if after_turn is not None:
            number, numbers = getattr(after_turn, "turn", after_turn), [0, *(turn.turn for turn in turns)]
            if number not in numbers:
                raise ValueError(f"after_turn is the number of a turn, one of {numbers}, not {number!r}.")
            billed = [0, *(call.turn for call in past)]
            turns, past = turns[: numbers.index(number)], past[: billed.index(number)]
        same = {name: getattr(self, name) for name in ("client", *SAVED, "keep", "on_wait")}
        fork, purse = Conversation(**same | settings), self._ledger.purse
        purse.budget_usd, fork.waits = fork.budget_usd, dict(self.waits)
        fork._ledger = Ledger(purse, State(turns, past=past))
        return fork

    def __deepcopy__(self, memo: dict | None = None) -> Conversation:
        return self.fork()  # turns and calls are frozen, and a client cannot be copied

    __copy__ = __deepcopy__

    def __reduce__(self) -> Any:
        raise TypeError("A client, and so a key, is not pickled: use chat.save(path) and Conversation.load.")

    @property
    def messages(self) -> list[dict[str, str]]:
        """The transcript: a new list of `{"role", "content"}`, always fit to be sent."""
        return list(Messages(self._ledger.now.turns))

    @property
    def turns(self) -> list[Turn]:
        """What the transcript holds, with the figures of each turn."""
        return list(self._ledger.now.turns)

    @property
    def calls(self) -> list[Call]:
        """The ledger: each billed request, in the order in which they were billed."""
        return list(self._ledger.now.calls)

    @property
    def total(self) -> Total:
        """The sum of the ledger."""
        return Total.of(self._ledger.now.calls)

    @property
    def past(self) -> Total:
        """What the shared past of a fork had cost when it was forked; nothing for other conversations."""
        return Total.of(self._ledger.now.past)

    def undo(self) -> Turn | None:
        """Take back the last turn and return it; None if there is none. Its cost stays in the ledger."""
        turns = self._ledger.now.turns
        self._ledger.keep_turns(max(0, len(turns) - 1))
        return turns[-1] if turns else None

    def reset(self) -> None:
        """Forget all turns. What they cost stays in the ledger."""
        self._ledger.keep_turns(0)

    def save(self, path: str | os.PathLike) -> None:
        """Write the conversation to a file that `load` reads: whole, or not at all."""
        storage.write(path, {name: getattr(self, name) for name in SAVED}, self._ledger.now)

    @classmethod
    def load(
        cls, path: str | os.PathLike, client: anthropic.Anthropic | None = None, keep: Strategy | None = None
    ) -> Conversation:
        """The conversation that `save` wrote; raises `NotAConversation`, a ValueError that says why not."""
        saved = storage.read(path)
        settings = {name: getattr(saved, name) for name in SAVED if name != "model"}
        chat = cls(client, keep=keep, **settings)
        vars(chat)["model"] = saved.model  # not served here, perhaps: then set another before the next turn
        chat._ledger = Ledger(chat._ledger.purse, State(saved.turns, saved.calls, saved.past))
        return chat

    def to_frame(self) -> pandas.DataFrame:
        """The ledger as a pandas frame, one row a call: see `frames.py`."""
        from ..frames import to_frame

        return to_frame(self.calls)

    def __repr__(self) -> str:
        return f"Conversation({self.model}, {count(len(self.turns), 'turn')}, {self.total})"

    def server(self) -> Server:
        """What asks, with the settings of now. Raises `UnknownModelError` where it has to have a price."""
        try:
            known = None if costs_nothing(self.client, self.model) else rates(self.model)
        except UnknownModelError:
            if place(self.client) in ("practice", "live"):
                raise
            known = UNPRICED
        settings = self.model, self.max_tokens, self.system, self.cache, known
        return Server(*settings, {"on_wait": self.on_wait, **self.waits}, self._ledger)
