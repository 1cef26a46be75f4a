"""What a chat remembers, sends, counts and saves: lesson 3, most of lesson 8, lesson 6's bot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import anthropic
import httpx2
from anthropic.types import Message

from ...models import MODEL, UnknownModelError, available, find_model
from ...pricing import estimate_cost
from ..grading import ASK, SYSTEM, Bench, NotYet, conversation, is_a, is_equal, require, text_of, texts, turns
from ..sandbox import in_words, shown
from .retries import lets_out

ANOTHER_MODEL = next(model.id for model in available() if find_model(MODEL) != model)
FIRST, SECOND, THIRD, LAST = "My name is Ada.", "What is my name?", "Whose name is it?", "And yours?"
FAILURES = [
    ("after a call that failed with 403", "fail_next", 403),
    ("after a dropped connection", "break_stream", "disconnect"),
]


def _takes_turns(bench: Bench, talk: Callable, history: Callable, judge: Callable, patient=False) -> None:
    """Judges whatever takes a turn: `talk` runs it with a text, `history` returns what it kept.

    What comes back is judged by `judge`. One that is `patient` waits out a dropped connection, and may raise
    any error in the end.
    """
    kept = turns(history())
    for text in (FIRST, SECOND, THIRD):
        with bench.shape("thinking_first") if text == THIRD else nullcontext():
            talk(text)
            bench.value()
            sent, asked = texts(bench.request()["messages"]), [*(text for _, text in kept), text]
            judge()
            require(sent != [text] or sent == asked, "history not sent: only the new text was sent.")
            require(text in sent, f"text not sent: the new text was not sent, but {shown(sent)}.")
            is_equal("history sent", sent, asked)
            kept, now = [*kept, ("user", text), ("assistant", bench.reply())], turns(history())
            require(len(now) > len(kept) - 2, "another list: history is as it was; append to the given one.")
            require(len(now) > len(kept) - 1, "one turn kept: yours and the reply's belong in history.")
            is_equal("history", now, kept)
    for when, control, kind in FAILURES[: 1 if patient else 2]:
        with bench.case(when, fault=getattr(bench.practice, control)(kind, times=9)):
            error = talk(LAST).error
            require(error, "failure swallowed: nobody would notice; let the error out.")
            its_own = patient or isinstance(error, (anthropic.APIError, httpx2.HTTPError))
            require(its_own, f"other error: {in_words(error)}; its own error was to come out.")
            unchanged = turns(history()) == kept
            require(unchanged, "failed turn left in history: a turn is kept whole or not at all.")
    for shape in ("thinking_only", "empty"):
        with bench.shape(shape):
            talk(LAST)
            bench.value()
            require(all(texts(history())), "empty turn stored: the API refuses the next call then.")
            is_equal("history", turns(history()), kept, "half a turn kept")
            judge()


def chat_turn(bench: Bench) -> None:
    for history in ([], conversation(2)[:2]):
        _takes_turns(bench, partial(bench.run, history), history.copy, bench.is_reply)


def take_turn(bench: Bench) -> None:
    session, handed = bench.session(model=ANOTHER_MODEL), []

    def send(**arguments: Any) -> Message:
        handed.append(arguments)
        return bench.client.messages.create(**arguments)

    def judge() -> None:
        is_a(bench.last.value, Message)
        body = bench.request(most=1024)
        require(handed, "send not called: it made the call itself, where send(...) may be a patient one.")
        is_equal("model of the session", body["model"], session["model"], "other model")
        is_equal("system prompt", text_of(body.get("system")), SYSTEM)

    _takes_turns(bench, lambda text: bench.run(session, text, send), lambda: session["history"], judge)


def Bot(bench: Bench) -> None:
    bot = bench.call(bench.client)
    bench.function = bot.send
    with bench.practice.fail_next(529, times=99, retry_after=0.01):
        bench.run(LAST)
    made = f"it made {len(bench.sent)} requests: call_with_retry alone makes 6."
    require(len(bench.sent) <= 6, f"the API stayed overloaded, and {made}", "retry on top of retry")
    lets_out(bench, [400], lambda: bench.run(LAST))
    _takes_turns(bench, bench.run, lambda: getattr(bot, "history", []), bench.is_reply, patient=True)


def window(bench: Bench, tells: bool = False) -> None:
    """Judges the last turns of histories of each length; what `tells` prints how many it left out."""
    for length, keep in product(range(6, 0, -1), range(1, 9)):
        given = conversation(length)
        wanted = turns(given)[-(2 * keep - 1) :]
        with bench.case(f"of {length} turns, the last {keep}"):
            made = turns(bench.call(given, keep))
            require(made, "no messages: it returned an empty list.")
            require(made[0][0] == "user", "first message not user: it begins with the assistant.")
            require(made[-1] == wanted[-1], f"newest message missing: {shown(wanted[-1][1])} is to be there.")
            kept, most = sum(role == "user" for role, _ in made), min(keep, length)
            wrong = f"too {'few' if kept < most else 'many'} turns"
            require(kept == most, f"{wrong}: it kept {kept} turns, from {shown(made[0][1])}.")
            is_equal("messages", made, wanted)
            require(given == conversation(length), "history changed: return a part of it, and leave it.")
            if tells and keep < length:
                bench.prints("number", length - keep)
            elif tells:
                require(not bench.last.printed.strip(), "needless words: nothing was left out.")


def recent(bench: Bench) -> None:
    window(bench, tells=True)


def choose_system(bench: Bench) -> None:
    value = bench.call(typed=["  Answer like a pirate.  "])
    require("pirate" in bench.last.printed, "not asked: input has to be called inside the function.")
    is_equal("the answer typed", value, "Answer like a pirate.", "not stripped")
    for typed in ("", "   "):
        with bench.case("for an empty answer"):
            value = bench.call(typed=[typed])
            require(isinstance(value, str) and value.strip(), "no default: it was to return a default.")


def show_tokens(bench: Bench) -> None:
    message = bench.client.messages.create(model=MODEL, **ASK)
    now = {"input": message.usage.input_tokens, "output": message.usage.output_tokens}
    becomes = {"turns": 4, "input": 1_000 + now["input"], "output": 500 + now["output"]}
    prints = {f"this turn's {key} tokens": count for key, count in now.items()}
    prints |= {f"the session's {key} tokens": becomes[key] for key in now}
    bench.settles(bench.session(turns=3, input=1_000, output=500), message, prints=prints, **becomes)


def show_cost(bench: Bench) -> None:
    message, before = bench.client.messages.create(model=ANOTHER_MODEL, **ASK), 0.5000004
    cost = estimate_cost(message.usage.input_tokens, message.usage.output_tokens, ANOTHER_MODEL)
    prints = {"this turn's cost": f"{cost:.6f}", "the session's cost": f"{before + cost:.6f}"}
    session = bench.session(model=ANOTHER_MODEL, cost=before)
    bench.settles(session, message, prints=prints, cost=before + cost)


def reset(bench: Bench) -> None:
    session = bench.session(history=conversation(3), turns=3, input=900, output=300, cost=0.25)
    bench.settles(session, prints={"that the history is cleared": ""}, history=[])


def show_stats(bench: Bench) -> None:
    prints = {"turns": 7, "input": 4321, "output": 987, "cost": "0.012345"}
    bench.settles(bench.session(turns=7, input=4_321, output=987, cost=0.0123454), prints=prints)


def switch_model(bench: Bench) -> None:
    session = bench.session(model=find_model("haiku").id)
    for name, right in (("opus", find_model("opus")), (find_model("sonnet").id, find_model("sonnet"))):
        with bench.case(f'after "!model {name}"'):
            says = {"which model answers now": ""}
            bench.settles(session, f"!model {name}", prints=says, model=right.id)
            text = bench.last.printed.lower()
            told = any(word.lower() in text for word in (name, right.id, right.name))
            require(told, f"switch not said: that {right.id} answers from now on was not printed.")
    for name in ("gpt-9000", "claude-haiku-5-6"):
        try:
            find_model(name)
        except UnknownModelError as error:
            sentence = " ".join(str(error).split())
        with bench.case(f'after "!model {name}", which no model is called', "unknown name raises"):
            bench.settles(session, f"!model {name}", prints={})
            printed = " ".join(bench.last.printed.split())
            require(printed, "unknown name ignored: it said nothing.")
            require(sentence in printed, f"own sentence: what find_model says of it is {shown(sentence)}.")


def save(bench: Bench) -> None:
    said = ("user", "Grüße aus Zürich, 东京 and Łódź"), ("assistant", 'She said "hello"\nand left.')
    history = [{"role": role, "content": text} for role, text in said]
    with tempfile.TemporaryDirectory(prefix="course-exercise-") as folder:
        path = Path(folder) / "chat.json"
        for when in ("where no file stands", "where an older file stands"):
            with bench.case(when):
                bench.call(bench.session(history=list(history), turns=1), str(path), wanted=False)
                require(path.exists(), "no file: there is none at path; open the path that it is given.")
                try:
                    data = json.loads(path.read_text(encoding="utf-8"))
                except UnicodeDecodeError:
                    raise NotYet('not in UTF-8: open(path, "w", encoding="utf-8").', "not UTF-8") from None
                except ValueError:
                    raise NotYet("no JSON: str() is not JSON, json.dump is.", "no JSON") from None
                wanted, found = (json.dumps(each, sort_keys=True) for each in (history, data))
                require(wanted in found, "no messages: the file does not hold the history's, in order.")
