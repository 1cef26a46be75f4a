"""Checked claims, and exercises that are graded by running what the learner wrote."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from . import graders
from .progress import record_try

if TYPE_CHECKING:
    from ..practice_api.journal import Exchange

WIDTH = 88
UNDER_WAY = (
    "While this was graded, another request of yours was still under way; it took no part in it, and its "
    "answer goes where it belongs."
)
_failures: dict[str, Counter[str]] = {}
"""For each exercise that is not yet passed: how often each mistake was seen."""


class CheckFailed(AssertionError):
    """A claim did not hold. A notebook shows its one line, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def check(claim: str, truth: object) -> None:
    """Prints ✓ and `claim` if `truth` holds; else raises CheckFailed, saying what was seen."""
    try:
        holds = bool(truth)
    except Exception as error:  # an array or a frame has no one truth
        raise CheckFailed(
            f"{claim}\n  seen: {type(truth).__name__}, which is not one truth: {error}"
        ) from None
    if not holds:
        from .sandbox import shown

        raise CheckFailed(f"{claim}\n  seen: {shown(truth, 200)}")
    print(f"✓ {claim}")


class Outcome:
    """What grading an exercise came to. Shows as a line or two; `state` is passed, not yet or not started."""

    def __init__(self, exercise: graders.Exercise, state: str, *lines: str) -> None:
        self.exercise = exercise
        self.state = state
        self.lines = lines
        self.sent: list[Exchange] = []
        """What was really sent while it was graded, as in the journal."""

    @property
    def passed(self) -> bool:
        """Was it passed?"""
        return self.state == "passed"

    def __repr__(self) -> str:
        mark = "✓ " if self.passed else ""
        head = f"{mark}Exercise {self.exercise.number} · {self.exercise.title} · {self.state}"
        return "\n".join(
            [
                head,
                *(
                    textwrap.fill(
                        line,
                        WIDTH,
                        initial_indent="  ",
                        subsequent_indent="  ",
                        break_long_words=False,
                        break_on_hyphens=False,
                    )
                    for line in self.lines
                ),
            ]
        )


def exercise(name: str) -> Outcome:
    """Grades the function called `name` that the learner wrote, by running it against the practice API.

    It is looked up where `exercise` is called. What it sends goes to a practice API of its own, so grading
    costs nothing, also for a learner who is connected live, and leaves the lesson's journal and faults alone.
    """
    known = graders.exercises()
    if name not in known:
        raise LookupError(f"There is no exercise {name!r}. The exercises: {', '.join(known)}.")
    found = known[name]
    notebook = sys._getframe(1)
    function = notebook.f_locals.get(found.name, notebook.f_globals.get(found.name))
    if function is None or function is ... or _is_stub(function):
        return _not_started(found)
    if not callable(function):
        return _not_yet(found, f"{found.name} is no function but of type {type(function).__name__}.")
    return _graded(found, function, notebook.f_globals)


def _graded(found: graders.Exercise, function: Any, namespace: dict[str, Any]) -> Outcome:
    from .grading import Bench
    from .redirect import others_have_ended

    note = "" if others_have_ended(2) else UNDER_WAY
    bench = Bench(function, namespace)
    try:
        found.grade(bench)
    except graders.NotYet as mistake:
        outcome = _not_yet(found, str(mistake), "".join(bench.printed))
    except NotImplementedError:
        outcome = _not_started(found)
    except Exception as error:  # it left something behind that the grader did not expect
        outcome = _not_yet(found, f"what it did could not be judged: {bench.words(error)}.")
    else:
        _failures.pop(found.name, None)
        outcome = Outcome(found, "passed", *filter(None, [record_try(found.name, passed=True)]))
    finally:
        bench.close()
    outcome.lines += (note,) if note else ()
    outcome.sent = bench.exchanges
    return outcome


def _not_started(found: graders.Exercise) -> Outcome:
    todo = f"Write the body of {found.name} in the cell above, run that cell, then this one."
    return Outcome(found, "not started", todo)


def _not_yet(found: graders.Exercise, seen: str, printed: str = "") -> Outcome:
    """The mistake, a hint, one step further each time it is seen, and what the function printed."""
    mistakes = _failures.setdefault(found.name, Counter())
    mistakes[seen] += 1
    step = min(mistakes[seen], len(found.hints))
    lines = [f"Seen: {seen}", f"Hint {step} of {len(found.hints)}: {found.hints[step - 1]}"]
    if printed.strip():
        from .sandbox import clean

        lines.append(f"It printed: {clean(printed, 300)}")
    return Outcome(found, "not yet", *lines)


def _is_stub(function: Any) -> bool:
    """Is it a function that does nothing yet: `...`, `pass` or a docstring alone?"""
    if not isinstance(function, FunctionType):
        return False
    import dis

    steps = [step for step in dis.get_instructions(function) if step.opname not in ("RESUME", "NOP")]
    returned = {step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")}
    return returned <= {None} and {step.opname for step in steps} <= {
        "LOAD_CONST",
        "RETURN_CONST",
        "RETURN_VALUE",
    }
