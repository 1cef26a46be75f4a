"""The chat as it works: what the reader does, one turn at a time, and what older runs left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from ..history import Conversation, Reply
from ..history.records import sendable
from ..history.stream import close_async_client
from . import copies
from .background import Background
from .exchange import Exchange
from .messages import STOPPED, STOPPED_EARLY, explain, forecast, waiting
from .view import STARTERS, ChatView, SeenReply, kernel_message, this_run

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
    """A conversation as a widget: `chat` is the `Conversation`, made of the arguments where none is given.

    `starters` are questions that an empty chat offers; None are those of the course.
    """

    def __init__(
        self,
        chat: Conversation | None = None,
        *,
        starters: Sequence[str] | None = None,
        **conversation_arguments: Any,
    ) -> None:
        if chat is not None and conversation_arguments:
            raise TypeError("Pass a Conversation, or the arguments to make one, not both.")
        made = Conversation(**conversation_arguments) if chat is None else chat
        super().__init__(made, STARTERS if starters is None else starters)
        self._lock = threading.RLock()
        self._closed = False
        self._sent = ""
        self._stopped_early: set[str] = set()
        self._page.listen(self._act)
        self._catch_up()
        _close_older(self)

    # -- from code

    def send(self, text: str) -> Reply:  # of ipywidgets' own `send` (custom messages) a box makes no use
        """One turn; its reply. Interrupting the kernel stops it; an error is shown in the chat and raised."""
        running = self._begin(text)
        if not running.threaded:
            running.stop()
            raise Busy("There are no threads here, so nothing can be waited for: use await cell.asend(…).")
        try:
            return self._displayed(running.wait())
        except KeyboardInterrupt:
            raise Interrupted from None

    async def asend(self, text: str) -> Reply:
        """`send` to await: the kernel's other work goes on meanwhile."""
        return self._displayed(await self._begin(text).await_())

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

    def _displayed(self, reply: Reply) -> Reply:
        """`reply`, which need not be shown again where it is the last line of the cell that asked."""
        return reply if self._shown_in is None else SeenReply(**vars(reply), run=this_run())

    # -- what the reader does; called on whichever thread the kernel chooses

    def _act(self, name: str, given: dict[str, Any]) -> None:
        """Do what a message of the page says. What goes wrong is said in the chat, not in an unread log."""
        try:
            _ACTIONS[name](self, **given)
        except Exception as error:
            self._refresh(explain(error), busy=self._running is not None)

    def _on_hello(self) -> None:
        """A page was opened: it, and others that show this chat, begin with all of it."""
        self._page.post(all=[exchange.anew() for exchange in self._exchanges])

    def _on_send(self, text: str, name: str, edited: int | None = None) -> None:
        """A message under a `name` of its own, by which Stop calls it; `edited`: in place of that one."""
        try:
            with self._lock:
                if name in self._stopped_early:  # Stop overtook Send
                    self._stopped_early.discard(name)
                    raise Busy("Stopped before it was sent.")
                sendable(text)
                if edited is not None and self._running is None:
                    self._take_back(edited)
                self._begin(text)
                self._sent = name
        except Exception as error:
            self._page.status = explain(error)
            self._page.post(draft=text)

    def _on_stop(self, name: str) -> None:
        with self._lock:
            if self._running is not None:
                self._running.stop()
            elif name != self._sent:
                self._stopped_early.add(name)

    def _on_model(self, text: str) -> None:
        self.chat.model = text
        self._refresh(self._page.status, busy=self._running is not None)

    def _on_system(self, text: str) -> None:
        self.chat.system = text.strip() or None

    def _on_retry(self) -> None:
        with self._lock:
            question = self._take_back()
            if question is not None:
                self._begin(question)

    def _on_undo(self) -> None:
        with self._lock:
            question = self._take_back()
            if question is not None:
                self._page.post(draft=question)
                self._refresh("Taken back. What it cost stays counted.", busy=False)

    def _on_clear(self) -> None:
        self._end_reply()
        with self._lock:
            self.chat.reset()
            self._show([])
            self._refresh("Cleared. What was spent stays counted.", busy=False)

    def _on_preview(self, text: str, view: str) -> None:
        line, share = forecast(self.chat.preview(text)) if text.strip() else ("", None)
        self._page.post(view=view, forecast=line, share=share)

    def _on_take(self, view: str, id: int, what: str, why: str) -> None:
        """The `question` or the `reply` of an exchange as text, or the request that was sent for it."""
        exchange = next(each for each in self._exchanges if each.number == id)
        if what == "request":
            taken = copies.in_three_languages(exchange.request, self.chat.client)
        else:
            taken = exchange.question if what == "question" else exchange.text
        self._page.post(view=view, id=id, taken=taken, why=why)

    def _on_export(self, view: str, kind: str) -> None:
        make, name = (copies.as_json, "chat.json") if kind == "json" else (copies.as_markdown, "chat.md")
        self._page.post(view=view, file=name, text=make(self.chat))

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
            exchange = Exchange(next(self._numbers), text, self.chat.model, self._page.post)
            self._show([*self._exchanges, exchange])
            self._say("Waiting for the first piece… Stop or Esc ends it.", exchange)
            self._running = Background(lambda: self._turn(text, exchange), name="course-chat")
            self._refresh(self._page.status, busy=True)
            return self._running

    async def _turn(self, text: str, exchange: Exchange) -> Reply:
        """The turn itself, in the driver's thread: pieces to the screen, then the bill or what went wrong."""
        chat, known, on_wait = self.chat, len(self.chat.calls), self.chat.on_wait
        told = chat.on_wait = lambda wait: self._say(waiting(wait), exchange)
        note, kind, said = "", "note", "The reply is complete."
        try:
            async with chat.astream(text) as pieces:
                async for piece in pieces:
                    if not exchange.text:
                        exchange.say("")
                        self._page.status = "The reply is coming… Stop or Esc ends it."
                    exchange.add(piece)
            reply = pieces.reply
            exchange.turn, exchange.request = reply.turn, reply.request
            note, said = reply.note or "", reply.note or said
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
            await close_async_client(chat.client)

    def _say(self, words: str, exchange: Exchange) -> None:
        exchange.say(words)
        self._page.status = words


_ACTIONS = {name.removeprefix("_on_"): act for name, act in vars(ChatCell).items() if name.startswith("_on_")}


_open: dict[str, list[tuple[str, ChatCell]]] = {}
"""For each notebook cell, the chats that it made, each with the run that made it."""


def _close_older(chat_cell: ChatCell) -> None:
    """Close what earlier runs of the same notebook cell made: their view is gone from the page."""
    cell, run = kernel_message().get("metadata", {}).get("cellId"), this_run()
    if cell is None:
        return
    for before, older in list(_open.setdefault(cell, [])):
        if before != run:
            older.close()
    _open[cell].append((run, chat_cell))
