"""Lesson 2, roles and the system prompt."""

from __future__ import annotations

from ..grading import Bench, text_of, turns
from ..sandbox import shown
from . import grader, require

CODE = "def first(items):\n    return items[0]\n"
INSTRUCTIONS = "You are a careful reviewer. Name the worst problem in one sentence."
EXAMPLES = [("Great, I would buy it again!", "positive"), ("It broke on the first day.", "negative")]
NEW_TEXT = "Does what it says."


@grader
def review(bench: Bench) -> None:
    """The instructions as system prompt, the code as the user's message."""
    ran = bench.run(CODE, INSTRUCTIONS)
    body = bench.only_request()
    messages = body.get("messages") or []
    said = "\n".join(text_of(message.get("content")) for message in messages)
    system = text_of(body.get("system"))
    as_role = "a message has the role system: the system prompt is none of them, it is the argument system."
    require("system" not in [message.get("role") for message in messages], as_role, "system as a message")
    mixed = (
        "the instructions went into a user message, where the model may take them for part of the text: they "
        "belong in the argument system."
    )
    require(INSTRUCTIONS not in said, mixed, "instructions in a user message")
    none = "the request had no system prompt, so the model never saw the instructions."
    require(system, none, "no system prompt")
    there = "the code went into the system prompt; it is what the user says."
    require(CODE.strip() not in system, there, "code in the system prompt")
    other = f"the system prompt was to be the instructions; it was {shown(system)}."
    require(INSTRUCTIONS in system, other, "other system prompt")
    require(
        "def divide" not in said, "it sent the lesson's code, not the code it was given.", "lesson's code"
    )
    require(CODE.strip() in said, "the code did not go along in the user's message.", "code not sent")
    bench.value(ran)
    limit = body["max_tokens"]
    require(limit == 500, f"max_tokens was to be 500, and it was {limit}.", "other max_tokens")
    bench.is_reply(ran.value)
    with bench.practice.shape("thinking_first"):
        when = "when the reply begins with a thinking block"
        value = bench.call(CODE, INSTRUCTIONS, when=when, mistake="position 0")
        bench.is_reply(value, when, "position 0")


@grader
def few_shot(bench: Bench) -> None:
    """Alternating turns, the question last, and the API takes them."""
    made = turns(bench.call(list(EXAMPLES), NEW_TEXT))
    require(made, "it returned an empty list.", "empty list")
    none = "there is no assistant turn: what the model should have answered is said by the assistant."
    require("assistant" in [role for role, _ in made], none, "no assistant turn")
    ends = "the list ends with the assistant: the question comes last, as the user's turn."
    require(made[-1][0] == "user", ends, "question not last")
    last = f"the last turn was to ask {shown(NEW_TEXT)}; it says {shown(made[-1][1])}."
    require(made[-1][1] == NEW_TEXT, last, "question not last")
    wanted = [turn for text, answer in EXAMPLES for turn in (("user", text), ("assistant", answer))]
    for seen, expected in zip(made, wanted, strict=False):
        require(
            seen == expected, f"expected the turn {shown(expected)}, and found {shown(seen)}.", "other turn"
        )
    number = f"expected 5 messages for 2 examples, and found {len(made)}."
    require(made == [*wanted, ("user", NEW_TEXT)], number, "other number of messages")
    refusal = bench.refused(bench.last.value)
    require(not refusal, f"the API refuses this list: {refusal}", "refused by the API")
    alone = turns(bench.call([], NEW_TEXT, when="without examples"))
    question = "without examples it was to return the question alone."
    require(alone == [("user", NEW_TEXT)], question, "no examples")
