"""One question and its answer: what fetches it, and how they stand in the chat while the answer grows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

from .. import render
from ..formatting import plain
from ..history import Call, Turn
from .texts import bill

LATEST = 0.04  # seconds that a piece waits, at most, to be told with those after it
REDRAWN_EVERY = 0.6  # seconds until what came as plain words is drawn as Markdown, at least
LONGEST_TAIL = 800  # characters that are drawn anew each time; what is finished before them stays as it is


def run_aside(loop: asyncio.AbstractEventLoop, running: futures.Future) -> None:
    """Let `loop` run, in a thread of its own, until what is `running` on it is done."""

    def work() -> None:
        # Not asyncio.run: where nest_asyncio has replaced it, it would leave loop and sockets open.
        with contextlib.closing(loop):
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())

    running.add_done_callback(lambda _: loop.stop())
    threading.Thread(target=work, name="course-chat", daemon=True).start()


class Exchange:
    """What the reader asked, the reply, and beneath it what it cost or why there is none."""

    def __init__(self, number: int, question: str, model: str, post: Callable[..., None]) -> None:
        self.number, self.question, self.model, self._post = number, question, model, post
        self.turn: Turn | None = None  # of the conversation; None as long as, or because, there is none
        self.request: dict[str, Any] | None = None  # what was sent for the reply, where that is known
        self.text, self.foot = "", ""
        self._done = self._told = 0  # characters that stay as they are drawn; that the page knows
        self._timer: asyncio.TimerHandle | None = None
        self._came = self._since = self._drawn = 0.0  # when: the last piece; the first not told; Markdown

    def whole(self) -> dict[str, Any]:
        """All that a page shows of it; what comes later goes on from there."""
        self._done, self._told = 0, len(self.text)
        head = (
            '<div class="course-chat-you"><div class="course-chat-who">You</div>'
            f'<div class="course-chat-words">{render.escape(self.question)}</div></div>'
            f'<div class="course-chat-who course-chat-model">{render.escape(self.model)}</div>'
        )
        body, sent = render.to_html(self.text, style=False) if self.text else "", self.request is not None
        return {"id": self.number, "head": head, "body": body, "foot": self.foot, "sent": sent}

    def add(self, piece: str) -> None:
        """One more piece of the reply, on the event loop of the turn; it is told with others, and soon."""
        now, waiting = time.monotonic(), self._told < len(self.text)
        self.text += piece
        self._since = self._since if waiting else now
        pause, self._came = now - self._came, now
        if now + pause - self._since > LATEST:  # the next one would come too late to be told with these
            self._update()
        elif not waiting:
            self._timer = asyncio.get_running_loop().call_later(LATEST, self._update)

    def _update(self) -> None:
        """The new words as they are, or now and then the last block drawn anew with them."""
        self._rest()
        now, fresh, tail = time.monotonic(), self.text[self._told :], self.text[self._done :]
        self._told = len(self.text)
        # What cannot be divided (a long code block, a huge table) is redrawn more rarely as it grows.
        if now - self._drawn < max(REDRAWN_EVERY, len(tail) / 2_000):
            self._post(id=self.number, more=plain(fresh))
            return
        self._drawn = now
        done, _, rest = tail.rpartition("\n\n")
        if len(tail) > LONGEST_TAIL and done and done.count("```") % 2 == 0:  # not within code
            self._done, tail = self._told - len(rest), rest
            self._post(id=self.number, done=render.to_html(done, style=False))
        self._post(id=self.number, tail=render.to_html(tail, style=False))

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def finish(self, calls: Sequence[Call], note: str = "", kind: str = "note") -> None:
        """No more pieces: beneath the reply a `note` and the bill of its `calls`."""
        self._rest()
        told = f'<div class="course-chat-note course-chat-{kind}">{render.escape(note)}</div>' if note else ""
        self.foot = told + "".join(f"<div>{render.escape(bill(call))}</div>" for call in calls)
