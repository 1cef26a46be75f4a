"""Figures to play with: sliders over a figure, which is drawn anew with each move."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.core.pylabtools import print_figure
from matplotlib.axes import Axes

from ..models import MODEL, available
from .costs import plot_session
from .output import to_html
from .simulate import STRATEGIES, Habit, name_of, simulate
from .theme import caption
from .timelines import plot_crowd


class Explorer(widgets.VBox):
    """`controls` (name: widget) over the figure that `draw` makes of their values.

    Without a kernel a notebook shows the figure as it was first drawn.
    """

    def __init__(self, draw: Callable[..., Axes], **controls: widgets.Widget) -> None:
        self._draw, self._controls, self._figure = draw, controls, widgets.HTML()
        for name, control in controls.items():
            control.description = name.replace("_", " ")
            control.observe(self._redraw, "value")
        self._redraw()
        self._first = self._words, self._figure.value
        wrapped = widgets.Layout(flex_flow="row wrap")
        super().__init__([widgets.HBox(list(controls.values()), layout=wrapped), self._figure])

    def _redraw(self, change: Any = None) -> None:
        ax = self._draw(**{name: control.value for name, control in self._controls.items()})
        plt.close(ax.figure)  # else the cell would show it a second time
        self._words, png = caption(ax), print_figure(ax.figure, base64=True)
        self._figure.value = f"{to_html(ax.figure, png, self._words)}<p>{self._words}</p>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        view = super()._repr_mimebundle_(**options) or {}
        return {**view, "text/plain": self._first[0], "text/html": self._first[1]}


def explore_session() -> Explorer:
    """What a session costs, by its turns, their tokens, the model, the strategy, caching and batches."""

    def draw(turns, tokens_a_turn, model, strategy, caching, batch) -> Axes:
        sizes = np.tile([tokens_a_turn / 2, tokens_a_turn / 2, 0], (turns, 1))
        return plot_session(simulate(Habit(model, sizes, cache=caching, batch=batch), strategy))

    return Explorer(
        draw,
        turns=widgets.IntSlider(30, 1, 60),
        tokens_a_turn=widgets.IntSlider(200, 20, 4000, 20),
        model=widgets.Dropdown(options=[model.id for model in available()], value=MODEL),
        strategy=widgets.Dropdown(options=[(name_of(strategy), strategy) for strategy in STRATEGIES]),
        caching=widgets.Checkbox(),
        batch=widgets.Checkbox(),
    )


def explore_crowd() -> Explorer:
    """How a crowd that was turned away comes back, by its size, the jitter of its waits and the server's limit."""
    jitters = {"no jitter": 0.0, "equal jitter": 0.5, "full jitter": 1.0}

    def draw(clients, jitter, limit) -> Axes:
        frame = pd.DataFrame({"second": _arrivals(clients, jitters[jitter], limit)}).assign(jitter=jitter)
        return plot_crowd(frame, limit=limit)

    return Explorer(
        draw,
        clients=widgets.IntSlider(200, 10, 500, 10),
        jitter=widgets.Dropdown(options=list(jitters), value="equal jitter"),
        limit=widgets.IntSlider(20, 1, 100),
    )


def _arrivals(clients: int, jitter: float, limit: int) -> list[float]:
    """When each request reaches the server, in seconds: who is beyond its `limit` doubles the wait, up to 32 s,
    of which the part `jitter` is random."""
    chance = random.Random(clients)
    wait = lambda step: step * (1 - jitter + jitter * chance.random())  # noqa: E731
    waiting, times = [(wait(1), 1) for _ in range(clients)], []
    for second in range(600):
        due = sorted(client for client in waiting if client[0] < second + 1)
        waiting = [client for client in waiting if client[0] >= second + 1]
        times += [when for when, _ in due]
        waiting += [(second + 1 + wait(min(2 * step, 32)), min(2 * step, 32)) for _, step in due[limit:]]
    return times
