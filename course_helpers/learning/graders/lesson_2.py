"""Lesson 2, roles and the system prompt."""

from __future__ import annotations

from ..grading import Bench, text_of, turns
from ..sandbox import shown
from . import grader, require

CODE = "def first(items):\n    return items[0]\n"
INSTRUCTIONS = "You are a careful reviewer. Name the worst problem in one sentence."
EXAMPLES = [("Great, I would buy it again!", "positive"), ("It broke on the first day.", "negative")]
NEW_TEXT = "Does what it says."


@grader(
    "2.1",
    "The reviewer",
    "There are two places for words in a request: messages, and the system prompt beside them.",
    "The system prompt is an argument of its own: client.messages.create(model=…, max_tokens=…, "
    "system=…, messages=…).",
    'system=instructions, messages=[{"role": "user", "content": code}]',
)
def review(bench: Bench) -> None:
    """The instructions as system prompt, the code as the user's message."""
    ran = bench.run(CODE, INSTRUCTIONS)
    body = bench.only_request()
    messages = body.get("messages") or []
    said = "\n".join(text_of(message.get("content")) for message in messages)
    roles = [message.get("role") for message in messages]
    require(
        "system" not in roles,
        "the instructions went as a message with the role system: the system prompt is not one of the "
        "messages, it is the argument system.",
    )
    require(
        INSTRUCTIONS not in said,
        "the instructions went into a user message, where the model may take them for part of the text: they "
        "belong in the argument system.",
    )
    system = text_of(body.get("system"))
    require(bool(system), "the request had no system prompt, so the model never saw the instructions.")
    require(CODE not in system, "the code went into the system prompt; it is what the user says.")
    require(INSTRUCTIONS in system, f"the system prompt was to be the instructions; it was {shown(system)}.")
    require("def divide" not in said, "it sent the lesson's code, not the code it was given.")
    require(CODE.strip() in said, "the code did not go along in the user's message.")
    bench.is_reply(bench.value(ran))
    with bench.practice.shape("thinking_first"):
        when = "when the reply begins with a thinking block"
        bench.is_reply(bench.call(CODE, INSTRUCTIONS, when=when), when)


@grader(
    "2.2",
    "Show, then ask",
    "An example is a small conversation that never took place: the user says the text, the assistant "
    "the answer.",
    "Two messages for each example, in this order, and one more at the end; list.append returns nothing.",
    'messages.append({"role": "user", "content": text}); messages.append({"role": "assistant", '
    '"content": answer})',
)
def few_shot(bench: Bench) -> None:
    """Alternating turns, the question last, and the API takes them."""
    examples = list(EXAMPLES)
    made = turns(bench.call(examples, NEW_TEXT))
    require(bool(made), "it returned an empty list.")
    roles = [role for role, _ in made]
    require(
        "assistant" in roles,
        "there is no assistant turn: what the model should have answered is said by the assistant.",
    )
    require(
        made[-1][0] == "user",
        "the list ends with the assistant: the question comes last, as the user's turn.",
    )
    require(
        NEW_TEXT in made[-1][1], f"the last turn was to ask {shown(NEW_TEXT)}; it says {shown(made[-1][1])}."
    )
    wanted = [turn for text, answer in EXAMPLES for turn in (("user", text), ("assistant", answer))]
    for seen, expected in zip(made, wanted, strict=False):
        require(seen == expected, f"expected the turn {shown(expected)}, and found {shown(seen)}.")
    require(
        made == [*wanted, ("user", NEW_TEXT)], f"expected 5 messages for 2 examples, and found {len(made)}."
    )
    require(examples == EXAMPLES, "it changed the list of examples that it was given.")
    refusal = bench.refused([{"role": role, "content": text} for role, text in made])
    require(not refusal, f"the API refuses this list: {refusal}")
    alone = turns(bench.call([], NEW_TEXT, when="without examples"))
    require(alone == [("user", NEW_TEXT)], "without examples it was to return the question alone.")
