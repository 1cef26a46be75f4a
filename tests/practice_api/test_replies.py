"""What the practice model says: right, honest, repeatable, from the messages alone, as it is told to."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from course_helpers.models import ALIASES
from course_helpers.practice_api import Practice, knowledge, replies, tokens
from course_helpers.practice_api.schemas import CreateMessage, parse
from course_helpers.pricing import rates
from tests.practice_api.wire import assistant, body, text, user

NOTE = re.compile(r"\s*\[practice model:[^\]]*\]\s*")
LIST_ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)])\s")
PROSE = """Large language models read text in small pieces that are called tokens. A token may be a whole \
word, a part of a word, or a single mark of punctuation. When you call such a model, you pay for every \
token that goes in and for every token that comes out, so it helps to have a feeling for how long a text \
is before you send it. As a rule of thumb, one token is about four characters of ordinary English."""


def say(*turns: str, late: str | None = None, **fields: Any) -> str:
    """The answer to the last of `turns`, the user's and the assistant's by turns."""
    messages = [(assistant if number % 2 else user)(words) for number, words in enumerate(turns)]
    messages += [{"role": "system", "content": late}] if late else []
    request = parse(CreateMessage, body(messages=messages, **fields))
    return replies.answer(request)[0]


ASKED, PROMPTS = (
    tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))
    for name in ("questions.toml", "system_prompts.toml")
)


def faults(rule: dict[str, Any], said: str) -> list[str]:
    """What of `must` and `must_not` is broken; of a group of patterns one must fit."""
    groups = [[group] if isinstance(group, str) else group for group in rule.get("must", [])]
    broken = [str(group) for group in groups if not any(re.search(p, said, re.I) for p in group)]
    return broken + [pattern for pattern in rule.get("must_not", []) if re.search(pattern, said, re.I)]


def test_an_answer_is_right():
    """On the subject, in small talk, and off the subject; a conversation never hears one answer twice."""
    open_ones, wrong = {}, []
    for question in ASKED["question"]:
        turns = open_ones.setdefault(question.get("conversation", id(question)), [])
        for words in question.get("before", []):
            turns += [words, say(*turns, words)]
        said, kind = say(*turns, question["ask"]), ASKED["kinds"][question["kind"]]
        plain = re.sub(r"[*`]", "", said)
        broken = faults(kind, plain) + faults(question, plain)
        if broken or len(said) > kind["limit"] or said in turns[1::2]:
            wrong.append((question["ask"], broken, said))
        turns += [question["ask"], said]
    assert wrong == []


@pytest.mark.parametrize("prompt", PROMPTS["prompt"], ids=lambda p: p.get("system", p["ask"]))
def test_a_system_prompt_is_obeyed(prompt):
    """In any wording, alone and combined; what it cannot do it says in one sentence."""
    system = prompt.get("system")
    system = [text(words) for words in system] if isinstance(system, list) else system
    before = (words for _, words in prompt.get("before", []))
    said = say(*before, prompt["ask"], late=prompt.get("late"), system=system)
    told = NOTE.sub(" ", said).strip()
    items = len([line for line in told.splitlines() if LIST_ITEM.match(line)])
    assert faults(prompt, said) == []
    assert len(NOTE.findall(said)) in {"must": [1], "may": [0, 1]}.get(prompt.get("note"), [0])
    assert len(told.split()) <= prompt.get("max_words", 999)
    assert len(re.findall(r"[.!?](?:\s|$)", told)) <= prompt.get("max_sentences", 999)
    assert prompt.get("min_list_items", 0) <= items <= prompt.get("max_list_items", 999)
    assert items == prompt.get("list_items", items)
    assert told.startswith(prompt.get("starts_with", ""))
    assert told.endswith(prompt.get("ends_with", ""))
    assert told == (told.lower() if "lower" in prompt else told.upper() if "upper" in prompt else told)
    assert "json_keys" not in prompt or list(json.loads(told)) == prompt["json_keys"]


def test_every_entry_is_whole():
    """Each says something of a length that can be read, knows its figures, and is found by its phrasings."""
    wrong = Counter()
    for entry in knowledge.entries().values():
        texts = [entry.part(part) for part in ("say", "brief", "simple", "why", "example")]
        assert not [words for words in texts if re.search(r"\{[a-z_]+\}", words)], entry.name
        assert (len(texts[0]) <= 720, len(texts[1]) <= 160) == (True, True), entry.name
        assert entry.of in {"", *knowledge.entries()}, entry.name
        assert (len(entry.word.split()) <= 3, 0 <= entry.lesson <= 9) == (True, True), entry.name
        wrong.update(entry.name for ask in entry.ask if next(iter(knowledge.match(ask))) != entry.name)
    assert wrong.total() <= 30, wrong


def test_prices_are_those_of_the_data():
    """And model facts those of models.py: nothing is typed into an answer."""
    shown = knowledge.figures()
    for line, id in ALIASES.items():
        tier = rates(id).tiers[0]
        for kind, usd in {"in": tier.input, "out": tier.output, "read": tier.cache_read}.items():
            assert float(shown[f"{line}_{kind}"].removeprefix("$")) == pytest.approx(usd)
    assert shown["haiku_in"] in say("How much does Haiku cost?")
    assert shown["haiku_cache_min"] in say("how long must a prompt be to be cached")
    assert not re.search(r"\$\d", knowledge.FILE.read_text("utf-8"))


def test_it_remembers_only_what_is_in_the_messages():
    """Statelessness shows: of facts, and of the subject of a follow-up."""
    told = ("Hi, my name is Ada and my favourite colour is green.", "Hello Ada!")
    assert say(*told, "What is my name?") == "Your name is Ada."
    assert "don't know" in say("What is my name?")
    # Two facts of one form are no examples of how a question is answered.
    noted = ["My name is Sam.", "Noted: your name is Sam.", "My town is Bern. ☃", "Noted: your town is Bern."]
    assert say(*noted, "What is my name?") == "Your name is Sam."
    assert say(*noted, "what's my town") == "Your town is Bern."
    assert "random" in say("What is jitter?", say("What is jitter?"), "and in Python?")
    assert "random" not in say("and in Python?")


def test_another_request_gets_another_id_and_max_tokens_cuts(wire):
    """Exactly that many are billed, and the text is a beginning of the whole."""
    whole = wire.ok(messages=[user(PROSE)])
    assert whole["id"] == wire.ok(messages=[user(PROSE)])["id"] != wire.ok()["id"]
    for most in (1, 5, 20):
        cut = wire.ok(messages=[user(PROSE)], max_tokens=most)
        assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", most)
        assert whole["content"][0]["text"].startswith("".join(block["text"] for block in cut["content"]))


def test_tokens_are_counted_by_kind():
    """English prose is about four characters a token; digits, code, other scripts and emoji take more."""
    for words in (PROSE, PROSE[:120], PROSE * 10, "The quick brown fox jumps over the lazy dog. " * 30):
        assert tokens.text_tokens(words) == pytest.approx(len(words) / 4, rel=0.25)
    for words in ("31415926535897932384", "if (a[i] != b[j]) { f(); }", "これはテストです。", "🎉🎊🥳🚀"):
        assert tokens.text_tokens(words) / len(words) > 1.3 * tokens.text_tokens(PROSE) / len(PROSE), words


@pytest.mark.parametrize(
    ("module", "rows", "words"),
    [
        (replies, "[[reply]]\nask = 'x'", "replies.toml, line 1: say: Field required"),
        (
            replies,
            "[[reply]]\nask = '(big'\nsay = 'y'",
            "line 2: ask: Input should be a valid regular",
        ),
        (replies, '[[reply]]\nask = "\\d"', "replies.toml: Unescaped '\\' in a string (at line 2, "),
        (knowledge, "[[entry]]\nname = 'x'\nsay = 'y'", "knowledge.toml, line 1: ask: Field required"),
    ],
)
def test_a_mistake_in_a_file_is_told_at_the_start(tmp_path, monkeypatch, module, rows, words):
    """Where it is and what it is; no call is ever answered with a 500 for it."""
    module.entries.cache_clear()  # a file with a mistake in it is not kept
    monkeypatch.setattr(module, "FILE", tmp_path / module.FILE.name)
    module.FILE.write_text(rows, "utf-8")
    with pytest.raises(ValueError, match=re.escape(words)):
        Practice().start()
