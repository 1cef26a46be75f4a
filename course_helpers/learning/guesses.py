"""Guess first, measure then: a number typed into a small field, and how far off it was."""

from __future__ import annotations

import math
import numbers
from html import escape
from typing import TYPE_CHECKING

from .progress import store
from .quizzes import show

if TYPE_CHECKING:
    import ipywidgets

_units: dict[str, str] = {}


def guess(name: str, value: float | None = None, *, unit: str) -> Guess | None:
    """A field for the guess called `name`, a number of `unit`; with `value` it is that, and printed."""
    _units[name] = unit
    if value is None:
        return Guess(name)
    print(_keep(name, _number(value)))
    return None


def reveal(name: str, truth: float) -> None:
    """Prints the `truth` about `name`, and how far off the last guess was, if there was one."""
    unit, truth = _units.get(name, ""), _number(truth)
    made = [e["value"] for e in store.events() if e.get("kind") == "guess" and e["name"] == name]
    store.add("truth", name, truth=truth, unit=unit)
    compared = f" You guessed {_shown(made[-1])}: {how_far(made[-1], truth)}." if made else ""
    print(f"It is {_shown(truth)} {unit}".strip() + f".{compared}")


guess.reveal = reveal


def _keep(name: str, value: float) -> str:
    """Remember the guess; the sentence to show."""
    trouble = store.add("guess", name, value=value, unit=_units[name])
    return f"Your guess: {_shown(value)} {_units[name]}. {trouble}".strip()


class Guess:
    """A guess to be made. In a notebook it shows as a field to type a number into."""

    def __init__(self, name: str) -> None:
        self.name, self.label = name, f"Your guess ({_units[name]}):"

    def __repr__(self) -> str:
        return f"{self.label} write it as guess({self.name!r}, 100, unit={_units[self.name]!r})."

    def _ipython_display_(self) -> None:
        show(self, "course-guess", f"{self.label} run this cell to type it.")

    def widget(self) -> ipywidgets.HBox:
        """The field, and beside it what is said to the number in it."""
        import ipywidgets as widgets

        field = widgets.Text(
            description=self.label, placeholder="a number, then Enter", continuous_update=False
        )
        field.style.description_width, field.layout.width = "initial", "auto"
        said = widgets.HTML()

        def on_typed(change: dict) -> None:
            try:
                number = _number(float(change["new"].replace(",", "").strip("$ ")))
                said.value = escape(_keep(self.name, number))
            except ValueError:
                said.value = "That is no number: type one such as 250 or 0.5." if change["new"] else ""

        field.observe(on_typed, "value")
        return widgets.HBox([field, said])


def how_far(value: float, truth: float) -> str:
    """How far `value` is off the `truth`, in per cent, or as a factor where that is 2 or more."""
    side = "high" if value > truth else "low"
    if math.isclose(value, truth, rel_tol=0.005, abs_tol=1e-12):
        return "right"
    if value * truth <= 0:
        return f"{_shown(abs(value - truth))} too {side}"
    factor = max(value / truth, truth / value)
    return (
        f"too {side}, {_shown(factor, 2)} times"
        if factor >= 2
        else f"{100 * abs(value / truth - 1):.0f} % too {side}"
    )


def _number(value: object) -> float:
    """`value` as an int or a float. Raises ValueError for what is no finite number."""
    if isinstance(value, bool) or not (hasattr(value, "__float__") and math.isfinite(value)):
        raise ValueError(f"A guess and its truth are finite numbers, not {value!r}.")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _shown(value: float, digits: int = 4) -> str:
    """`value` with thousands separators; a fraction with `digits` figures."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10**digits else f"{value:,.{digits}g}"
