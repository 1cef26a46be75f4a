"""The chat as it works: what the reader does, one turn at a time, and what code does beside it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import threading
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import anywidget
import traitlets
from IPython import get_ipython
from IPython.display import display

from .. import render
from ..history import Conversation, Reply
from . import texts
from .exchange import Exchange, run_aside

POLL = 0.1  # seconds between looks for an interrupt: a longer sleep would not notice one until it ends
CLOSING = 1.0  # seconds that Clear and closing wait for a stopped reply to end


class Busy(RuntimeError):
    """A reply is on its way: stop it, or wait for it."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows beneath a cell: one sentence."""
        return [f"Busy: {self}"]


class SeenReply(Reply):
    """A reply that stands in the chat: beneath the cell that asked, it says only what it took."""

    def _ipython_display_(self) -> None:
        display({"text/plain": f"In the chat: {' · '.join(self._small)}"}, raw=True)


class ChatCell(anywidget.AnyWidget):
    """A conversation as a widget: `chat` is the `Conversation`, made of the arguments where none is given.

    `starters` are questions that an empty chat offers; None are those of the course.
    The page, `page.js`, gets what lasts as traits and what happens as messages: see `post`.
    """

    _esm = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    # The style of what is rendered comes along, once a page, however many chats are open.
    _css = render.CSS + Path(__file__).with_name("style.css").read_text(encoding="utf-8")

    busy = traitlets.Bool(False).tag(sync=True)  # is a reply on its way? Then the button says Stop
    status = traitlets.Unicode("").tag(sync=True)  # what is happening now; screen readers speak it
    session = traitlets.Unicode("").tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    models = traitlets.List().tag(sync=True)  # what can be chosen: pairs of a label and an id
    system = traitlets.Unicode("").tag(sync=True)
    starters = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _made_by: ClassVar[WeakKeyDictionary[ChatCell, tuple]] = (
        WeakKeyDictionary()
    )  # which cell, which run of it

    def __init__(
        self,
        chat: Conversation | None = None,
        *,
        starters: Sequence[str] | None = None,
        **conversation_arguments: Any,
    ) -> None:
        if chat is not None and conversation_arguments:
            raise TypeError("Pass a Conversation, or the arguments to make one, not both.")
        self.chat = Conversation(**conversation_arguments) if chat is None else chat
        self._lock, self._numbers = threading.RLock(), itertools.count(1)
        self._running: futures.Future[Reply] | None = None
        self._exchanges: list[Exchange] = []
        super().__init__(starters=list(texts.STARTERS if starters is None else starters))
        self.add_class("course-chat")
        self.on_msg(lambda _widget, message, _buffers: self._act(**message))
        self._exchanges = self._caught_up()  # a page that opens says hello, and gets them
        self._refresh()
        message = getattr(get_ipython(), "parent_header", None) or {}  # that runs a cell of the notebook
        cell, run = message.get("metadata", {}).get("cellId"), message.get("header", {}).get("msg_id")
        for other, (same, before) in list(self._made_by.items()):
            if cell and same == cell and before != run:
                other.close()  # the cell was run again: the old view is gone from the page
        self._made_by[self] = cell, run

    def send(self, text: str) -> Reply:  # in place of the widget's own, which `post` does without
        """One turn; its reply. Interrupting the kernel stops it; an error is shown in the chat and raised."""
        if sys.platform == "emscripten":
            raise Busy("There are no threads here, so nothing can be waited for: type it into the chat.")
        running = self._begin(text)
        try:
            while not futures.wait([running], POLL).done:
                pass
        except KeyboardInterrupt as error:  # in one sentence too
            error._render_traceback_ = lambda: ["KeyboardInterrupt: the reply was stopped and is not kept."]
            raise
        finally:
            if not running.done():
                self.stop()
        return SeenReply(**vars(running.result()))

    def stop(self, wait: float = 0.0) -> None:
        """End the reply that is on its way, if one is; wait for its end, `wait` seconds at most."""
        if running := self._running:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                # Not at once: a task that is cancelled before its first step would never begin.
                self._loop.call_soon_threadsafe(self._loop.call_soon, lambda: self._task.cancel())
            if wait and sys.platform != "emscripten":
                futures.wait([running], wait)

    def close(self) -> None:
        """Stop, and take the chat off the screen; the conversation itself stays in `chat`."""
        if self.comm is None:  # closed before, or never opened: its arguments were refused
            return
        self.stop(CLOSING)
        self.layout.close()
        super().close()

    def _ipython_display_(self) -> None:
        display({"text/plain": texts.STAND_IN, "text/html": texts.HIDDEN_STAND_IN}, raw=True)
        data, metadata = self._repr_mimebundle_()
        display(data | {"text/plain": ""}, metadata=metadata, raw=True)

    def post(self, **message: Any) -> None:
        """Tell every view of the page, or the one called `view`, one thing that happened."""
        self._send({"method": "custom", "content": message})

    def _send(self, msg: dict, buffers: list | None = None) -> None:
        super()._send(msg, buffers)
        # ipykernel 7.4 hands a widget's messages to the thread that last spoke to it, where Stop would wait
        # for a running cell. Without the note of that thread they go to the one that JupyterLab asks for.
        vars(self.comm or self).pop("_reply_subshell_id", None)

    # -- what the reader does; called on whichever thread the kernel chooses

    def _act(self, do: str, view: str, **given: Any) -> None:
        """Do what a message of the page says. What goes wrong is said in the chat, not in an unread log."""
        try:
            if answer := getattr(self, f"_on_{do}")(**given):
                self.post(view=view, **answer)
        except Exception as error:
            self._refresh(texts.explain(error))
            if do == "send":
                self.post(view=view, draft=given["text"])

    def _on_hello(self) -> None:
        """A page was opened: it, and others that show this chat, begin with all of it."""
        self.post(all=[exchange.whole() for exchange in self._exchanges])

    def _on_send(self, text: str, edited: int | None = None) -> None:
        """A question, in place of the one numbered `edited` and all after it."""
        with self._lock:
            if edited is not None:
                self._take_back(edited)
            self._begin(text)

    _on_stop = stop

    def _on_set(self, name: str, text: str) -> None:
        """The `model` or the `system` prompt of what follows."""
        setattr(self.chat, name, text)
        self._refresh()

    def _on_retry(self) -> None:
        with self._lock:
            self._begin(self._take_back())

    def _on_undo(self) -> dict[str, Any]:
        question = self._take_back()
        self._refresh("Taken back. What it cost stays counted.")
        return {"draft": question}

    def _on_clear(self) -> None:
        self.stop(CLOSING)  # outside of the lock, which its end needs
        if self._exchanges or self.chat.turns:
            self._take_back(1)
        self._refresh("Cleared. What was spent stays counted.")

    def _on_preview(self, text: str) -> dict[str, Any]:
        known = [each for each in self._exchanges if each.turn and each.request and each.model == self.model]
        return texts.forecast(self.chat, text, known[-1] if known else None)

    def _on_take(self, id: int, what: str, why: str) -> dict[str, Any]:
        """The `question` of an exchange, the `text` of its reply, or the `request` that was sent for it."""
        taken = getattr(next(each for each in self._exchanges if each.number == id), what)
        if what == "request":
            taken = texts.in_three_languages(taken, self.chat.client)
        return {"id": id, "taken": taken, "why": why}

    def _on_export(self, kind: str, file: str) -> dict[str, Any]:
        return {"file": file, "text": getattr(texts, f"as_{kind}")(self.chat)}

    # -- one turn

    def _begin(self, text: str) -> futures.Future[Reply]:
        """Put `text` on the screen and the turn on its way."""
        with self._lock:
            if self.comm is None:
                raise Busy("This chat was closed. Run its cell again for a new one.")
            exchange = Exchange(next(self._numbers), text, self.chat.model, self.post)
            self._show([*self._caught_up(), exchange])
            threads = sys.platform != "emscripten"  # in a browser tab it runs on the loop that is running
            self._loop = asyncio.new_event_loop() if threads else asyncio.get_running_loop()
            self._running = asyncio.run_coroutine_threadsafe(self._turn(exchange), self._loop)
            if threads:  # also for a strategy that blocks: it holds up no other chat
                run_aside(self._loop, self._running)
            self._refresh()
            return self._running

    async def _turn(self, exchange: Exchange) -> Reply:
        """The turn itself: pieces to the screen, then the bill or what went wrong."""
        chat, known, note, kind = self.chat, len(self.chat.calls), "", "note"
        self._task, chat.waits["on_wait"] = asyncio.current_task(), lambda wait: self._refresh(f"{wait}.")
        try:
            self.status = "Waiting for the first piece… Stop or Esc ends it."
            async with chat.astream(exchange.question) as pieces:
                async for piece in pieces:
                    if not exchange.text:
                        self.status = "The reply is coming… Stop or Esc ends it."
                    exchange.add(piece)
            reply = pieces.reply
            exchange.turn, exchange.request, note = reply.turn, reply.request, reply.note or ""
            return reply
        except asyncio.CancelledError:
            note, kind = texts.STOPPED if exchange.text else texts.STOPPED_EARLY, "stopped"
            return Reply(exchange.text, note=note, call=next(reversed(chat.calls[known:]), None))
        except BaseException as error:
            note, kind = texts.explain(error), "error"
            if isinstance(error, Exception):
                raise
            raise RuntimeError(note) from error  # a SystemExit of a strategy would end the loop too soon
        finally:
            chat.waits.pop("on_wait", None)
            with self._lock:
                self._running = None
                exchange.finish(chat.calls[known:], note, kind)
                self.post(**exchange.whole())
                self._refresh(note.partition("\n")[0] or "The reply is complete.")

    # -- what is on the screen

    def _caught_up(self) -> list[Exchange]:
        """The exchanges, with what code did to the conversation meanwhile: turns added or taken back."""
        if self._running is not None:
            raise Busy("A reply is on its way: stop it, or wait for it.")
        turns = {id(turn): turn for turn in self.chat.turns}
        exchanges = [each for each in self._exchanges if each.turn is None or turns.pop(id(each.turn), None)]
        for turn in turns.values():
            exchange = Exchange(next(self._numbers), turn.user, turn.model, self.post)
            exchange.turn, exchange.text = turn, turn.assistant
            exchange.finish([turn])
            exchanges.append(exchange)
        return exchanges

    def _take_back(self, first: int | None = None) -> str:
        """Remove the exchange numbered `first`, by default the last, and all after it; its question."""
        with self._lock:
            exchanges = self._caught_up()
            gone = [each for each in exchanges if each.number >= (first or exchanges[-1].number)]
            for exchange in gone:
                if exchange.turn is not None:  # it is kept in the conversation too
                    self.chat.undo()
            self._show(exchanges[: -len(gone)])
            return gone[0].question

    def _show(self, exchanges: list[Exchange]) -> None:
        """Show these exchanges and no others."""
        before, self._exchanges = self._exchanges, exchanges
        self.post(keep=[exchange.number for exchange in exchanges])
        for exchange in exchanges:
            if exchange not in before:
                self.post(**exchange.whole())
        self._refresh()

    def _refresh(self, said: str | None = None) -> None:
        """The lines and controls around the transcript, for what is so now."""
        chat = self.chat
        with self.hold_sync():
            self.session, self.busy = texts.session(chat), self._running is not None
            if said is not None:
                self.status = said
            self.models, self.model, self.system = texts.model_options(chat), chat.model, chat.system or ""
