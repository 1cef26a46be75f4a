"""Lesson 8, the chatbot: its three stretch goals."""

from __future__ import annotations

import copy
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from ...models import UnknownModelError, find_model
from ..grading import Bench
from ..sandbox import shown
from . import NotYet, grader, require
from .lesson_3 import is_window
from .lesson_8 import a_session, numbers, printed


@grader
def recent(bench: Bench) -> None:
    """The last turns, and the number of turns left out in words."""

    def said(case: str, left_out: int) -> None:
        if not left_out:
            quiet = f"{case}: nothing was left out, and it printed something all the same."
            require(not bench.last.printed.strip(), quiet, "needless words")
            return
        seen = numbers(printed(bench, "say how many turns were left out"))
        missing = f"{case}: that {left_out} were left out was not printed."
        require(str(left_out) in seen, missing, "number not printed")

    is_window(bench, said)


@grader
def switch_model(bench: Bench) -> None:
    """Aliases and ids; an unknown name changes nothing, and find_model's sentence is shown."""
    session = a_session(bench, model=find_model("haiku").id)
    for name, right in (("opus", find_model("opus")), (find_model("sonnet").id, find_model("sonnet"))):
        bench.call(session, f"!model {name}")
        model = session.get("model")
        no_id = f'session["model"] is {shown(model)}, and the API wants the id.'
        require(model != name or name == right.id, no_id, "alias kept")
        other = f'after "!model {name}" the model was to be {right.id}; it is {shown(model)}.'
        require(model == right.id, other, "model not set")
        text = printed(bench, "say which model answers now").lower()
        which = f"that {right.id} answers from now on was not printed."
        require(any(word.lower() in text for word in (name, right.id, right.name)), which, "switch not said")
    for name in ("gpt-9000", "claude-haiku-5-6"):
        when = f'after "!model {name}", which no model is called'
        before = copy.deepcopy(session)
        bench.call(session, f"!model {name}", when=when, mistake="unknown name raises")
        require(session == before, f"{when}: the session changed.", "unknown name obeyed")
        text = bench.last.printed
        require(text.strip(), f"{when}: it said nothing.", "unknown name ignored")
        try:
            find_model(name)
        except UnknownModelError as error:
            own = f"{when}: it did not print what find_model says of it: {shown(str(error))}."
            require(" ".join(str(error).split()) in " ".join(text.split()), own, "own sentence")


@grader
def save(bench: Bench) -> None:
    """JSON in UTF-8 at the path, with every message in order, whatever was there before."""
    history = [
        {"role": "user", "content": "Grüße aus Zürich, 东京 and Łódź"},
        {"role": "assistant", "content": 'She said "hello"\nand left.'},
    ]
    with tempfile.TemporaryDirectory(prefix="course-exercise-") as folder:
        path = Path(folder) / "chat.json"
        for when in ("", "where an older file stands: "):
            bench.call(a_session(bench, history=copy.deepcopy(history), turns=1), str(path))
            require(path.exists(), "there is no file at path: open the path that it is given.", "no file")
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                utf_8 = 'the file is not in UTF-8: open(path, "w", encoding="utf-8").'
                raise NotYet(utf_8, "not UTF-8") from None
            except ValueError:
                no_json = f"{when}the file holds no valid JSON: str() is not JSON, json.dump is."
                raise NotYet(no_json, "no JSON") from None
            require(
                _holds(data, history),
                "the file does not hold the history's messages, in order.",
                "no messages",
            )


def _holds(data: Any, wanted: list) -> bool:
    if data == wanted:
        return True
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return any(map(partial(_holds, wanted=wanted), inner))
