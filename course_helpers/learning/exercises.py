"""Checked claims, and exercises that are graded by running what the learner wrote."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import threading
import warnings
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
"""For each exercise that is not yet passed: how often each mistake was seen; "" is a body not yet written."""
_one_at_a_time = threading.RLock()


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

    def __init__(self, exercise: graders.Exercise, state: str, *lines: str, mistake: str = "") -> None:
        self.exercise = exercise
        self.state = state
        self.lines = [line for line in lines if line]
        self.mistake = mistake
        """The mistake's name, without a word of the answer; "" where there was none."""
        self.sent: list[Exchange] = []
        """What was really sent while it was graded, as in the journal."""

    @property
    def passed(self) -> bool:
        """Was it passed?"""
        return self.state == "passed"

    def __repr__(self) -> str:
        mark = "✓ " if self.passed else ""
        head = f"{mark}Exercise {self.exercise.number} · {self.exercise.title} · {self.state}"
        fill = textwrap.TextWrapper(WIDTH, "  ", "  ", break_long_words=False, break_on_hyphens=False).fill
        return "\n".join([head, *map(fill, self.lines)])


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
    broken = _syntax_error(found.name)
    if broken is not None:
        where = f" (line {broken.lineno}: {(broken.text or '').strip()[:80]})" if broken.lineno else ""
        seen = f"the cell with {found.name} did not run, for it has a syntax error: {broken.msg}{where}."
        return _not_yet(found, seen, "syntax error")
    if function is None or function is ... or _is_stub(function):
        return _not_started(found)
    if not callable(function):
        seen = f"{found.name} is no function but of type {type(function).__name__}."
        return _not_yet(found, seen, "no function")
    with _one_at_a_time:
        return _graded(found, function, notebook.f_globals)


def _graded(found: graders.Exercise, function: Any, namespace: dict[str, Any]) -> Outcome:
    from .grading import Bench
    from .redirect import others_have_ended

    note = "" if others_have_ended(2) else UNDER_WAY
    bench = Bench(function, namespace)
    try:
        found.grade(bench)
    except graders.NotYet as error:
        outcome = _not_yet(found, str(error), error.mistake, "".join(bench.printed))
    except NotImplementedError:
        outcome = _not_started(found)
    except Exception as error:  # it left something behind that the grader did not expect
        outcome = _not_yet(found, f"what it did could not be judged: {bench.words(error)}.", "not judged")
    else:
        _failures.pop(found.name, None)
        remark = "It is async: whoever calls it must await it." if bench.is_async else ""
        completed = record_try(found.name, passed=True)
        outcome = Outcome(found, "passed", f"The solution's idea: {found.idea}", remark, completed)
    finally:
        bench.close()
    outcome.lines += [note] if note else []
    outcome.sent = bench.exchanges
    return outcome


def _not_started(found: graders.Exercise) -> Outcome:
    """What to do; whoever asks again, not knowing how to begin, gets a hint each time."""
    looks = _failures.setdefault(found.name, Counter())
    todo = f"Write the body of {found.name} in the cell above, run that cell, then this one."
    step = min(looks[""], len(found.hints))
    looks[""] += 1
    hint = f"Hint {step} of {len(found.hints)}: {found.hints[step - 1]}"
    return Outcome(found, "not started", todo, *([found.task, hint] if step else []))


def _not_yet(found: graders.Exercise, seen: str, mistake: str, printed: str = "") -> Outcome:
    """What was seen, a hint where that does not say the cure, and what the function printed."""
    seen_before = _failures.setdefault(found.name, Counter())
    seen_before[mistake] += 1
    lines = [f"Seen: {seen}"]
    if mistake in found.mistakes:
        lines.append(f"Hint: {found.mistakes[mistake]}")
    if seen_before[mistake] > 2:
        lines.append(f"That was the same mistake again: solution {found.number} is folded below.")
    if printed.strip():
        from .sandbox import clean

        lines.append(f"It printed: {clean(printed, 300)}")
    lines.append(record_try(found.name, False, mistake))
    return Outcome(found, "not yet", *lines, mistake=mistake)


def _syntax_error(name: str) -> SyntaxError | None:
    """The syntax error in the newest cell that is to define `name`, which then holds an older version."""
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    if not shell:
        return None
    last = getattr(shell.last_execution_result, "info", None)  # which In lacks where no history is kept
    cells = [*shell.user_ns.get("In", []), *([shell.transform_cell(last.raw_cell)] if last else [])]
    defines = re.compile(
        rf"^\s*((async\s+)?(def|class)\s+{name}\b|{name}\s*(:[^=\n]*)?=|.*import .*\b{name}\b)", re.M
    )
    newest = next((cell for cell in reversed(cells) if defines.search(cell)), "")
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(newest, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        return error
    return None


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
