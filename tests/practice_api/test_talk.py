"""What the practice model says to a learner: right, honest, and as the system prompt would have it."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from course_helpers.models import ALIASES, available, find_model
from course_helpers.practice_api import instructions, knowledge, replies, rows
from course_helpers.practice_api.schemas import CreateMessage, parse
from course_helpers.pricing import rates
from tests.practice_api.wire import HAIKU, assistant, user
from tools import glossary

HERE = Path(__file__).parent
NOTE = re.compile(r"\s*\[practice model:[^\]]*\]\s*")
LIST_ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)])\s")


def say(*turns: str, **fields: Any) -> str:
    """The answer to the last of `turns`, the user's and the assistant's by turns."""
    messages = [(assistant if number % 2 else user)(text) for number, text in enumerate(turns)]
    if late := fields.pop("late", None):
        messages.append({"role": "system", "content": late})
    request = parse(CreateMessage, {"model": HAIKU, "max_tokens": 1000, "messages": messages} | fields)
    return replies.answer(request, request.messages, find_model(HAIKU)).text


@cache
def table(name: str) -> dict[str, Any]:
    """The table in the file `name` beside this one."""
    return tomllib.loads((HERE / name).read_text("utf-8"))


@cache
def conversations() -> list[tuple[dict[str, Any], tuple[str, ...], str]]:
    """Each question with the turns before it and its answer."""
    open_ones, found = {}, []
    for question in table("questions.toml")["question"]:
        turns = open_ones.setdefault(question.get("conversation", id(question)), [])
        for text in question.get("before", []):
            turns += [text, say(*turns, text)]
        found.append((question, tuple(turns), say(*turns, question["ask"])))
        turns += [question["ask"], found[-1][2]]
    return found


def faults(rule: dict[str, Any], text: str) -> list[str]:
    """What of `must` and `must_not` is broken; stars and backticks are looked away from."""
    plain = re.sub(r"[*`]", "", text)
    broken = [
        str(group) for group in rule.get("must", []) if not any(re.search(p, plain, re.I) for p in group)
    ]
    return broken + [pattern for pattern in rule.get("must_not", []) if re.search(pattern, plain, re.I)]


@pytest.mark.parametrize("number", range(len(table("questions.toml")["question"])))
def test_an_answer_is_right(number):
    """On the subject, in small talk, and off the subject; a conversation never hears one answer twice."""
    question, before, said = conversations()[number]
    kind = table("questions.toml")["kinds"][question["kind"]]
    assert faults(kind, said) + faults(question, said) == [], f"{question['ask']} → {said}"
    assert len(said) <= kind["limit"]
    assert said not in before[1::2]


@pytest.mark.parametrize(
    "prompt", table("system_prompts.toml")["prompt"], ids=lambda p: p.get("system", p["ask"])
)
def test_a_system_prompt_is_obeyed(prompt):
    """In any wording, alone and combined; what it cannot do it says in one sentence."""
    turns = [text for _, text in prompt.get("before", [])]
    fields = {key: prompt[key] for key in ("system", "late") if key in prompt}
    if isinstance(fields.get("system"), list):
        fields["system"] = [{"type": "text", "text": text} for text in fields["system"]]
    said = say(*turns, prompt["ask"], **fields)
    assert [p for p in prompt.get("must", []) if not re.search(p, said, re.I)] == []
    assert [p for p in prompt.get("must_not", []) if re.search(p, said, re.I)] == []
    assert len(NOTE.findall(said)) in {"must": [1], "may": [0, 1]}.get(prompt.get("note"), [0])
    text = NOTE.sub(" ", said).strip()
    items = [line for line in text.splitlines() if LIST_ITEM.match(line)]
    assert len(text.split()) <= prompt.get("max_words", 999)
    assert len(re.findall(r"[.!?](?:\s|$)", text)) <= prompt.get("max_sentences", 999)
    assert prompt.get("min_list_items", 0) <= len(items) <= prompt.get("max_list_items", 999)
    assert len(items) == prompt.get("list_items", len(items))
    assert text.startswith(prompt.get("starts_with", ""))
    assert text.endswith(prompt.get("ends_with", ""))
    assert text == {"lower": text.lower(), "upper": text.upper()}.get(
        next((key for key in ("lower", "upper") if prompt.get(key)), ""), text
    )
    if "json_keys" in prompt:
        assert list(json.loads(text)) == prompt["json_keys"]


def test_only_the_messages_are_known():
    """A follow-up whose subject was cut off has lost it; with it, it is answered."""
    first = "What is jitter?"
    assert "random" in say(first, say(first), "and in Python?")
    assert "random" not in say("and in Python?")


def test_every_entry_is_whole():
    """Each says something of a length that can be read, knows its figures, and is found by its phrasings."""
    wrong = Counter()
    for entry in knowledge.entries().values():
        texts = [rows.fill(entry.part(part)) for part in ("say", "brief", "simple", "why", "example")]
        assert not [text for text in texts if re.search(r"\{[a-z_]+\}", text)], entry.name
        assert len(texts[0]) <= 720, entry.name
        assert len(texts[1]) <= 160, entry.name
        assert len(entry.word.split()) <= 3, entry.name
        assert 0 <= entry.lesson <= 8
        wrong.update(entry.name for ask in entry.ask if next(iter(knowledge.match(ask))) != entry.name)
    assert wrong.total() <= 20, wrong


def test_prices_are_those_of_the_data():
    """And model facts those of models.py: nothing is typed into an answer."""
    shown = rows.figures()
    assert shown["models"].split(", ") == [model.id for model in available()]
    for line, id in ALIASES.items():
        tier = rates(id).tiers[0]
        for kind, usd in {"in": tier.input, "out": tier.output, "read": tier.cache_read}.items():
            assert float(shown[f"{line}_{kind}"].removeprefix("$")) == pytest.approx(usd)
    assert shown["haiku_in"] in say("How much does Haiku cost?")
    assert shown["cache_min"] in say("how long must a prompt be to be cached")
    typed = knowledge.FILE.read_text("utf-8")
    assert not re.search(r"\$\d", typed)


@pytest.mark.parametrize(
    "text", ["", " ", "?", "'" * 999, "a" * 20_000, "{" * 99, "⟦9⟧", "if asked about", "🙂", "\x00"]
)
def test_any_text_gets_some_answer(text):
    """As a question, as a system prompt, and as an example."""
    assert say(f"{text} .")
    assert say("What is a token?", system=f"{text} .")
    assert say(f"{text} .", "x", "y", "z", f"{text} .")
    assert isinstance(instructions.read(text)[0], dict)


def test_the_glossary_is_that_of_the_file():
    """`make notebooks` writes it."""
    assert glossary.PAGE.read_text("utf-8") == glossary.page()
    assert "**streaming**" in glossary.terms(4)
