"""One turn of a conversation on its way: prepared, answered, and then kept whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anthropic

from ..formatting import dollars
from .records import Call, Reply, Turn, sendable
from .responses import Reading
from .steps import Steps, affordable, check_budget, figures
from .strategies import Transcript, kept

if TYPE_CHECKING:
    from .conversation import Conversation

ESTIMATED = "The budget was checked with an estimate: this server does not count tokens."


def _append_together(call: Call, calls: list[Call], turn: Turn | None, turns: list[Turn]) -> None:
    """Both or neither: no interrupt comes between two appends that one call of C code makes."""
    pairs = [(calls, call), (turns, turn)] if turn else [(calls, call)]
    deque(itertools.starmap(list.append, pairs), maxlen=0)


class OneTurn:
    """A question on its way to a turn: `prepare`, `attempt`, `commit`; after a failure `settle`."""

    def __init__(self, chat: Conversation, text: str) -> None:
        self.chat, self.text = chat, sendable(text)
        self.retries = chat._retries()
        self.done = False
        self.stop: Callable[[], object] | None = None
        """Closes what is still open, once another turn has taken this one's place."""
        self._reading: Reading | None = None
        self._requests = 0
        self._call: Call | None = None
        self._estimated = False
        self._thread, self._task = threading.current_thread(), None

    def prepare(self) -> Steps:
        """The request to send. Raises before anything is sent: busy, unknown model, over budget."""
        self._thread, self._task = threading.current_thread(), _current_task()
        chat = self.chat
        chat._begin(self)
        chat._rates(chat.model)
        messages = yield from kept(chat.keep, Transcript(chat._turns, self.text), chat)
        request = chat._request(messages)
        self._model, self._max_tokens = request["model"], request["max_tokens"]
        self._rates = chat._rates(self._model)
        self._worst, self._estimated = yield from affordable(chat, request, self._rates)
        self._started, self._first = time.perf_counter(), None
        return request

    def attempt(self) -> Reading:
        """A reading for the next request. What the one before it is known to have cost is written down."""
        self._lose()
        if self._requests and self._rates:  # what was lost may have been dear
            said = f"Not tried again: another request could cost {dollars(self._worst)}"
            check_budget(self.chat, self._worst, said)
        self._requests += 1
        self._reading = Reading()
        return self._reading

    def flows(self) -> None:
        """The first piece of text is here."""
        self._first = time.perf_counter() - self._started

    def commit(self) -> Reply:
        """Keep the turn, or say why there is none; the call is in the ledger either way."""
        chat, reading = self.chat, self._reading
        if self.done or chat._running() is not self:
            raise RuntimeError("This reply was ended: another turn of the conversation has begun since.")
        text, note = "", why_not_kept(reading, self._max_tokens)
        if note is None:
            text, note, number = reading.text, why_cut(reading, self._max_tokens), chat._next_number()
            turn = Turn(turn=number, user=self.text, assistant=text, **self._figures("reply", reading))
            self._call = turn.call
        else:
            turn, self._call = None, Call(**self._figures("lost", reading))
        if self._estimated:
            note = f"{note} {ESTIMATED}" if note else ESTIMATED
        reply = Reply(text, turn, reading.stop_reason, note, self._call)
        self.done = True
        _append_together(self._call, chat._calls, turn, chat._turns)
        return reply

    def settle(self) -> None:
        """After a failure or an interrupt, whenever it came: no turn is kept, only what it cost."""
        chat, committed = self.chat, self._call
        if committed is not None and chat._calls and chat._calls[-1] is committed:
            # The interrupt came just after the commit: whoever asked never saw the reply.
            if committed.turn is not None:
                chat._turns[:] = [turn for turn in chat._turns if turn.turn != committed.turn]
            chat._calls[-1] = committed.model_copy(update={"kind": "lost", "turn": None})
            self._reading = None
        self.done = True
        self._lose()

    def give_way(self) -> None:
        """End this turn, as another takes its place."""
        self.settle()
        if self.stop is not None:
            with contextlib.suppress(Exception):
                self.stop()

    @property
    def is_elsewhere(self) -> bool:
        """Is it in the hands of another thread or task that is still at it?"""
        if self._task is not None:
            return self._task is not _current_task() and not self._task.done()
        return self._thread is not threading.current_thread() and self._thread.is_alive()

    def _lose(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and reading.counts is not None:
            self.chat._calls.append(Call(**self._figures("lost", reading)))

    def _figures(self, kind: str, reading: Reading) -> dict[str, Any]:
        return figures(
            kind,
            self._model,
            self._rates,
            reading,
            seconds=time.perf_counter() - self._started,
            first_token_seconds=self._first,
            attempts=self._requests,
        )


def short(error: BaseException) -> BaseException:
    """`error`; one of a call without its way through the SDK, which fills a screen and helps nobody."""
    return error.with_traceback(None) if isinstance(error, anthropic.APIError | KeyboardInterrupt) else error


def why_not_kept(reading: Reading, max_tokens: int) -> str | None:
    """What happened and what to do, where `reading` gives no text that can stand in a history."""
    if reading.stop_reason == "refusal":
        said = f" It said: {reading.explanation}" if reading.explanation else ""
        return f"The model refused to answer. Nothing was kept: ask in other words, or another model.{said}"
    if reading.text.strip():
        return None
    if reading.stop_reason == "max_tokens":
        went = "went into thinking" if reading.thought else "ran out"
        return (
            f"No text came: max_tokens={max_tokens:,} {went}. Nothing was kept: raise max_tokens, ask again."
        )
    if reading.stop_reason == "model_context_window_exceeded":
        return "No text came: the context window is full. Nothing was kept: shorten the history."
    what = "The model thought, and then said nothing" if reading.thought else "The reply was empty"
    return f"{what} (stop reason {reading.stop_reason}). Nothing was kept: ask again, or in other words."


def why_cut(reading: Reading, max_tokens: int) -> str | None:
    """Where a reply that was kept does not end by itself: why, and what to do."""
    if reading.stop_reason == "max_tokens":
        return f"Cut off at max_tokens={max_tokens:,}: raise it, or ask the model to go on."
    if reading.stop_reason == "model_context_window_exceeded":
        return "Cut off: the context window is full. Shorten the history with keep=…, or start anew."
    return None


def _current_task() -> asyncio.Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
