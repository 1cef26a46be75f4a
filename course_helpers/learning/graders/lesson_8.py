"""Lesson 8, the chatbot: its seven requirements."""

from __future__ import annotations

import copy
import re
from typing import Any

import anthropic
import httpx2

from ...models import available, find_model
from ...pricing import estimate_cost
from ..grading import Bench, is_at_most, is_returned, text_of, turns
from ..sandbox import TimeUp, number, shown
from . import grader, require
from .lesson_3 import conversation
from .lesson_6 import SPEND_CAP, is_message, retried_by_sdk

SYSTEM = "You are a helpful, concise assistant."
QUESTION = "What is the capital of France?"


def a_session(bench: Bench, **changes: Any) -> dict[str, Any]:
    """A session as the lesson's `new_session` makes it, with `changes`."""
    fresh = {"turns": 0, "input": 0, "output": 0, "cost": 0.0, "keep": 20}
    return {"system": SYSTEM, "model": bench.model, "history": []} | fresh | changes


def numbers(text: str) -> set[str]:
    """The numbers in `text`, without thousands separators."""
    return set(re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d)[,_'’\u00a0\u202f](?=\d{3})", "", text)))


def printed(bench: Bench, wanted: str) -> str:
    """What the last run printed; raises NotYet, saying what was `wanted`, if that is nothing."""
    require(bench.last.printed.strip(), f"it printed nothing: {wanted}.", "nothing printed")
    return bench.last.printed


def _another_model(bench: Bench) -> str:
    return next(model.id for model in available() if find_model(bench.model) != model)


@grader
def choose_system(bench: Bench) -> None:
    """What was typed, stripped; a default for an empty answer."""
    value = bench.call(typed=["  Answer like a pirate.  "])
    is_returned(value)
    asked = "Answer like a pirate." in bench.last.printed
    require(asked, "it did not ask: input has to be called inside the function.", "not asked")
    seen = f"the answer typed was '  Answer like a pirate.  ', and it returned {shown(value)}."
    require(value == "Answer like a pirate.", seen, "not stripped")
    for typed in ("", "   "):
        value = bench.call(typed=[typed], when="for an empty answer")
        default = isinstance(value, str) and value.strip()
        require(default, "for an empty answer it was to return a default.", "no default")


@grader
def take_turn(bench: Bench) -> None:
    """Everything of the session goes along; turns are kept whole or not at all."""
    session, handed, failure = a_session(bench, model=_another_model(bench)), [], []

    def send(**arguments: Any) -> anthropic.types.Message:
        handed.append(arguments)
        if failure:
            raise failure[0]
        return bench.client.messages.create(**arguments)

    message = bench.call(session, "My name is Ada.", send)
    body = bench.only_request("send")
    itself = "it made the call itself: call send(...), so that a patient one can be put in."
    require(handed, itself, "send not called")
    is_message(message)
    model = "it did not ask the session's model, which !model will change."
    require(body["model"] == session["model"], model, "other model")
    system = f"the system prompt was to be the session's; it was {shown(body.get('system'))}."
    require(text_of(body.get("system")) == SYSTEM, system, "other system prompt")
    is_at_most(body, 1024)
    kept = turns(session["history"])
    held = f'session["history"] was to hold the user\'s turn and the reply; it holds {shown(kept)}.'
    require(kept == [("user", "My name is Ada."), ("assistant", bench.reply())], held, "other history")
    bench.call(session, "What is my name?", send)
    said = [text_of(each["content"]) for each in bench.only_request("send")["messages"]]
    whole = f"the second call was to send the whole history and the new turn; it sent {shown(said)}."
    require(said == [*(text for _, text in kept), "What is my name?"], whole, "history not sent")
    kept += [("user", "What is my name?"), ("assistant", bench.reply())]
    four = f"after two turns the history was to hold 4 messages; it holds {len(session['history'])}."
    require(turns(session["history"]) == kept, four, "other history")
    request = httpx2.Request("POST", bench.practice.url)
    overloaded = httpx2.Response(529, request=request)
    for when, error in (
        (
            "after a call that failed with 529",
            anthropic.OverloadedError("busy", response=overloaded, body=None),
        ),
        ("after a dropped connection", anthropic.APIConnectionError(request=request)),
        ("after a timeout", anthropic.APITimeoutError(request=request)),
        ("after a failure outside the SDK", httpx2.ReadError("dropped in mid-stream")),
    ):
        failure[:] = [error]
        ran = bench.run(session, "And yours?", send)
        out = f"{when}, nobody would notice: let its error out."
        require(isinstance(ran.error, Exception), out, "failure swallowed")
        stayed = f"{when} the user's turn stayed in the history."
        require(turns(session["history"]) == kept, stayed, "failed turn left in history")
    failure.clear()
    for shape, when in (
        ("thinking_only", "when the reply holds no text"),
        ("empty", "when the reply is empty"),
    ):
        with bench.practice.shape(shape):
            bench.call(session, "And yours?", send, when=when, mistake="no text block")
        empty = f"{when}: the turn was kept, and its empty half is refused next time."
        require(len(session["history"]) == len(kept), empty, "empty turn stored")


@grader
def show_tokens(bench: Bench) -> None:
    """Totals in the session, four numbers on the screen."""
    message = _a_message(bench, bench.model)
    usage, session = message.usage, a_session(bench, turns=3, input=1_000, output=500)
    bench.call(session, message)
    _is_total(session, "input", 1_000 + usage.input_tokens, 1_000)
    _is_total(session, "output", 500 + usage.output_tokens, 500)
    _is_total(session, "turns", 4, 3)
    seen = numbers(printed(bench, "print the numbers"))
    for what, count in (
        ("this turn's input tokens", usage.input_tokens),
        ("this turn's output tokens", usage.output_tokens),
        ("the session's input tokens", 1_000 + usage.input_tokens),
        ("the session's output tokens", 500 + usage.output_tokens),
    ):
        require(str(count) in seen, f"{what}, {count}, were not printed.", f"{what} not printed")


def _a_message(bench: Bench, model: str) -> anthropic.types.Message:
    messages = [{"role": "user", "content": QUESTION}]
    return bench.client.messages.create(model=model, max_tokens=50, messages=messages)


def _is_total(session: dict[str, Any], key: str, right: float, before: float) -> None:
    value = number(session.get(key))
    require(value != before, f'session["{key}"] did not change: add this turn to it.', f"{key} not added")
    other = f'session["{key}"] was {before} and was to become {right}; it is {shown(session.get(key))}.'
    require(value is not None and abs(value - right) < 1e-12, other, f"other total of {key}")


@grader
def show_cost(bench: Bench) -> None:
    """Priced at the session's model, added, printed with six decimals."""
    model = _another_model(bench)
    message = _a_message(bench, model)
    used = message.usage.input_tokens, message.usage.output_tokens
    before = 0.5000004  # more than six decimals
    session, right = a_session(bench, model=model, cost=before), estimate_cost(*used, model)
    bench.call(session, message)
    added = (number(session["cost"]) or 0) - before
    wrong = f"it took the price of {bench.model}; the session's model is {model}."
    require(abs(added - estimate_cost(*used, bench.model)) > 1e-12, wrong, "other model's price")
    _is_total(session, "cost", before + right, before)
    seen = numbers(printed(bench, "print the numbers"))
    for whose, usd in (("this turn's", right), ("the session's", before + right)):
        missing = f"{whose} cost, ${usd:.6f}, was not printed with six decimals."
        require(f"{usd:.6f}" in seen, missing, f"{whose} cost not printed")


@grader
def reset(bench: Bench) -> None:
    """An empty history, the totals as they were, and a word about it."""
    session = a_session(bench, history=conversation(3), turns=3, input=900, output=300, cost=0.25)
    before = copy.deepcopy(session)
    bench.call(session)
    require(session.get("history") == [], 'session["history"] still holds the conversation.', "history kept")
    for key in before.keys() - {"history"}:
        spent = f'session["{key}"] changed: reset clears the history alone, and what was spent stays spent.'
        require(session.get(key) == before[key], spent, "more than the history cleared")
    printed(bench, "say that the history is cleared")


@grader
def show_stats(bench: Bench) -> None:
    """Four numbers on the screen, the session as it was."""
    session = a_session(bench, turns=7, input=4_321, output=987, cost=0.0123454)
    before = copy.deepcopy(session)
    bench.call(session)
    require(session == before, "it changed the session: a summary only looks.", "session changed")
    seen = numbers(printed(bench, "print the numbers"))
    for key in ("turns", "input", "output"):
        missing = f'session["{key}"], {session[key]}, was not printed.'
        require(str(session[key]) in seen, missing, f"{key} not printed")
    require("0.012345" in seen, "the cost, 0.012345, was not printed with six decimals.", "cost not printed")


@grader
def patient_send(bench: Bench) -> None:
    """A 429 is waited out, in words; a 400 and the spend limit come out at once."""
    asked = {"model": bench.model, "max_tokens": 50, "messages": [{"role": "user", "content": QUESTION}]}
    with bench.practice.fail_next(429, retry_after=1):
        ran = bench.run(**asked)
    limited = isinstance(ran.error, anthropic.RateLimitError)
    require(not limited, "a rate limit came out as an error: wait and retry.", "rate limit not waited out")
    message = bench.value(ran)
    awaited = "it is async: it is to be called like client.messages.create, without await."
    require(not ran.is_async, awaited, "async")
    silent = "the SDK's own silent retry did it: turn it off, and say that the chatbot waits."
    require(not retried_by_sdk(bench), silent, "the SDK's silent retry")
    made = f"after one 429 it was to make 2 requests; it made {len(bench.sent)}."
    require(len(bench.sent) == 2, made, "other number of tries")
    sent = (bench.sent[-1].body or {}).get("messages")
    passed_on = f"it was to pass on the arguments it was given; it sent {shown(sent)}."
    require(sent == asked["messages"], passed_on, "arguments not passed on")
    is_message(message)
    word = "it waited without a word: print that it waits, and how long."
    require(ran.printed.strip(), word, "waits in silence")
    late = "it spoke only when the waiting was over: print before you wait."
    require(ran.silent_seconds < ran.seconds - 0.5, late, "speaks too late")
    sooner = "the API asked for a second in retry-after, and it came back sooner."
    require(ran.seconds > 0.9, sooner, "retry-after ignored")
    for status, when, limit in ((400, "a 400", {}), (429, SPEND_CAP, {"spend_cap": True})):
        with bench.practice.fail_next(status, times=40, **limit):
            error = bench.run(**asked, seconds=2).error
        again = f"{when}: it was tried again, and fails for the same reason each time."
        waits = isinstance(error, TimeUp) or len(bench.sent) != 1
        require(not waits, again, "spend cap waited out" if limit else "non-retryable retried")
        require(
            isinstance(error, Exception),
            f"{when}: it was to come out as the error that it is.",
            "failure swallowed",
        )
