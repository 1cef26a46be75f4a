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
    """The guess called `name`. In a notebook it shows as a field to type a number into."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit

    @property
    def value(self) -> float | None:
        """The number that was guessed last, in `unit`; None if there is none yet."""
        made = [e["value"] for e in store.events() if e.get("kind") == "guess" and e["name"] == self.name]
        return made[-1] if made else None

    def take(self, value: float) -> str:
        """Remember `value`; the sentence to show."""
        value = _number(value, f"guess({self.name!r}, …)")
        trouble = store.add("guess", self.name, value=value, unit=self.unit)
        return " ".join(["Your guess:", _shown(value), self.unit + ".", trouble]).strip()

    def reveal(self, truth: float) -> str:
        """Remember the `truth`; the sentence that compares the last guess with it, if there was one."""
        store.add("truth", self.name, truth=truth, unit=self.unit)
        said = f"It is {_shown(truth)} {self.unit}".strip() + "."
        value = self.value
        return said if value is None else f"{said} You guessed {_shown(value)}: {how_far(value, truth)}."

    def __repr__(self) -> str:
        return f"Your guess, in {self.unit}: write it as guess({self.name!r}, 100, unit={self.unit!r})."

    def _ipython_display_(self) -> None:
        try:
            box = self.widget()
        except ImportError:
            print(repr(self))
            return
        stand_in.show(box, "course-guess", f"Your guess, in {self.unit}: run this cell to type it.")

    def widget(self) -> ipywidgets.HBox:
        """The field, and beside it what is said to the number in it."""
        import ipywidgets as widgets

        field = widgets.Text(
            description=f"Your guess, in {self.unit}:",
            placeholder="a number, then Enter",
            continuous_update=False,
            style={"description_width": "initial"},
            layout={"width": "auto"},
        )
        said = widgets.HTML()

        def on_typed(change: dict) -> None:
            try:
                said.value = escape(self.take(float(change["new"].replace(",", "").strip("$ "))))
            except ValueError:
                said.value = "That is no number: type one such as 250 or 0.5." if change["new"] else ""

        field.observe(on_typed, "value")
        box = widgets.HBox([field, said])
        box.add_class("course-guess")
        return box


class _Guessing:
    """What a lesson calls: `guess(...)` before a measurement, `guess.reveal(...)` after it."""

    def __init__(self) -> None:
        self._asked: dict[str, Guess] = {}

    def __call__(self, name: str, value: float | None = None, *, unit: str) -> Guess | None:
        """A field for the guess called `name`, a number of `unit`; with `value` it is that, and printed."""
        self._asked[name] = asked = Guess(name, unit)
        if value is None:
            return asked
        print(asked.take(value))
        return None

    def reveal(self, name: str, truth: float) -> None:
        """Prints the `truth` about `name`, and how far off the last guess was, if there was one."""
        print(self._asked.get(name, Guess(name, "")).reveal(_number(truth, f"guess.reveal({name!r}, …)")))


guess = _Guessing()


def how_far(value: float, truth: float) -> str:
    """How far `value` is off the `truth`, in per cent, or as a factor where that is 2 or more."""
    if math.isclose(value, truth, rel_tol=0.005, abs_tol=1e-12):
        return "right"
    side = "high" if value > truth else "low"
    if truth == 0 or value == 0 or (value < 0) != (truth < 0):
        return f"{_shown(abs(value - truth))} too {side}"
    factor = max(value / truth, truth / value)
    if factor >= 2:
        return f"too {side} by a factor of {_shown(factor, 2)}"
    return f"{abs(value / truth - 1):.0%} too {side}".replace("%", " %")


def _number(value: object, where: str) -> float:
    """`value` as an int or a float. Raises TypeError or ValueError, naming `where` it was given."""
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) or hasattr(value, "__float__")):
        raise TypeError(f"{where} takes a number, not {type(value).__name__}.")
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    if not math.isfinite(number):
        raise ValueError(f"{where} takes a finite number, not {number}.")
    return number


def _shown(value: float, digits: int = 4) -> str:
    """`value` with thousands separators; a fraction with `digits` figures."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
