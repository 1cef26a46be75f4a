"""Figures to play with: sliders over a figure, which is drawn anew with each move."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..models import MODEL, available
from .sessions import STRATEGIES, name_of, plot_sessions, turn_costs
from .theme import caption, in_page
from .timelines import plot_crowd

JITTER = {"no jitter": 0.0, "equal jitter": 0.5, "full jitter": 1.0}  # which part of a wait is random


class Explorer(widgets.interactive):
    """Controls over the figure that a function makes of their values; without a kernel as first drawn."""

    def __init__(self, draw: Callable[..., Axes], **choices: Any) -> None:
        self._figure, self._static = widgets.HTML(), {}
        super().__init__(draw, **choices)  # makes the controls, and the first figure
        for control in self.kwargs_widgets:
            control.description = control.description.replace("_", " ")
            control.style.description_width = "initial"
        row = widgets.HBox(self.kwargs_widgets, layout=widgets.Layout(flex_flow="row wrap"))
        self.children = [row, self._figure]

    def update(self, *_: Any) -> None:
        ax = self.f(**{control._kwarg: control.value for control in self.kwargs_widgets})
        plt.close(ax.figure)  # else the cell would show it a second time
        words = caption(ax)
        self._figure.value = html = f"{in_page(ax.figure, words)['text/html']}<p>{words}</p>"
        self._static = self._static or {"text/plain": words, "text/html": html}

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return (super()._repr_mimebundle_(**options) or {}) | self._static


def explore_session() -> Explorer:
    """What a session costs, by its turns, their tokens, the model, the strategy, caching and batches."""
    strategies = {name_of(strategy): strategy for strategy in STRATEGIES}

    def draw(turns=30, tokens_a_turn=200, model=MODEL, strategy="everything", caching=False, batch=False):
        sizes = np.tile([tokens_a_turn / 2, tokens_a_turn / 2, 0], (turns, 1))
        usd = turn_costs(sizes, model, strategies[strategy], cache=caching, batch=batch)
        return plot_sessions({f"{strategy} on {model}": pd.DataFrame({"cost_usd": usd})})

    models = [model.id for model in available()]
    return Explorer(draw, turns=(1, 100), tokens_a_turn=(20, 4000, 20), model=models, strategy=[*strategies])


def explore_crowd() -> Explorer:
    """How a crowd that was turned away comes back, by its size, the jitter of its waits and the limit."""

    def draw(clients=200, jitter="equal jitter", limit=20):
        seconds = _arrivals(clients, JITTER[jitter], limit)
        return plot_crowd(pd.DataFrame({"second": seconds, "jitter": jitter}), limit=limit)

    return Explorer(draw, clients=(10, 500, 10), jitter=[*JITTER], limit=(1, 100))


def _arrivals(clients: int, jitter: float, limit: int) -> list[float]:
    """When each request arrives, in seconds; who is beyond a second's `limit` waits twice as long again."""
    chance = random.Random(clients)
    waiting, times = [(1 - jitter * chance.random(), 1) for _ in range(clients)], []
    for second in range(600):
        due = sorted(client for client in waiting if client[0] < second + 1)
        waiting = [client for client in waiting if client[0] >= second + 1]
        times += [when for when, _ in due]
        for _, step in due[limit:]:
            step = min(2 * step, 32)
            waiting.append((second + 1 + step * (1 - jitter * chance.random()), step))
    return times
