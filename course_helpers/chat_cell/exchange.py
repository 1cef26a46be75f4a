"""One question and its answer as they stand in the chat, from the first piece to the bill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import render
from .messages import bill

if TYPE_CHECKING:
    from ..history import Call, Turn

UPDATES_PER_SECOND = 23
"""How often a growing reply is told to the page, at most; the first piece after a pause goes at once."""

REDRAWN_EVERY = 0.6
"""Seconds until what came as plain words is drawn as Markdown, at least."""

LONGEST_QUESTION = 5_000
"""Characters of what was asked that are shown; all of them are sent."""

LONGEST_TAIL = 800
"""Characters that are drawn anew each time; what is finished before them stays as it is."""

REDRAWN_PER_SECOND = 20_000
"""Characters of one block that cannot be divided (a huge table): it is redrawn more rarely as it grows."""


class Exchange:
    """What the reader asked, the reply, and beneath it what it cost or why there is none."""

    def __init__(self, number: int, question: str, model: str, post: Callable[..., None]) -> None:
        self.number, self.question, self.model, self._post = number, question, model, post
        self.turn: Turn | None = None
        """The turn of the conversation that this shows; None as long as, or because, there is none."""
        self.request: dict[str, Any] | None = None
        """What was sent for the reply, where that is known."""
        self.text, self.foot = "", ""
        self._tail, self._fresh = "", ""
        self._timer: asyncio.TimerHandle | None = None
        self._told = self._drawn = 0.0

    @property
    def head(self) -> str:
        """The question and the model's name, as HTML."""
        words = self.question
        if len(words) > LONGEST_QUESTION:  # a huge paste would slow the page down with every turn
            words = f"{words[:LONGEST_QUESTION]}… ({len(words):,} characters were sent)"
        return (
            '<div class="course-chat-you"><div class="course-chat-who">You</div>'
            f'<div class="course-chat-words">{render.escape(words)}</div></div>'
            f'<div class="course-chat-who course-chat-model">{render.escape(self.model)}</div>'
        )

    @property
    def whole(self) -> dict[str, Any]:
        """All that the page shows of it."""
        body = render.to_html(self.text, style=False) if self.text else ""
        sent = self.request is not None
        return {"id": self.number, "head": self.head, "body": body, "foot": self.foot, "sent": sent}

    def anew(self) -> dict[str, Any]:
        """`whole`, for pages that begin with it: what comes later goes on from there."""
        self._tail, self._fresh = render.plain(self.text), ""
        return self.whole

    # -- while it grows, on the event loop of the driver

    def add(self, piece: str) -> None:
        """One more piece of the reply; it is told with the next update."""
        self.text += piece
        self._fresh += render.plain(piece)
        if self._timer is None:
            wait = self._told + 1 / UPDATES_PER_SECOND - time.monotonic()
            if wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._update)
            else:
                self._update()

    def _update(self) -> None:
        """The new words as they are, or now and then the last block drawn anew with them."""
        self._timer, self._told = None, time.monotonic()
        fresh, self._fresh = self._fresh, ""
        self._tail += fresh
        rare = max(REDRAWN_EVERY, len(self._tail) / REDRAWN_PER_SECOND)
        if self._told - self._drawn < rare:
            self._post(id=self.number, more=fresh)
            return
        self._drawn = self._told
        if len(self._tail) > LONGEST_TAIL:
            done, self._tail = render.settled(self._tail)
            if done:
                self._post(id=self.number, done=render.to_html(done, style=False))
        self._post(id=self.number, tail=render.to_html(self._tail, style=False))

    def say(self, words: str) -> None:
        """A passing word beneath the reply: what is being waited for."""
        self._post(id=self.number, foot=f"<div>{render.escape(words)}</div>")

    # -- at its end

    def finish(self, calls: list[Call], note: str = "", kind: str = "") -> None:
        """The whole reply, drawn exactly, with a `note` and the bill of its `calls` beneath."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        told = f'<div class="course-chat-note course-chat-{kind}">{render.escape(note)}</div>' if note else ""
        self.foot = told + "".join(f"<div>{render.escape(bill(call))}</div>" for call in calls)
        self._post(**self.whole)
