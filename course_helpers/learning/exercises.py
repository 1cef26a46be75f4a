"""Checked claims, and exercises that are graded by running what the learner wrote."""

from __future__ import annotations

import ast
import dis
import re
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from .graders import GRADERS, Exercise, exercises
from .grading import Bench, NotYet, require
from .progress import record_try
from .sandbox import clean, in_words, shown

EMPTY = {"RESUME", "NOP", "RETURN_VALUE"}  # what a function that does nothing consists of, besides its None
_asked: Counter[str] = Counter()
"""How often each exercise was to be graded before its function was written."""


class CheckFailed(AssertionError):
    """A claim did not hold. A notebook shows its one line, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def check(claim: str, truth: object) -> None:
    """Prints ✓ and `claim` if `truth` holds; else raises CheckFailed, saying what was seen."""
    try:
        holds, seen = bool(truth), shown(truth, 200)
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
    state, mistake = "not yet", ""
    with closing(Bench(function)) as bench:
        try:
            _is_written(name, function, notebook.f_globals.get("In", ()))
            GRADERS[name](bench)
            remark = "It is async: whoever calls it must await it." if bench.last.is_async else ""
            idea = f"The solution's idea: {found.idea}"
            state, lines = "passed", [idea, remark, record_try(name, passed=True)]
        except NotImplementedError:
            state, lines = "not started", _first_steps(found)
        except Exception as error:
            mistake = getattr(error, "mistake", "not judged")  # it left behind what no grader expects
            unexpected = f"what it did could not be judged: {in_words(error)}."
            lines = [
                f"Seen: {error if isinstance(error, NotYet) else unexpected}",
                f"Hint: {found.mistakes[mistake]}" if mistake in found.mistakes else "",
                f"It printed: {clean(bench.printed, 300)}" if bench.printed.strip() else "",
                record_try(name, False, mistake),
            ]
    return Outcome(found, state, lines, mistake, bench.exchanges)


def _is_written(name: str, function: Any, cells: Sequence[str]) -> None:
    """Raises NotImplementedError for a stub, NotYet for no function or an old one: a newer cell is broken."""
    defined = rf"^\s*((async\s+)?(def|class)\s+{name}\b|{name}\s*(:[^=\n]*)?=|.*import .*\b{name}\b)"
    newest = next((cell for cell in reversed(cells) if re.search(defined, cell, re.M)), "")
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(newest, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as broken:
        error = f"{broken.msg} (line {broken.lineno}: {(broken.text or '').strip()[:80]})"
        seen = f"the cell with {name} did not run, for it has a syntax error: {error}."
        raise NotYet(seen, "syntax error") from None
    code = dis.get_instructions(function) if isinstance(function, FunctionType) else ()
    steps = {step.argval for step in code if step.opname not in EMPTY}
    if function is None or function is ... or steps == {None}:  # a docstring, `pass` or `...`
        raise NotImplementedError
    require(callable(function), f"no function: {name} is of type {type(function).__name__}.")


def _first_steps(found: Exercise) -> list[str]:
    """What to do; whoever asks again, not knowing how to begin, gets a hint each time."""
    lines = [f"Write the body of {found.name} in the cell above, run that cell, then this one."]
    if step := min(_asked[found.name], len(found.hints)):
        lines += [found.task, f"Hint {step} of {len(found.hints)}: {found.hints[step - 1]}"]
    _asked[found.name] += 1
    return lines
