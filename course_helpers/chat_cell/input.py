"""The foot of the chat cell: a text box in which Enter sends, with Send, Stop and two status lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from .. import render

_HERE = Path(__file__).parent


class ChatInput(anywidget.AnyWidget):
    """The text box and what stands beneath it."""

    _esm = (_HERE / "input.js").read_text(encoding="utf-8")
    # The chat's whole style comes with this widget, once a page, however many chats are open.
    _css = render.CSS + (_HERE / "style.css").read_text(encoding="utf-8")

    busy = traitlets.Bool(False).tag(sync=True)
    """Is a reply on its way? Then the button says Stop."""
    status = traitlets.Unicode("").tag(sync=True)
    """What is happening now; screen readers speak it."""
    session = traitlets.Unicode("").tag(sync=True)

    def listen(self, on_send: Callable[[str, str], None], on_stop: Callable[[str], None]) -> None:
        """Call `on_send(text, name)` for each message and `on_stop(name)` for each Stop, named alike."""

        def told(_widget: ChatInput, message: object, _buffers: object) -> None:
            if not isinstance(message, dict):
                return
            if isinstance(text := message.get("send"), str):
                on_send(text, str(message.get("id")))
            elif "stop" in message:
                on_stop(str(message["stop"]))

        self.on_msg(told)

    # ipykernel 7.4 hands a widget's messages to the thread that last spoke to it, where Stop would wait for a
    # running cell. Without the note of that thread they go to the one that JupyterLab asks for.

    def open(self) -> None:
        super().open()
        vars(self.comm).pop("_reply_subshell_id", None)

    def _send(self, msg: dict, buffers: list | None = None) -> None:
        super()._send(msg, buffers)
        if self.comm is not None:
            vars(self.comm).pop("_reply_subshell_id", None)

    def draft(self, text: str) -> None:
        """Put `text` into the box, unless something is being written there."""
        self.send({"draft": text})
