"""The conversation itself: its settings, its turns, its transcript and its ledger.

`send`, `stream`, `asend` and `astream` are drivers of one and the same turn: see `turn.py`.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anthropic

from ..client import costs_nothing, current_client, place
from ..formatting import count
from ..models import MODEL, UnknownModelError, find_model, model_id
from ..pricing import Rates, Tier, rates
from ..retries import Retries, Wait
from . import storage
from .records import Call, Reply, Total, Turn, meter, sendable, shown
from .responses import aask, ask
from .steps import Steps, adrive, drive
from .strategies import Strategy, Transcript, at_least
from .stream import AsyncPieces, Pieces, async_client_of
from .turn import OneTurn, short

if TYPE_CHECKING:
    import pandas

UNPRICED = Rates(model="", provider="", tiers=(Tier(**dict.fromkeys(Tier.__annotations__, math.nan)),))
"""The prices of a model whose prices are not known: whatever it does costs nan."""


class Conversation:
    """A conversation with a model.

    `client`: one that `connect` returned; None is the one of the last `connect`, else the practice API's.
    `keep`: what of the history is sent; None sends all of it (see `strategies.py`).
    `cache`: ask for prompt caching. `budget_usd`: more than this is never spent.
    `on_wait`: gets a `retries.Wait` before each wait for a retry; None keeps it silent.

    Plain attributes, to be set at any time; the next turn follows them: `model` (an id or an alias),
    `system`, `max_tokens`, `keep`, `cache`, `budget_usd`, `on_wait`, and `waits`, further arguments of
    `retries.Retries`.
    """

    def __init__(
        self,
        client: anthropic.Anthropic | None = None,
        *,
        model: str = MODEL,
        system: str | None = None,
        max_tokens: int = 1024,
        keep: Strategy | None = None,
        cache: bool = False,
        budget_usd: float | None = None,
        on_wait: Callable[[Wait], None] | None = None,
    ) -> None:
        if client is not None and not isinstance(client, anthropic.Anthropic):
            raise TypeError(
                f"client is one that connect returned, not {type(client).__name__}; asend needs no other."
            )
        self.client = client or current_client()
        self._turns: list[Turn] = []
        self._calls: list[Call] = []
        self._summed = (0, Total())
        self._lock = threading.Lock()
        self._latest: weakref.ref[OneTurn] | None = None
        self.waits: dict[str, Any] = {}
        self.model, self.system, self.max_tokens = model, system, max_tokens
        self.keep, self.cache, self.budget_usd, self.on_wait = keep, cache, budget_usd, on_wait

    # ------------------------------------------------------------------------------- settings

    @property
    def model(self) -> str:
        """The id of the model that answers the next turn. An alias is resolved, an unknown name refused."""
        return self._model

    @model.setter
    def model(self, name: str) -> None:
        id, where = model_id(name), place(self.client)
        if where in ("practice", "live"):
            try:
                find_model(id)
            except UnknownModelError:
                if where == "practice" or rates(id).provider != "anthropic":
                    raise
        self._model = id

    @property
    def system(self) -> str | None:
        """The system prompt; None or blank for none."""
        return self._system

    @system.setter
    def system(self, text: str | None) -> None:
        if text is not None and not isinstance(text, str):
            raise TypeError(f"system is text or None, not {type(text).__name__}.")
        self._system = sendable(text, "system prompt") if text and text.strip() else None

    @property
    def max_tokens(self) -> int:
        """The most tokens that a reply may have, thinking included."""
        return self._max_tokens

    @max_tokens.setter
    def max_tokens(self, tokens: int) -> None:
        at_least(1, max_tokens=tokens)
        self._max_tokens = tokens

    @property
    def budget_usd(self) -> float | None:
        """What may be spent in all; None for no bound."""
        return self._budget_usd

    @budget_usd.setter
    def budget_usd(self, usd: float | None) -> None:
        if usd is not None and not (isinstance(usd, int | float) and 0 <= usd < math.inf):
            raise ValueError(f"budget_usd is an amount of dollars from 0, or None, not {usd!r}.")
        self._budget_usd = None if usd is None else float(usd)

    # ---------------------------------------------------------------------------------- turns

    def send(self, text: str) -> Reply:
        """Ask `text`, with the history; the whole reply at once."""
        turn = OneTurn(self, text)
        try:
            request = self._carry_out(turn.prepare())
            turn.retries.run(lambda: ask(self.client, request, turn.attempt()))
            return turn.commit()
        except BaseException as error:
            turn.settle()
            raise short(error) from error.__cause__

    def stream(self, text: str) -> Pieces:
        """Ask `text`, with the history; the reply piece by piece. What is not read to its end is not kept."""
        return Pieces(OneTurn(self, text))

    async def asend(self, text: str) -> Reply:
        """`send` to await."""
        turn = OneTurn(self, text)
        try:
            client = await async_client_of(self.client)
            request = await adrive(turn.prepare(), client)
            await turn.retries.arun(lambda: aask(client, request, turn.attempt()))
            return turn.commit()
        except BaseException as error:
            turn.settle()
            raise short(error) from error.__cause__

    def astream(self, text: str) -> AsyncPieces:
        """`stream` for `async with` and `async for`."""
        return AsyncPieces(OneTurn(self, text))

    # -------------------------------------------------------------------------------- history

    @property
    def messages(self) -> list[dict[str, str]]:
        """The transcript: a new list of `{"role", "content"}`, always fit to be sent."""
        return list(Transcript(self._turns))

    @property
    def turns(self) -> list[Turn]:
        """What the transcript holds, with the figures of each turn."""
        return list(self._turns)

    @property
    def calls(self) -> list[Call]:
        """The ledger: each billed request, in the order in which they were billed."""
        return list(self._calls)

    @property
    def total(self) -> Total:
        """The sum of the ledger."""
        known, total = self._summed
        if known < len(self._calls):
            new = self._calls[known:]
            self._summed = (known + len(new), total.plus(new))
        return self._summed[1]

    def undo(self) -> Turn | None:
        """Take back the last turn and return it; None if there is none. Its cost stays in the ledger."""
        self._begin(None)
        return self._turns.pop() if self._turns else None

    def reset(self) -> None:
        """Forget all turns. What they cost stays in the ledger."""
        self._begin(None)
        self._turns.clear()

    def save(self, path: str | os.PathLike) -> None:
        """Write the conversation to a file that `load` reads: whole, or not at all."""
        names = ("model", "system", "max_tokens", "cache", "budget_usd")
        settings = {name: getattr(self, name) for name in names}
        storage.write(path, storage.Saved.model_construct(**settings, turns=self.turns, calls=self.calls))

    @classmethod
    def load(
        cls, path: str | os.PathLike, client: anthropic.Anthropic | None = None, keep: Strategy | None = None
    ) -> Conversation:
        """The conversation that `save` wrote; raises `NotAConversation`, a ValueError that says why not."""
        saved = storage.read(path)
        chat = cls(client, system=saved.system, max_tokens=saved.max_tokens, keep=keep, cache=saved.cache)
        chat._model = saved.model  # not served here, perhaps: then set another before the next turn
        chat.budget_usd, chat._turns, chat._calls = saved.budget_usd, saved.turns, saved.calls
        return chat

    def to_frame(self) -> pandas.DataFrame:
        """The ledger as a pandas frame, one row a call: see `frames.py`."""
        from ..frames import to_frame

        return to_frame(self._calls)

    def __repr__(self) -> str:
        return f"Conversation({self.model}, {count(len(self._turns), 'turn')}, {meter(self.total)})"

    def _repr_html_(self) -> str:
        return shown(self._turns, repr(self))

    # ------------------------------------------------------------- what a turn on its way needs

    def _begin(self, turn: OneTurn | None) -> None:
        """Make `turn` the one on its way. One that was left standing ends; one that is running does not."""
        with self._lock:
            other = self._running()
            if other is not None and other.is_elsewhere:
                raise RuntimeError(
                    "This conversation is waiting for a reply: let it come, or close its stream, first."
                )
            self._latest = None if turn is None else weakref.ref(turn)
        if other is not None:
            other.give_way()

    def _running(self) -> OneTurn | None:
        turn = None if self._latest is None else self._latest()
        return None if turn is None or turn.done else turn

    def _request(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        request = {"model": self._model, "max_tokens": self._max_tokens, "messages": messages}
        if self._system is not None:
            request["system"] = self._system
        if self.cache:
            request["cache_control"] = {"type": "ephemeral"}
        return request

    def _rates(self, model: str) -> Rates | None:
        """The prices of `model`; None where calls cost nothing.

        Raises `UnknownModelError`; only another's server may have models of which no price is known.
        """
        if costs_nothing(self.client, model):
            return None
        try:
            return rates(model)
        except UnknownModelError:
            if place(self.client) in ("local", "remote"):
                return UNPRICED
            raise

    def _retries(self) -> Retries:
        return Retries(**{"on_wait": self.on_wait, **self.waits})

    def _next_number(self) -> int:
        return 1 + next((call.turn for call in reversed(self._calls) if call.turn), 0)

    def _carry_out(self, steps: Steps) -> Any:
        return drive(steps, self.client)
