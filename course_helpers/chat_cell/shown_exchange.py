"""One question and its answer as they stand in the chat cell, from the first piece to the bill."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import ipywidgets as widgets

from .. import render
from .messages import bill

if TYPE_CHECKING:
    from ..history import Call, Turn

UPDATES_PER_SECOND = 12
"""How often a growing reply is redrawn, at most."""

LONGEST_QUESTION = 5_000
"""Characters of what was asked that are shown; all of them are sent."""

LONGEST_TAIL = 800
"""Characters that are sent again with each update; what is finished before them stays as it is."""

BYTES_PER_SECOND = 40_000
"""What one block that cannot be divided (a huge table) may cost; its updates become rarer as it grows."""


class ShownExchange(widgets.VBox):
    """What the reader asked, the reply, and beneath it what it cost or why there is none."""

    def __init__(self, question: str, model: str, shared: dict[str, widgets.Widget]) -> None:
        self.question = question
        self.turn: Turn | None = None
        """The turn of the conversation that this shows; None as long as, or because, there is none."""
        self.text = ""
        self._shared = shared
        self._tail = self._piece("course-chat-reply")
        self._foot = self._piece("course-chat-foot")
        self._rest = ""
        self._timer: asyncio.TimerHandle | None = None
        self._last_update = 0.0
        if len(question) > LONGEST_QUESTION:  # a huge paste would slow the page down with every turn
            question = f"{question[:LONGEST_QUESTION]}… ({len(question):,} characters were sent)"
        head = self._piece("course-chat-head")
        head.value = (
            f'<div class="course-chat-you"><div class="course-chat-who">You</div>'
            f'<div class="course-chat-words">{render.escape(question)}</div></div>'
            f'<div class="course-chat-who course-chat-model">{render.escape(model)}</div>'
        )
        super().__init__([head, self._tail, self._foot], layout=shared["exchange"])

    def _piece(self, name: str) -> widgets.HTML:
        piece = widgets.HTML(layout=self._shared["piece"], style=self._shared["style"])
        piece.add_class(name)
        return piece

    # -- while it grows, on the event loop of the driver's thread

    def add(self, piece: str) -> None:
        """One more piece of the reply; it is drawn with the next update."""
        self.text += piece
        self._rest += render.plain(piece)
        if self._timer is None:
            wait = max(1 / UPDATES_PER_SECOND, len(self._tail.value) / BYTES_PER_SECOND)
            wait -= time.monotonic() - self._last_update
            self._timer = asyncio.get_running_loop().call_later(max(wait, 0), self._update)

    def _update(self) -> None:
        self._timer, self._last_update = None, time.monotonic()
        if len(self._rest) > LONGEST_TAIL:
            done, self._rest = render.settled(self._rest)
            if done:
                self._tail.value = render.to_html(done, style=False)
                self._tail = self._piece("course-chat-reply")
                self.children = (*self.children[:-1], self._tail, self._foot)
        self._tail.value = render.to_html(self._rest, style=False)

    def say(self, words: str) -> None:
        """A passing word beneath the reply: what is being waited for."""
        self._foot.value = f"<div>{render.escape(words)}</div>"

    # -- at its end

    def finish(self, calls: list[Call], note: str = "", kind: str = "") -> None:
        """The whole reply, drawn exactly, with a `note` and the bill of its `calls` beneath."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        whole = render.to_html(self.text, style=False) if self.text else ""
        if len(self.children) > 3:
            old = self.children[1:-2]
            self.children = (self.children[0], self._tail, self._foot)
            for piece in old:
                piece.close()
        if self._tail.value != whole:
            self._tail.value = whole
        told = f'<div class="course-chat-note course-chat-{kind}">{render.escape(note)}</div>' if note else ""
        self._foot.value = told + "".join(f"<div>{render.escape(bill(call))}</div>" for call in calls)

    def close(self) -> None:
        """Take it off the screen, with all its pieces."""
        for piece in self.children:
            piece.close()
        super().close()
