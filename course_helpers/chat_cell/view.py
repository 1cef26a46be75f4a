"""What the chat cell looks like: controls, transcript, status lines, and the text that stands in for it."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
from IPython.display import display

from .. import models, render
from ..client import place
from ..formatting import count, dollars
from ..history import Conversation
from ..history.records import meter
from .input import ChatInput
from .shown_exchange import ShownExchange

TEXT = "A chat with a language model: run this cell to open it."
"""What stands in place of the chat where no widget can: nbval, `jupyter execute`, a reopened notebook."""

_CHARGED = {
    "practice": " (practice: nothing is charged)",
    "live": " (live)",
    "local": " (on this machine)",
    "remote": "",
}
"""What stands behind the session's dollars, by where its calls go."""

_CHILD = ".jp-OutputArea-child"
_NOTE = f"""<div class="course-chat-closed">{TEXT}</div><style>
{_CHILD}:has(.course-chat-closed):has(+ {_CHILD} .course-chat) {{ display: none; }}
{_CHILD}:has(.course-chat-closed) + {_CHILD}:not(:has(.course-chat)) {{ display: none; }}
</style>"""
"""Shown before the widget and hidden as soon as that lives: a dead one would only say "model not found"."""


class ChatView(widgets.VBox):
    """The widgets of a chat, and no more: `chat_cell.ChatCell` makes them work."""

    def __init__(self, chat: Conversation) -> None:
        self.chat = chat
        self._shared = {
            "piece": widgets.Layout(width="100%"),
            "exchange": widgets.Layout(width="100%", flex="0 0 auto"),
            "style": widgets.HTML().style,
        }
        wide = widgets.Layout(width="100%")
        self._model = widgets.Dropdown(
            options=_model_options(chat),
            value=chat.model,
            description="Model",
            layout=widgets.Layout(width="auto", flex="0 1 420px"),
            style={"description_width": "initial"},
        )
        self._system = widgets.Textarea(
            value=chat.system or "",
            description="System prompt",
            placeholder="Who the model is and how it should answer. Empty: no system prompt.",
            continuous_update=False,
            rows=3,
            layout=widgets.Layout(width="calc(100% - 4px)", display="none"),
            style={"description_width": "initial"},
        )
        self._show_system = widgets.ToggleButton(
            description="System prompt",
            tooltip="Show or hide who the model is told to be",
            layout=widgets.Layout(width="auto"),
        )
        self._show_system.observe(self._on_show_system, "value")
        self._talk = widgets.VBox(layout=widgets.Layout(margin="0 0 auto 0", flex="0 0 auto", width="100%"))
        self._nothing = widgets.HTML('<div class="course-chat-who">Nothing said yet.</div>')
        # Growing upwards, the box stays at its end, and holds its place when the reader scrolls up.
        scroll = widgets.Box(
            [self._talk],
            layout=widgets.Layout(
                flex_flow="column-reverse", overflow="auto", height="420px", width="100%", padding="8px"
            ),
        )
        scroll.add_class("course-chat-scroll")
        self._input = ChatInput()
        self._retry, self._undo, self._clear = buttons = [
            widgets.Button(description=name, tooltip=tip, layout=widgets.Layout(width="auto"))
            for name, tip in (
                ("Retry", "Ask the last question again, in place of its reply"),
                ("Undo", "Take back the last question and its reply; what it cost stays counted"),
                ("Clear", "Forget the conversation; what it cost stays counted"),
            )
        ]
        top = widgets.HBox(
            [self._model, self._show_system, *buttons],
            layout=widgets.Layout(width="100%", flex_flow="row wrap"),
        )
        super().__init__([top, self._system, scroll, self._input], layout=wide)
        self.add_class("course-chat")

    def _on_show_system(self, change: dict) -> None:
        self._system.layout.display = "" if change["new"] else "none"

    def close(self) -> None:
        """Take it off the screen, with all its parts."""
        for part in (*self._exchanges, self._nothing, *self.children):
            part.close()
        super().close()

    def _ipython_display_(self) -> None:
        display({"text/plain": TEXT, "text/html": _NOTE}, raw=True)
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}

    @property
    def _exchanges(self) -> list[ShownExchange]:
        return [child for child in self._talk.children if isinstance(child, ShownExchange)]

    def _show(self, exchanges: list[ShownExchange]) -> None:
        gone = [child for child in self._exchanges if child not in exchanges]
        self._talk.children = exchanges or [self._nothing]
        for child in gone:
            child.close()

    def _refresh(self, said: str, *, busy: bool) -> None:
        """The status lines and the buttons, for what is so now."""
        chat = self.chat
        line = f"{count(len(chat.turns), 'turn')} · {meter(chat.total)}"
        if chat.budget_usd is not None:
            line += f" of a budget of {dollars(chat.budget_usd)}"
        line += _CHARGED[place(chat.client)]
        self._input.session, self._input.status, self._input.busy = line, said, busy
        idle = not busy and bool(self._exchanges)
        self._retry.disabled = self._undo.disabled = not idle
        self._clear.disabled = not self._exchanges
        wanted, options = chat.model, _model_options(chat)
        if (self._model.value, self._model.options) != (wanted, options):
            self._model.options = options  # which chooses the first of them, for chat too
            self._model.value = wanted
        if self._system.value.strip() != (chat.system or ""):
            self._system.value = chat.system or ""


def _model_options(chat: Conversation) -> tuple[tuple[str, str], ...]:
    """Label and id of each model to choose from, with its alias and, if it is going, its last day.

    Of another's server only the names are known that were used on it.
    """
    names = list(dict.fromkeys([chat.model, *(call.model for call in chat.calls)]))
    if place(chat.client) not in ("practice", "live"):
        return tuple((render.plain(name), name) for name in names)
    aliases = {model_id: f"{alias}: {model_id}" for alias, model_id in models.ALIASES.items()}
    options = {}
    for model in models.available():
        going = f" (retires {model.retires:%Y-%m-%d})" if model.retires else ""
        options[model.id] = aliases.get(model.id, model.id) + going
    others = {name: name for name in names if name not in options}
    return tuple((label, name) for name, label in (others | options).items())
