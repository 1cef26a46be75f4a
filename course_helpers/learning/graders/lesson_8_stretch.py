"""Lesson 8, the chatbot: its three stretch goals."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from ...models import ALIASES
from ..grading import Bench, turns
from ..sandbox import shown
from . import NotYet, grader, require
from .lesson_3 import conversation, is_window
from .lesson_8 import a_session, numbers, printed


@grader(
    "8.8",
    "Stretch 1: a sliding window",
    "The window of lesson 3, and a line about what it leaves out.",
    'starts = [i for i, m in enumerate(messages) if m["role"] == "user"] tells where turns begin; '
    "len(starts) - turns of them are left out.",
    "If none is left out, return messages; else print the number and return messages[starts[left_out]:].",
)
def recent(bench: Bench) -> None:
    """The last turns, and the number of turns left out in words."""
    for length, keep in ((6, 2), (5, 4), (3, 1)):
        given = conversation(length)
        is_window(turns(bench.call(given, keep)), length, keep)
        require(
            given == conversation(length), "it changed the messages that it was given: return a part of them."
        )
        left_out = str(length - keep)
        said = left_out in numbers(printed(bench, "say how many turns were left out"))
        require(said, f"of {length} turns, the last {keep}: that {left_out} were left out was not printed.")
    for length, keep in ((3, 3), (2, 10)):
        is_window(turns(bench.call(conversation(length), keep)), length, keep)
        require(
            not bench.last.printed.strip(), "nothing was left out, and it printed something all the same."
        )


@grader(
    "8.9",
    "Stretch 2: !model haiku",
    'command.removeprefix("!model") leaves the name; find_model("haiku").id is the id.',
    "find_model raises a LookupError for a name that no model has, and its text says which names are near.",
    'try: session["model"] = find_model(…).id; except LookupError as error: print(error); else: say '
    "the new model.",
)
def switch_model(bench: Bench) -> None:
    """Aliases and ids; an unknown name changes nothing."""
    session = a_session(bench, model=ALIASES["haiku"])
    for name, right in (("opus", ALIASES["opus"]), ("claude-sonnet-5-5", "claude-sonnet-5-5")):
        bench.call(session, f"!model {name}")
        model = session.get("model")
        require(
            model != name or name == right, f'session["model"] is {shown(model)}, and the API wants the id.'
        )
        require(model == right, f'after "!model {name}" the model was to be {right}; it is {shown(model)}.')
        require(
            right in printed(bench, "say which model answers now"),
            f"that {right} answers from now on was not printed.",
        )
    when = 'after "!model gpt-9000", which no model is called'
    bench.call(session, "!model gpt-9000", when=when)
    require(session.get("model") == "claude-sonnet-5-5", f"{when}: the session's model changed.")
    require(bool(bench.last.printed.strip()), f"{when}: it said nothing.")


@grader(
    "8.10",
    "Stretch 3: save on exit",
    "json.dump(session, file) writes a dict as JSON into a file that is open for writing.",
    'with open(path, "w", encoding="utf-8") as file: closes the file too, so that everything reaches '
    "the disk.",
    "json.dump(session, file, ensure_ascii=False, indent=2)",
)
def save(bench: Bench) -> None:
    """JSON in UTF-8 at the path, with every message in order."""
    history = [
        {"role": "user", "content": "Grüße aus Zürich, 东京 and Łódź"},
        {"role": "assistant", "content": 'She said "hello"\nand left.'},
    ]
    with tempfile.TemporaryDirectory(prefix="course-exercise-") as folder:
        path = Path(folder) / "chat.json"
        bench.call(a_session(bench, history=[dict(each) for each in history], turns=1), str(path))
        require(path.exists(), "there is no file at path: open the path that it is given.")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise NotYet('the file is not in UTF-8: open(path, "w", encoding="utf-8").') from None
        except ValueError:
            raise NotYet("the file holds no valid JSON: str() is not JSON, json.dump is.") from None
    require(_holds(data, history), "the file does not hold the history's messages, in order.")


def _holds(data: Any, wanted: list) -> bool:
    if data == wanted:
        return True
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return any(_holds(each, wanted) for each in inner)
