"""The page of the chat: what it is told, and what stands in where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .. import render

_HERE = Path(__file__).parent

TEXT = "A chat with a language model: run this cell to open it."
"""What stands in place of the chat where no widget can: nbval, `jupyter execute`, a reopened notebook."""

_CHILD = ".jp-OutputArea-child"
NOTE = f"""<div class="course-chat-closed">{TEXT}</div><style>
{_CHILD}:has(.course-chat-closed):has(+ {_CHILD} .course-chat) {{ display: none; }}
{_CHILD}:has(.course-chat-closed) + {_CHILD}:not(:has(.course-chat)) {{ display: none; }}
</style>"""
"""Shown before the widget and hidden as soon as that lives: a dead one would only say "model not found"."""


class Page(anywidget.AnyWidget):
    """The chat as `page.js` draws it. What changes with every turn is posted, not kept: see `post`."""

    _esm = (_HERE / "page.js").read_text(encoding="utf-8")
    # The style of what is rendered comes along, once a page, however many chats are open.
    _css = render.CSS + (_HERE / "style.css").read_text(encoding="utf-8")

    busy = traitlets.Bool(False).tag(sync=True)  # is a reply on its way? Then the button says Stop
    status = traitlets.Unicode("").tag(sync=True)  # what is happening now; screen readers speak it
    session = traitlets.Unicode("").tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    models = traitlets.List().tag(sync=True)  # what can be chosen: pairs of a label and an id
    system = traitlets.Unicode("").tag(sync=True)
    starters = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def post(self, **message: Any) -> None:
        """Tell every view of the page, or the one called `view`, one thing that happened."""
        self._send({"method": "custom", "content": message})

    def _send(self, msg: dict, buffers: list | None = None) -> None:
        super()._send(msg, buffers)
        # ipykernel 7.4 hands a widget's messages to the thread that last spoke to it, where Stop would wait
        # for a running cell. Without the note of that thread they go to the one that JupyterLab asks for.
        vars(self.comm or self).pop("_reply_subshell_id", None)
