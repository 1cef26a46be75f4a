"""Lesson 8, the chatbot: its seven requirements."""

from __future__ import annotations

import re
from typing import Any

import anthropic

from ...models import ALIASES
from ..grading import Bench, text_of, turns
from ..sandbox import plain, shown
from . import grader, require
from .lesson_3 import conversation

SYSTEM = "You are a helpful, concise assistant."
QUESTION = "What is the capital of France?"


def a_session(bench: Bench, **changes: Any) -> dict[str, Any]:
    """A session as the lesson's `new_session` makes it, with `changes`."""
    fresh = {"turns": 0, "input": 0, "output": 0, "cost": 0.0, "keep": 20}
    return {"system": SYSTEM, "model": bench.model, "history": []} | fresh | changes


def numbers(text: str) -> set[str]:
    """The numbers in `text`, without thousands separators."""
    return set(re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d)[,_](?=\d{3})", "", text)))


def printed(bench: Bench, wanted: str) -> str:
    """What the last run printed; raises NotYet, saying what was `wanted`, if that is nothing."""
    text = bench.last.printed
    require(bool(text.strip()), f"it printed nothing: {wanted}.")
    return text


@grader(
    "8.1",
    "Requirement 1: a system prompt at the start",
    "input returns what was typed; .strip() takes the spaces off both ends.",
    'An empty string counts as false: "" or "something" is "something".',
    'return input("System prompt: ").strip() or "You are a helpful, concise assistant."',
)
def choose_system(bench: Bench) -> None:
    """What was typed, stripped; a default for an empty answer."""
    value = bench.call(typed=["  Answer like a pirate.  "])
    require(value is not None, "it returned None: is there a return at its end?")
    asked = "Answer like a pirate." in bench.last.printed
    require(asked, "it did not ask: input has to be called inside the function.")
    require(
        value == "Answer like a pirate.",
        f"the answer typed was '  Answer like a pirate.  ', and it returned {shown(value)}.",
    )
    for typed in ("", "   "):
        value = bench.call(typed=[typed])
        require(type(value) is str and value.strip() != "", "for an empty answer it was to return a default.")


@grader(
    "8.2",
    "Requirement 2: the full history",
    "What is sent is the history plus the new turn; chat_turn of lesson 3 did the same.",
    'messages = [*session["history"], {"role": "user", "content": text}]; session["history"] changes '
    "only after send has returned.",
    'send(model=session["model"], max_tokens=1024, system=session["system"], messages=messages)',
)
def take_turn(bench: Bench) -> None:
    """Everything of the session goes along; turns are kept whole or not at all."""
    session, handed = a_session(bench, model=ALIASES["sonnet"]), []

    def send(**arguments: Any) -> anthropic.types.Message:
        handed.append(arguments)
        return bench.client.messages.create(**arguments)

    message = bench.call(session, "My name is Ada.", send)
    body = bench.only_request("send")
    require(bool(handed), "it made the call itself: call send(...), so that a patient one can be put in.")
    require(
        isinstance(message, anthropic.types.Message), f"it was to return the message, not {shown(message)}."
    )
    require(
        body["model"] == session["model"], "it did not ask the session's model, which !model will change."
    )
    require(
        body.get("system") == SYSTEM,
        f"the system prompt was to be the session's; it was {shown(body.get('system'))}.",
    )
    require(body["max_tokens"] <= 1024, "max_tokens was to be at most 1024.")
    kept = turns(session["history"])
    require(
        kept == [("user", "My name is Ada."), ("assistant", bench.reply())],
        f'session["history"] was to hold the user\'s turn and the reply; it holds {shown(kept)}.',
    )
    bench.call(session, "What is my name?", send)
    said = [text_of(each["content"]) for each in bench.only_request("send")["messages"]]
    require(
        said == [*(text for _, text in kept), "What is my name?"],
        f"the second call was to send the whole history and the new turn; it sent {shown(said)}.",
    )
    kept = turns(session["history"])
    require(len(kept) == 4, f"after two turns the history was to hold 4 messages; it holds {len(kept)}.")
    with bench.practice.fail_next(403):
        ran = bench.run(session, "And yours?", send)
    require(isinstance(ran.error, anthropic.APIStatusError), "a call failed with 403: let its error out.")
    require(turns(session["history"]) == kept, "after a failed call the user's turn stayed in the history.")
    with bench.practice.shape("thinking_only"):
        when = "when the reply holds no text"
        bench.call(session, "And yours?", send, when=when)
    require(
        plain(session["history"])[4:] == [],
        f"{when}: the turn was kept, and its empty half is refused next time.",
    )


@grader(
    "8.3",
    "Requirement 3: tokens, this turn and in all",
    "message.usage holds input_tokens and output_tokens of this turn.",
    'First add them to session["input"] and session["output"], and 1 to session["turns"]; then print.',
    'print(f"[This turn: {usage.input_tokens} in / {usage.output_tokens} out tokens]"), and a second '
    "line with the session's numbers.",
)
def show_tokens(bench: Bench) -> None:
    """Totals in the session, four numbers on the screen."""
    message = bench.client.messages.create(
        model=bench.model, max_tokens=50, messages=[{"role": "user", "content": QUESTION}]
    )
    usage, session = message.usage, a_session(bench, turns=3, input=1_000, output=500)
    bench.call(session, message)
    _is_total(session, "input", 1_000 + usage.input_tokens, 1_000)
    _is_total(session, "output", 500 + usage.output_tokens, 500)
    _is_total(session, "turns", 4, 3)
    seen = numbers(printed(bench, "print the numbers"))
    for what, number in (
        ("this turn's input tokens", usage.input_tokens),
        ("this turn's output tokens", usage.output_tokens),
        ("the session's input tokens", session["input"]),
        ("the session's output tokens", session["output"]),
    ):
        require(str(number) in seen, f"{what}, {number}, were not printed.")


def _is_total(session: dict[str, Any], key: str, right: float, before: float) -> None:
    value = plain(session.get(key))
    require(value != before, f'session["{key}"] did not change: add this turn to it.')
    require(
        isinstance(value, (int, float)) and abs(value - right) < 1e-12,
        f'session["{key}"] was {before} and was to become {right}; it is {shown(value)}.',
    )


@grader(
    "8.4",
    "Requirement 4: what it cost",
    "estimate_cost takes the input tokens, the output tokens and the model.",
    'The model is session["model"], since it can change in mid-conversation; add the cost to '
    'session["cost"].',
    "print(f\"[This turn: ${cost:.6f} · session: ${session['cost']:.6f}]\")",
)
def show_cost(bench: Bench) -> None:
    """Priced at the session's model, added, printed with six decimals."""
    from ...pricing import estimate_cost

    model = ALIASES["opus"] if bench.model != ALIASES["opus"] else ALIASES["sonnet"]
    message = bench.client.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": QUESTION}]
    )
    used = message.usage.input_tokens, message.usage.output_tokens
    before = 0.5000004  # more than six decimals
    session, right = a_session(bench, model=model, cost=before), estimate_cost(*used, model)
    bench.call(session, message)
    cost = plain(session["cost"])
    wrong_model = isinstance(cost, float) and abs(cost - before - estimate_cost(*used, bench.model)) < 1e-12
    require(not wrong_model, f"it took the price of {bench.model}; the session's model is {model}.")
    _is_total(session, "cost", before + right, before)
    seen = numbers(printed(bench, "print the numbers"))
    for whose, usd in (("this turn's", right), ("the session's", session["cost"])):
        require(f"{usd:.6f}" in seen, f"{whose} cost, ${usd:.6f}, was not printed with six decimals.")


@grader(
    "8.5",
    "Requirement 5: reset",
    "A function that sets a variable of its own changes nothing outside; change what session holds.",
    'session["history"] = []',
    'session["history"] = [], then print("[History cleared]"); leave turns, tokens and cost alone.',
)
def reset(bench: Bench) -> None:
    """An empty history, the totals as they were, and a word about it."""
    spent = {"turns": 3, "input": 900, "output": 300, "cost": 0.25}
    session = a_session(
        bench, history=[*conversation(3), {"role": "assistant", "content": "answer 3"}], **spent
    )
    bench.call(session)
    require(session.get("history") == [], 'session["history"] still holds the conversation.')
    for key, value in spent.items():
        require(session.get(key) == value, f'session["{key}"] changed: what was spent stays spent.')
    require(session.get("system") == SYSTEM, "the system prompt is gone: reset clears the history alone.")
    printed(bench, "say that the history is cleared")


@grader(
    "8.6",
    "Requirement 6: stats",
    "Everything to print stands in session.",
    "Four numbers: turns, input, output and cost; {…:.6f} prints six decimals.",
    "print(f\"[{session['turns']} turns · {session['input']} in / {session['output']} out tokens · "
    "${session['cost']:.6f}]\")",
)
def show_stats(bench: Bench) -> None:
    """Four numbers on the screen, the session as it was."""
    session = a_session(bench, turns=7, input=4_321, output=987, cost=0.0123454)
    before = dict(session)
    bench.call(session)
    require(session == before, "it changed the session: a summary only looks.")
    seen = numbers(printed(bench, "print the numbers"))
    for key in ("turns", "input", "output"):
        require(str(session[key]) in seen, f'session["{key}"], {session[key]}, was not printed.')
    require("0.012345" in seen, "the cost, 0.012345, was not printed with six decimals.")


@grader(
    "8.7",
    "Requirement 7: rate limits",
    "The SDK retries by itself, but silently, and a chatbot that says nothing for a minute looks dead.",
    "call_with_retry(client, …) waits as the API asks and prints a line; it turns the SDK's own retries off.",
    "return call_with_retry(client, **arguments)",
)
def patient_send(bench: Bench) -> None:
    """A 429 is waited out, in words; a 400 comes out at once."""
    asked = {"model": bench.model, "max_tokens": 50, "messages": [{"role": "user", "content": QUESTION}]}
    with bench.practice.fail_next(429, retry_after=1):
        ran = bench.run(**asked)
    require(
        not isinstance(ran.error, anthropic.RateLimitError),
        "a rate limit came out as an error: wait and retry.",
    )
    message = bench.value(ran)
    doubled = [each for each in bench.sent if each.headers.get("x-stainless-retry-count", "0") != "0"]
    require(not doubled, "the SDK's own silent retry did it: turn it off, and say that the chatbot waits.")
    require(len(bench.sent) == 2, f"after one 429 it was to make 2 requests; it made {len(bench.sent)}.")
    sent = (bench.sent[-1].body or {}).get("messages")
    passed_on = sent == asked["messages"]
    require(passed_on, f"it was to pass on the arguments it was given; it sent {shown(sent)}.")
    require(
        isinstance(message, anthropic.types.Message), f"it was to return the message, not {shown(message)}."
    )
    require(bool(ran.printed.strip()), "it waited without a word: print that it waits, and how long.")
    require(ran.seconds > 0.9, "the API asked for a second in retry-after, and it came back sooner.")
    with bench.practice.fail_next(400):
        ran = bench.run(**asked)
    require(
        isinstance(ran.error, anthropic.BadRequestError), "a 400 was to come out as the error that it is."
    )
    require(len(bench.sent) == 1, "a 400 was tried again: it fails for the same reason each time.")
