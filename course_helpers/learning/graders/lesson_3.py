"""Lesson 3, multi-turn: the API forgets."""

from __future__ import annotations

import anthropic
import httpx2

from ..grading import Bench, text_of, turns
from ..sandbox import shown
from . import grader, require

FIRST, SECOND = "My name is Ada.", "What is my name?"


@grader
def chat_turn(bench: Bench) -> None:
    """History grows by two after a reply, by nothing after a failure or an empty reply."""
    history: list = []
    bench.is_reply(bench.call(history, FIRST))
    bench.only_request()
    kept = turns(history)
    other_list = "history is still empty: append to the list that you were given (history = … makes another)."
    require(kept, other_list, "another list")
    one = f"history holds only {shown(kept[0])}: both turns belong in it, yours and the reply."
    require(len(kept) > 1, one, "one turn kept")
    seen = f"history was to hold the user's turn and the reply's text; it holds {shown(kept)}."
    require(kept == [("user", FIRST), ("assistant", bench.reply())], seen, "other history")
    for past, text in ((history, SECOND), (conversation(2)[:2], "Which question was that?")):
        before = turns(past)
        bench.is_reply(bench.call(past, text))
        said = [text_of(message["content"]) for message in bench.only_request()["messages"]]
        new_only = "on the second turn only the new text was sent: the model has never heard of the first."
        require(said != [text], new_only, "history not sent")
        require(text in said, f"the new text was not sent; it sent {shown(said)}.", "text not sent")
        require(said.count(text) == 1, "the new text was sent twice.", "text sent twice")
        wanted = f"it was to send the whole history and the new text; it sent {shown(said)}."
        require(said == [*(said for _, said in before), text], wanted, "other history sent")
        order = f"after another turn history was to hold {len(before) + 2} messages, in the order as said."
        kept = [*before, ("user", text), ("assistant", bench.reply())]
        require(turns(past) == kept, order, "other history")
    _failures(bench, history)


def _failures(bench: Bench, history: list) -> None:
    before = turns(history)
    for when, fault in (
        ("after a call that failed with 403", lambda: bench.practice.fail_next(403)),
        ("after a dropped connection", lambda: bench.practice.break_stream("disconnect", times=9)),
    ):
        with fault():
            error = bench.run(history, "And yours?").error
        require(error is not None, f"{when}, nobody would notice: let the error out.", "failure swallowed")
        own = isinstance(error, (anthropic.APIError, httpx2.HTTPError))
        require(own, f"{when} {bench.words(error)}; its own error was to come out.", "other error")
        stayed = f"{when} the user's turn stayed in history: a turn is kept whole or not at all."
        require(turns(history) == before, stayed, "failed turn left in history")
    for shape, when in (
        ("thinking_only", "when the reply holds no text"),
        ("empty", "when the reply is empty"),
    ):
        with bench.practice.shape(shape):
            value = bench.call(history, "And yours?", when=when, mistake="no text block")
        stored = [message for message in history if not text_of(message["content"])]
        empty = f"{when}: an empty turn stands in history now, and the API refuses the next call for it."
        require(not stored, empty, "empty turn stored")
        changed = f"{when}: history changed; it was to stay as it was."
        require(turns(history) == before, changed, "half a turn kept")
        returned = f"{when}: it was to return an empty string, and it returned {shown(value)}."
        require(value == "", returned, "no text block")


def conversation(length: int) -> list[dict[str, str]]:
    """A history of `length` turns, the newest still unanswered."""
    said = [(role, f"{what} {n}") for n in range(length) for role, what in ROLES]
    return [{"role": role, "content": text} for role, text in said][:-1]


ROLES = (("user", "question"), ("assistant", "answer"))


@grader
def window(bench: Bench) -> None:
    """The last turns, beginning with the user, whole if it is short."""
    is_window(bench, lambda case, left_out: None)


def is_window(bench: Bench, said: object) -> None:
    """Raises NotYet unless the function returns the last turns, for each length and each number of them.

    After each run, `said` judges what was printed: it is given the case and the number of turns left out.
    """
    for length in range(6, 0, -1):
        for keep in range(1, 9):
            case, given = f"of {length} turns, the last {keep}", conversation(length)
            made = turns(bench.call(given, keep, when=case))
            wanted = turns(conversation(length))[-(2 * keep - 1) :]
            require(made, f"{case}: it returned no messages.", "no messages")
            first = (
                f"{case}: what it returned begins with the assistant, and the API wants a user turn first."
            )
            require(made[0][0] == "user", first, "first message not user")
            newest = f"{case}: the newest message, {shown(wanted[-1][1])}, is missing."
            require(made[-1] == wanted[-1], newest, "newest message missing")
            kept = [text for role, text in made if role == "user"]
            number = f"{case}: it kept {len(kept)} turns, from {shown(kept[0])}."
            require(len(kept) >= min(keep, length), number, "too few turns")
            require(len(kept) == min(keep, length), number, "too many turns")
            other = f"{case}: expected {len(wanted)} messages, and found {len(made)}."
            require(made == wanted, other, "other messages")
            changed = f"{case}: it changed the history that it was given: return a part of it."
            require(given == conversation(length), changed, "history changed")
            said(case, max(0, length - keep))
