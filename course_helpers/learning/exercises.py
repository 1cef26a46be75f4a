"""Checked claims, and exercises that are graded by running what the learner wrote."""

from __future__ import annotations

import ast
import dis
import re
import sys
import textwrap
import warnings
from collections import Counter
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from .graders import Exercise, NotYet, exercises, require
from .grading import Bench
from .progress import record_try
from .sandbox import clean, in_words, shown

EMPTY = {"RESUME", "NOP", "RETURN_VALUE"}  # what a function that does nothing consists of, besides its None
_failures: dict[str, Counter[str]] = {}
"""For each exercise that is not yet passed: how often each mistake was seen; "" is a body not yet written."""


class CheckFailed(AssertionError):
    """A claim did not hold. A notebook shows its one line, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def check(claim: str, truth: object) -> None:
    """Prints ✓ and `claim` if `truth` holds; else raises CheckFailed, saying what was seen."""
    try:
        holds = bool(truth)
        seen = "" if holds else shown(truth, 200)
    except Exception as error:  # an array or a frame has no one truth
        holds, seen = False, f"{type(truth).__name__}, which is not one truth: {error}"
    if not holds:
        raise CheckFailed(f"{claim}\n  seen: {seen}")
    print(f"✓ {claim}")


@dataclass(repr=False)
class Outcome:
    """What grading an exercise came to. Shows as a line or two; `state` is passed, not yet or not started."""

    exercise: Exercise
    state: str
    lines: list[str]
    mistake: str = ""
    """The mistake's name, without a word of the answer; "" where there was none."""
    sent: list[Any] = field(default_factory=list)
    """The exchanges of the journal: what was really sent while it was graded."""

    @property
    def passed(self) -> bool:
        """Was it passed?"""
        return self.state == "passed"

    def __repr__(self) -> str:
        mark = "✓ " if self.passed else ""
        head = f"{mark}Exercise {self.exercise.number} · {self.exercise.title} · {self.state}"
        fill = textwrap.TextWrapper(88, "  ", "  ", break_long_words=False, break_on_hyphens=False).fill
        return "\n".join([head, *map(fill, filter(None, self.lines))])


def exercise(name: str) -> Outcome:
    """Grades the function called `name` that the learner wrote, by running it against the practice API.

    It is looked up where `exercise` is called. What it sends goes to a practice API of its own, so grading
    costs nothing, also for a learner who is connected live, and leaves the lesson's journal and faults alone.
    """
    known, notebook = exercises(), sys._getframe(1)
    if name not in known:
        raise LookupError(f"There is no exercise {name!r}. The exercises: {', '.join(known)}.")
    found, function = known[name], notebook.f_locals.get(name, notebook.f_globals.get(name))
    bench, mistake = Bench(function, notebook.f_globals), ""
    try:
        _is_written(name, function)
        found.grade(bench)
        _failures.pop(name, None)
        is_async = any(ran.is_async for ran in bench.runs)
        remark = "It is async: whoever calls it must await it." if is_async else ""
        state, lines = "passed", [f"The solution's idea: {found.idea}", remark, record_try(name, passed=True)]
    except NotImplementedError:
        state, lines = "not started", _first_steps(found)
    except Exception as error:
        mistake = getattr(error, "mistake", "not judged")  # it left behind what no grader expects
        unexpected = f"what it did could not be judged: {in_words(error, bench.namespaces)}."
        seen = str(error) if isinstance(error, NotYet) else unexpected
        state, lines = "not yet", _advice(found, seen, mistake, "".join(ran.printed for ran in bench.runs))
    finally:
        bench.close()
    sent = [exchange for ran in bench.runs for exchange in ran.sent]
    return Outcome(found, state, lines, mistake, sent)


def _is_written(name: str, function: Any) -> None:
    """Raises NotImplementedError for a stub, and NotYet for what cannot be called, or is an older version."""
    if (broken := _syntax_error(name)) is not None:
        where = f" (line {broken.lineno}: {(broken.text or '').strip()[:80]})" if broken.lineno else ""
        seen = f"the cell with {name} did not run, for it has a syntax error: {broken.msg}{where}."
        raise NotYet(seen, "syntax error")
    code = dis.get_instructions(function) if isinstance(function, FunctionType) else ()
    steps = {(step.opname.split("_")[-1], step.argval) for step in code if step.opname not in EMPTY}
    if function is None or function is ... or steps == {("CONST", None)}:  # a docstring, `pass` or `...`
        raise NotImplementedError
    seen = f"{name} is no function but of type {type(function).__name__}."
    require(callable(function), seen, "no function")


def _first_steps(found: Exercise) -> list[str]:
    """What to do; whoever asks again, not knowing how to begin, gets a hint each time."""
    looks = _failures.setdefault(found.name, Counter())
    lines = [f"Write the body of {found.name} in the cell above, run that cell, then this one."]
    if step := min(looks[""], len(found.hints)):
        lines += [found.task, f"Hint {step} of {len(found.hints)}: {found.hints[step - 1]}"]
    looks[""] += 1
    return lines


def _advice(found: Exercise, seen: str, mistake: str, printed: str) -> list[str]:
    """What was seen, a hint where that does not say the cure, and what the function printed."""
    times = _failures.setdefault(found.name, Counter())
    times[mistake] += 1
    again = f"That was the same mistake again: solution {found.number} is folded below."
    return [
        f"Seen: {seen}",
        f"Hint: {found.mistakes[mistake]}" if mistake in found.mistakes else "",
        again if times[mistake] > 2 else "",
        f"It printed: {clean(printed, 300)}" if printed.strip() else "",
        record_try(found.name, False, mistake),
    ]


def _syntax_error(name: str) -> SyntaxError | None:
    """The syntax error in the newest cell that is to define `name`, which then holds an older version."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return None
    last = getattr(shell.last_execution_result, "info", None)  # which In lacks where no history is kept
    cells = [*shell.user_ns.get("In", []), *([shell.transform_cell(last.raw_cell)] if last else [])]
    defined = rf"^\s*((async\s+)?(def|class)\s+{name}\b|{name}\s*(:[^=\n]*)?=|.*import .*\b{name}\b)"
    try:
        with warnings.catch_warnings(action="ignore"):
            newest = next((cell for cell in reversed(cells) if re.search(defined, cell, re.M)), "")
            compile(newest, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        return error
    return None
