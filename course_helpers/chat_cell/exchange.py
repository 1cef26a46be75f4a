"""One question and its answer: the thread that fetches it, and how it stands in the chat as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from .. import render
from ..history import Call, Reply, Turn
from .texts import bill

UPDATES_PER_SECOND = 23  # of a growing reply, at most; the first piece after a pause is told at once
REDRAWN_EVERY = 0.6  # seconds until what came as plain words is drawn as Markdown, at least
LONGEST_TAIL = 800  # characters that are drawn anew each time; what is finished before them stays as it is


class Running(threading.Thread):
    """A turn on its way, in a thread and an event loop that live no longer than it or the kernel does."""

    def __init__(self, turn: Coroutine[Any, Any, Reply]) -> None:
        super().__init__(name="course-chat", daemon=True)
        threaded = sys.platform != "emscripten"  # a browser tab: there it runs on the loop that is running
        self._loop = asyncio.new_event_loop() if threaded else asyncio.get_running_loop()
        self.task, self.ended = self._loop.create_task(turn), threading.Event()
        self.task.add_done_callback(lambda _: self.ended.set())  # an interrupted `join` believes it ended
        if threaded:
            self.start()

    def run(self) -> None:
        # Not asyncio.run: where nest_asyncio has replaced it, it would leave loop and sockets open.
        with contextlib.closing(self._loop) as loop:
            # What the turn raises goes to who waits: from here it would land in any running cell.
            with contextlib.suppress(BaseException):
                loop.run_until_complete(self.task)
            loop.run_until_complete(loop.shutdown_asyncgens())

    def stop(self, wait: float = 0.0) -> None:
        """Cancel it, from any thread, at any time; then wait for its end, `wait` seconds at most."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
            # Not at once: a task that is cancelled before its first step would never begin.
            self._loop.call_soon_threadsafe(self.task.cancel)
        if self.is_alive():
            self.ended.wait(wait)


class Exchange:
    """What the reader asked, the reply, and beneath it what it cost or why there is none."""

    def __init__(self, number: int, question: str, model: str, post: Callable[..., None]) -> None:
        self.number, self.question, self.model, self._post = number, question, model, post
        self.turn: Turn | None = None  # of the conversation; None as long as, or because, there is none
        self.request: dict[str, Any] | None = None  # what was sent for the reply, where that is known
        self.text, self.foot = "", ""
        self._done = self._told = 0  # characters that stay as they are drawn; that the page knows
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = self._drawn_at = 0.0

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
        """One more piece of the reply, on the event loop of the turn; it is told with the next update."""
        self.text += piece
        if self._timer is None:
            wait = self._told_at + 1 / UPDATES_PER_SECOND - time.monotonic()
            if wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._update)
            else:
                self._update()

    def _update(self) -> None:
        """The new words as they are, or now and then the last block drawn anew with them."""
        self._timer, self._told_at = None, time.monotonic()
        fresh, tail = self.text[self._told :], self.text[self._done :]
        self._told = len(self.text)
        # What cannot be divided (a long code block, a huge table) is redrawn more rarely as it grows.
        if self._told_at - self._drawn_at < max(REDRAWN_EVERY, len(tail) / 2_000):
            self._post(id=self.number, more=render.plain(fresh))
            return
        self._drawn_at = self._told_at
        done, _, rest = tail.rpartition("\n\n")
        if len(tail) > LONGEST_TAIL and done and done.count("```") % 2 == 0:  # not within code
            self._done, tail = self._told - len(rest), rest
            self._post(id=self.number, done=render.to_html(done, style=False))
        self._post(id=self.number, tail=render.to_html(tail, style=False))

    def finish(self, calls: Sequence[Call], note: str = "", kind: str = "note") -> None:
        """No more pieces: beneath the reply a `note` and the bill of its `calls`."""
        if self._timer is not None:
            self._timer.cancel()
        told = f'<div class="course-chat-note course-chat-{kind}">{render.escape(note)}</div>' if note else ""
        self.foot = told + "".join(f"<div>{render.escape(bill(call))}</div>" for call in calls)
