"""Guess first, measure then: a number typed into a small field, and how far off it was."""

from __future__ import annotations

import math
import numbers
from html import escape
from typing import TYPE_CHECKING

from . import stand_in
from .events import store

if TYPE_CHECKING:
    import ipywidgets


class Guess:
    """The guess called `name`, a number of `unit`. In a notebook it shows as a field to type it into."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit

    @property
    def value(self) -> float | None:
        """The number that was guessed last; None if there is none yet."""
        made = [e["value"] for e in store.events() if e.get("kind") == "guess" and e["name"] == self.name]
        return made[-1] if made else None

    def take(self, value: float) -> str:
        """Remember `value`; the sentence to show."""
        trouble = store.add("guess", self.name, value=value, unit=self.unit)
        return f"Your guess: {_shown(value)} {self.unit}. {trouble}".strip()

    def reveal(self, truth: float) -> str:
        """Remember the `truth`; the sentence that compares the last guess with it, if there was one."""
        store.add("truth", self.name, truth=truth, unit=self.unit)
        said, value = f"It is {_shown(truth)} {self.unit}".strip() + ".", self.value
        return said if value is None else f"{said} You guessed {_shown(value)}: {how_far(value, truth)}."

    def __repr__(self) -> str:
        return f"Your guess ({self.unit}): write it as guess({self.name!r}, 100, unit={self.unit!r})."

    def _ipython_display_(self) -> None:
        stand_in.show(self, "course-guess", f"Your guess ({self.unit}): run this cell to type it.")

    def widget(self) -> ipywidgets.HBox:
        """The field, and beside it what is said to the number in it."""
        import ipywidgets as widgets

        field = widgets.Text(
            description=f"Your guess ({self.unit}):",
            placeholder="a number, then Enter",
            continuous_update=False,
            style={"description_width": "initial"},
            layout={"width": "auto"},
        )
        said = widgets.HTML()

        def on_typed(change: dict) -> None:
            try:
                said.value = escape(self.take(_number(float(change["new"].replace(",", "").strip("$ ")))))
            except ValueError:
                said.value = "That is no number: type one such as 250 or 0.5." if change["new"] else ""

        field.observe(on_typed, "value")
        return widgets.HBox([field, said])


_asked: dict[str, Guess] = {}


def guess(name: str, value: float | None = None, *, unit: str) -> Guess | None:
    """A field for the guess called `name`, a number of `unit`; with `value` it is that, and printed."""
    _asked[name] = asked = Guess(name, unit)
    if value is None:
        return asked
    print(asked.take(_number(value)))
    return None


def reveal(name: str, truth: float) -> None:
    """Prints the `truth` about `name`, and how far off the last guess was, if there was one."""
    print(_asked.get(name, Guess(name, "")).reveal(_number(truth)))


guess.reveal = reveal


def how_far(value: float, truth: float) -> str:
    """How far `value` is off the `truth`, in per cent, or as a factor where that is 2 or more."""
    if math.isclose(value, truth, rel_tol=0.005, abs_tol=1e-12):
        return "right"
    side = "high" if value > truth else "low"
    if value * truth <= 0:
        return f"{_shown(abs(value - truth))} too {side}"
    factor = max(value / truth, truth / value)
    if factor >= 2:
        return f"too {side}, {_shown(factor, 2)} times"
    return f"{abs(value / truth - 1) * 100:.0f} % too {side}"


def _number(value: object) -> float:
    """`value` as an int or a float. Raises TypeError or ValueError for what is no finite number."""
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) or hasattr(value, "__float__")):
        raise TypeError(f"A guess and its truth are numbers, not {type(value).__name__}.")
    if not math.isfinite(value):
        raise ValueError(f"A guess and its truth are finite numbers, not {value}.")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _shown(value: float, digits: int = 4) -> str:
    """`value` with thousands separators; a fraction with `digits` figures."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10**digits else f"{value:,.{digits}g}"
