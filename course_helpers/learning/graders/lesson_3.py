"""Lesson 3, multi-turn: the API forgets."""

from __future__ import annotations

import anthropic

from ..grading import Bench, text_of, turns
from ..sandbox import shown
from . import grader, require

FIRST, SECOND = "My name is Ada.", "What is my name?"


@grader(
    "3.1",
    "A turn is all or nothing",
    "The API remembers nothing: what you send is the history plus the new turn. When is it safe to "
    "keep the turn?",
    "Make the call with a new list, [*history, turn]; history changes only after the call has succeeded.",
    'history.extend([turn, {"role": "assistant", "content": answer}]), and only if answer is not empty.',
)
def chat_turn(bench: Bench) -> None:
    """History grows by two after a reply, by nothing after a failure or an empty reply."""
    history: list = []
    bench.is_reply(bench.call(history, FIRST))
    bench.only_request()
    first_answer = bench.reply()
    kept = _kept(history)
    require(
        bool(kept),
        "history is still empty: append to the list that you were given (history = … makes another).",
    )
    require(
        len(kept) > 1, f"history holds only {shown(kept[0])}: both turns belong in it, yours and the reply."
    )
    require(
        kept == [("user", FIRST), ("assistant", first_answer)],
        f"history was to hold the user's turn and the reply's text; it holds {shown(kept)}.",
    )
    _second_turn(bench, history)
    _failures(bench, history)


def _second_turn(bench: Bench, history: list) -> None:
    before = _kept(history)
    bench.is_reply(bench.call(history, SECOND))
    said = [text_of(message["content"]) for message in bench.only_request()["messages"]]
    require(
        said != [SECOND],
        "on the second turn only the new text was sent: the model has never heard of the first.",
    )
    require(SECOND in said, f"the new text was not sent; it sent {shown(said)}.")
    require(said.count(SECOND) == 1, "the new text was sent twice.")
    require(said == [*(text for _, text in before), SECOND], f"the second call sent {shown(said)}.")
    require(
        _kept(history) == [*before, ("user", SECOND), ("assistant", bench.reply())],
        "after two turns history was to hold four messages, in the order in which they were said.",
    )


def _failures(bench: Bench, history: list) -> None:
    before = _kept(history)
    with bench.practice.fail_next(403):
        ran = bench.run(history, "And yours?")
    require(ran.error is not None, "a call failed with 403 and nobody would notice: let the error out.")
    require(
        isinstance(ran.error, anthropic.APIStatusError),
        f"a call failed with 403, and {bench.words(ran.error)}.",
    )
    require(
        _kept(history) == before,
        "after a failed call the user's turn stayed in history: a turn is kept whole or not at all.",
    )
    with bench.practice.shape("thinking_only"):
        when = "when the reply holds no text"
        value = bench.call(history, "And yours?", when=when)
    stored = [message for message in history if not text_of(message["content"])]
    require(
        not stored, f"{when}: an empty turn stands in history now, and the API refuses the next call for it."
    )
    require(_kept(history) == before, f"{when}: history changed; it was to stay as it was.")
    require(value == "", f"{when}: it was to return an empty string, and it returned {shown(value)}.")


def _kept(history: list) -> list[tuple[str, str]]:
    filled = [
        message for message in history if not (isinstance(message, dict) and message.get("content") == "")
    ]
    return turns(filled)


def conversation(length: int) -> list[dict[str, str]]:
    """A history of `length` turns, the newest still unanswered."""
    messages = []
    for number in range(1, length + 1):
        messages.append({"role": "user", "content": f"question {number}"})
        messages.append({"role": "assistant", "content": f"answer {number}"})
    return messages[:-1]


@grader(
    "3.2",
    "A sliding window",
    "How many messages are two turns, if the newest has no answer yet? Count user messages rather "
    "than all of them.",
    'Find where the turns begin: starts = [i for i, m in enumerate(history) if m["role"] == "user"].',
    "starts[-turns:][0] is where the first turn to keep begins, also if there are fewer turns than that.",
)
def window(bench: Bench) -> None:
    """The last turns, beginning with the user, whole if it is short."""
    for length, keep in ((5, 2), (5, 1), (4, 3), (3, 3), (2, 10)):
        given = conversation(length)
        is_window(turns(bench.call(given, keep, when=_case(length, keep))), length, keep)
        require(
            given == conversation(length), "it changed the history that it was given: return a part of it."
        )


def _case(length: int, keep: int) -> str:
    return f"of {length} turns, the last {keep}"


def is_window(made: list[tuple[str, str]], length: int, keep: int) -> None:
    """Raises NotYet, naming the mistake, unless `made` is the last `keep` of `length` turns."""
    case = _case(length, keep)
    wanted = turns(conversation(length))[-(2 * keep - 1) :]
    require(bool(made), f"{case}: it returned no messages.")
    require(
        made[0][0] == "user",
        f"{case}: what it returned begins with the assistant, and the API wants a user turn first.",
    )
    require(made[-1] == wanted[-1], f"{case}: the newest message, {shown(wanted[-1][1])}, is missing.")
    questions = [text for role, text in made if role == "user"]
    require(
        len(questions) == min(keep, length),
        f"{case}: it kept {len(questions)} turns, from {shown(questions[0])}.",
    )
    require(made == wanted, f"{case}: expected {len(wanted)} messages, and found {len(made)}.")
