"""Widgets that leave a true sentence behind where they cannot live: a reopened notebook, nbviewer, nbval."""

from __future__ import annotations

from html import escape
from typing import Any

# The sentence is an output of its own, above the widget's. Where JupyterLab shows both, the style hides the
# sentence while the widget lives, and else the widget's output, which would only say "model not found".
_NOTE = """<div class="{name}-closed">{text}</div><style>
.jp-OutputArea-child:has(.{name}-closed):has(+ .jp-OutputArea-child .{name}) {{ display: none; }}
.jp-OutputArea-child:has(.{name}-closed) + .jp-OutputArea-child:not(:has(.{name})) {{ display: none; }}
</style>"""


def show(what: Any, name: str, text: str) -> None:
    """Display `what.widget()`, with the CSS class `name`, and `text` where it is dead; else print `what`."""
    from IPython.display import display

    try:
        widget = what.widget()
    except ImportError:
        print(what)
        return
    widget.add_class(name)
    display({"text/plain": text, "text/html": _NOTE.format(name=name, text=escape(text))}, raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, raw=True)
