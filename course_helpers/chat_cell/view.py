"""What a chat shows: its conversation as exchanges on a page, and a sentence where no page can be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from .. import models, render
from ..client import place
from ..formatting import count, dollars
from ..history import Conversation, Reply
from ..history.records import meter
from .background import Background
from .exchange import Exchange
from .messages import CHARGED
from .page import NOTE, TEXT, Page

STARTERS = (
    "What is a token?",
    "Why does each turn of a chat cost more than the one before?",
    "What does a first API call look like in Python?",
)
"""What an empty chat offers to ask."""


class ChatView(widgets.VBox):
    """A conversation and the page that shows it: `cell.ChatCell` makes it work."""

    _running: Background[Reply] | None = None
    """The turn that is on its way."""

    def __init__(self, chat: Conversation, starters: Sequence[str]) -> None:
        self.chat = chat
        self._exchanges: list[Exchange] = []
        self._numbers = itertools.count(1)
        self._shown_in: str | None = None
        self._page = Page(starters=list(starters))
        super().__init__([self._page], layout=widgets.Layout(width="100%"))
        self.add_class("course-chat")

    def close(self) -> None:
        """Take it off the screen, with all its parts."""
        for part in (self._page.layout, self._page, self.layout):
            part.close()
        super().close()

    def _ipython_display_(self) -> None:
        self._shown_in = this_run()
        display({"text/plain": TEXT, "text/html": NOTE}, raw=True)
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}

    def _take_back(self, number: int | None = None) -> str | None:
        """Remove the exchange `number` and all after it, by default the last; its question.

        From the conversation too, where they are kept there.
        """
        self._catch_up()
        if self._running is not None or not self._exchanges:
            return None
        numbers = [exchange.number for exchange in self._exchanges]
        at = len(numbers) - 1 if number is None else numbers.index(number)
        for exchange in self._exchanges[at:]:
            if exchange.turn is not None:
                self.chat.undo()
        question = self._exchanges[at].question
        self._show(self._exchanges[:at])
        return question

    def _show(self, exchanges: list[Exchange]) -> None:
        """Show these exchanges and no others."""
        known = {exchange.number for exchange in self._exchanges}
        self._exchanges = exchanges
        self._page.post(keep=[exchange.number for exchange in exchanges])
        for exchange in exchanges:
            if exchange.number not in known:
                self._page.post(**exchange.whole)

    def _catch_up(self) -> None:
        """Show what code did to the conversation meanwhile: turns added, taken back or loaded."""
        if self._running is not None:
            return
        turns = {id(turn): turn for turn in self.chat.turns}
        exchanges = [known for known in self._exchanges if known.turn is None or id(known.turn) in turns]
        shown = {id(known.turn) for known in exchanges}
        for turn in (turn for name, turn in turns.items() if name not in shown):
            exchange = Exchange(next(self._numbers), turn.user, turn.model, lambda **_: None)
            exchange.turn, exchange.text = turn, turn.assistant
            exchange.finish([turn])
            exchanges.append(exchange)
        if exchanges != self._exchanges:
            self._show(exchanges)
        self._refresh(self._page.status, busy=False)

    def _refresh(self, said: str, *, busy: bool) -> None:
        """The lines and controls around the transcript, for what is so now."""
        chat, page = self.chat, self._page
        line = f"{count(len(chat.turns), 'turn')} · {meter(chat.total)}"
        if chat.budget_usd is not None:
            line += f" of a budget of {dollars(chat.budget_usd)}"
        with page.hold_sync():
            page.session, page.status, page.busy = line + CHARGED[place(chat.client)], said, busy
            page.models, page.model, page.system = _model_options(chat), chat.model, chat.system or ""


class SeenReply(Reply):
    """A reply that stands in the chat: the cell that asked for it says only what it took."""

    def __init__(self, *, run: str | None, **fields: Any) -> None:
        super().__init__(**fields)
        vars(self)["_run"] = run

    def _ipython_display_(self) -> None:
        if self._run is not None and self._run == this_run():
            display({"text/plain": f"In the chat: {' · '.join(self._small)}"}, raw=True)
        else:
            display({"text/plain": repr(self), "text/html": self._repr_html_()}, raw=True)


def kernel_message() -> dict[str, Any]:
    """The message of the front end that is being carried out."""
    return getattr(get_ipython(), "parent_header", None) or {}


def this_run() -> str | None:
    """What tells this run of a cell from all others; None outside of a notebook."""
    return kernel_message().get("header", {}).get("msg_id")


def _model_options(chat: Conversation) -> list[tuple[str, str]]:
    """Label and id of each model to choose from, with its alias and, if it is going, its last day.

    Of another's server only the names are known that were used on it.
    """
    names = list(dict.fromkeys([chat.model, *(call.model for call in chat.calls)]))
    if place(chat.client) not in ("practice", "live"):
        return [(render.plain(name), name) for name in names]
    aliases = {model_id: f"{alias}: {model_id}" for alias, model_id in models.ALIASES.items()}
    options = {}
    for model in models.available():
        going = f" (retires {model.retires:%Y-%m-%d})" if model.retires else ""
        options[model.id] = aliases.get(model.id, model.id) + going
    others = {name: name for name in names if name not in options}
    return [(label, name) for name, label in (others | options).items()]
