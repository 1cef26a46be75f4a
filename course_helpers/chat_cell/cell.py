"""The chat as it works: what the reader does, one turn at a time, and what older runs left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from IPython import get_ipython

from ..history import Conversation, Reply
from .background import Background
from .messages import STOPPED, STOPPED_EARLY, explain, waiting
from .shown_exchange import ShownExchange
from .view import ChatView

CLOSING = 1.0
"""Seconds that Clear and closing wait for a stopped reply to end."""


class Busy(RuntimeError):
    """A reply is on its way: stop it, or wait for it."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows beneath a cell: one sentence."""
        return [f"Busy: {self}"]


class Interrupted(KeyboardInterrupt):
    """The kernel was interrupted while code waited for a reply."""

    def _render_traceback_(self) -> list[str]:
        return ["KeyboardInterrupt: the reply was stopped and is not kept."]


class ChatCell(ChatView):
    """A conversation as a widget. `chat` is the `Conversation`; the arguments are those of `Conversation`."""

    _running: Background[Reply] | None = None

    def __init__(self, chat: Conversation | None = None, **conversation_arguments: Any) -> None:
        if chat is not None and conversation_arguments:
            raise TypeError("Pass a Conversation, or the arguments to make one, not both.")
        super().__init__(Conversation(**conversation_arguments) if chat is None else chat)
        self._lock = threading.RLock()
        self._closed = False
        self._sent = ""
        self._stopped_early: set[str] = set()
        self._input.listen(self._on_send, self._on_stop)
        self._model.observe(self._guarded(self._on_model), "value")
        self._system.observe(self._guarded(self._on_system), "value")
        self._retry.on_click(self._guarded(self._on_retry))
        self._undo.on_click(self._guarded(self._on_undo))
        self._clear.on_click(self._guarded(self._on_clear))
        self._catch_up()
        _close_older(self)

    # -- from code

    def send(self, text: str) -> Reply:  # of ipywidgets' own `send` (custom messages) a box makes no use
        """One turn; its reply. Interrupting the kernel stops it; an error is shown in the chat and raised."""
        try:
            return self._begin(text).wait()
        except KeyboardInterrupt:
            raise Interrupted from None

    async def asend(self, text: str) -> Reply:
        """`send` to await: the kernel's other work goes on meanwhile."""
        return await self._begin(text).await_()

    def stop(self) -> None:
        """End the reply that is on its way, if one is."""
        with self._lock:
            if self._running is not None:
                self._running.stop()

    def close(self) -> None:
        """Stop, and take the chat off the screen; the conversation itself stays in `chat`."""
        if self.comm is None:  # closed before, or never opened: its arguments were refused
            return
        self._closed = True
        self._end_reply()
        for known in _open.values():
            known[:] = [pair for pair in known if pair[1] is not self]
        super().close()

    def __repr__(self) -> str:
        return f"ChatCell({self.chat!r})"

    # -- what the reader does; called on whichever thread the kernel chooses

    def _guarded(self, action: Callable[[], None]) -> Callable[[object], None]:
        """`action` as a callback: what goes wrong is said in the chat, not in a log that nobody reads."""

        def guarded(_: object) -> None:
            try:
                action()
            except Exception as error:
                self._refresh(explain(error), busy=self._running is not None)

        return guarded

    def _on_send(self, text: str, name: str) -> None:
        try:
            with self._lock:
                if name in self._stopped_early:  # Stop overtook Send
                    self._stopped_early.discard(name)
                    raise Busy("Stopped before it was sent.")
                self._begin(text)
                self._sent = name
        except Exception as error:
            self._input.status = explain(error)
            self._input.draft(text)

    def _on_stop(self, name: str) -> None:
        with self._lock:
            if self._running is not None:
                self._running.stop()
            elif name != self._sent:
                self._stopped_early.add(name)

    def _on_model(self) -> None:
        self.chat.model = self._model.value

    def _on_system(self) -> None:
        self.chat.system = self._system.value.strip() or None

    def _on_retry(self) -> None:
        with self._lock:
            question = self._take_back()
            if question is not None:
                self._begin(question)

    def _on_undo(self) -> None:
        with self._lock:
            question = self._take_back()
            if question is not None:
                self._input.draft(question)
                self._refresh("Taken back. What it cost stays counted.", busy=False)

    def _on_clear(self) -> None:
        self._end_reply()
        with self._lock:
            self.chat.reset()
            self._show([])
            self._refresh("Cleared. What was spent stays counted.", busy=False)

    def _take_back(self) -> str | None:
        """Remove the last exchange, from the conversation too where it is kept there; its question."""
        self._catch_up()
        if self._running is not None or not self._exchanges:
            return None
        last = self._exchanges[-1]
        if last.turn is not None:
            self.chat.undo()
        self._show(self._exchanges[:-1])
        return last.question

    def _end_reply(self) -> None:
        """Stop the reply that is on its way and wait for its end (which needs the lock)."""
        running = self._running
        if running is not None:
            running.stop()
            running.join(CLOSING)

    # -- one turn

    def _begin(self, text: str) -> Background[Reply]:
        """Put `text` on the screen and the turn on its way."""
        with self._lock:
            if self._closed:
                raise Busy("This chat was closed. Run its cell again for a new one.")
            if self._running is not None:
                raise Busy("A reply is on its way: stop it, or wait for it.")
            self._catch_up()
            exchange = ShownExchange(text, self.chat.model, self._shared)
            self._show([*self._exchanges, exchange])
            self._say("Waiting for the first piece…", exchange)
            self._running = Background(lambda: self._turn(text, exchange), name="course-chat")
            self._refresh(self._input.status, busy=True)
            return self._running

    async def _turn(self, text: str, exchange: ShownExchange) -> Reply:
        """The turn itself, in the driver's thread: pieces to the screen, then the bill or what went wrong."""
        chat, known, on_wait = self.chat, len(self.chat.calls), self.chat.on_wait
        told = chat.on_wait = lambda wait: self._say(waiting(wait), exchange)
        note, kind, said = "", "note", "The reply is complete."
        try:
            async with chat.astream(text) as pieces:
                async for piece in pieces:
                    if not exchange.text:
                        exchange.say("")
                        self._input.status = "The reply is coming…"
                    exchange.add(piece)
            reply = pieces.reply
            exchange.turn, note = reply.turn, reply.note or ""
            said = note or said
            return reply
        except asyncio.CancelledError:
            note, kind, said = STOPPED if exchange.text else STOPPED_EARLY, "stopped", "Stopped."
            return Reply(exchange.text, note=note, call=next(reversed(chat.calls[known:]), None))
        except BaseException as error:
            note, kind = explain(error), "error"
            said = note.partition("\n")[0]
            raise
        finally:
            if chat.on_wait is told:  # code may have set another meanwhile
                chat.on_wait = on_wait
            with self._lock:
                self._running = None
                if not self._closed:
                    exchange.finish(chat.calls[known:], note, kind)
                    self._refresh(said, busy=False)

    def _say(self, words: str, exchange: ShownExchange) -> None:
        exchange.say(words)
        self._input.status = words

    def _catch_up(self) -> None:
        """Show what code did to the conversation meanwhile: turns added, taken back or loaded."""
        if self._running is not None:
            return
        turns = {id(turn): turn for turn in self.chat.turns}
        exchanges = [known for known in self._exchanges if known.turn is None or id(known.turn) in turns]
        shown = {id(known.turn) for known in exchanges}
        for turn in (turn for name, turn in turns.items() if name not in shown):
            exchange = ShownExchange(turn.user, turn.model, self._shared)
            exchange.turn, exchange.text = turn, turn.assistant
            exchange.finish([turn])
            exchanges.append(exchange)
        self._show(exchanges)
        self._refresh(self._input.status, busy=False)


_open: dict[str, list[tuple[str, ChatCell]]] = {}
"""For each notebook cell, the chats that it made, each with the run that made it."""


def _close_older(chat_cell: ChatCell) -> None:
    """Close what earlier runs of the same notebook cell made: their view is gone from the page."""
    message = getattr(get_ipython(), "parent_header", None) or {}
    cell, run = message.get("metadata", {}).get("cellId"), message.get("header", {}).get("msg_id")
    if cell is None:
        return
    for before, older in list(_open.setdefault(cell, [])):
        if before != run:
            older.close()
    _open[cell].append((run, chat_cell))
