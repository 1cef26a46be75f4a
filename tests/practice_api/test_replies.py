"""What the practice model says: repeatable, from the messages alone, honest; and how it counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import anthropic
import pytest

from course_helpers.models import find_model
from course_helpers.practice_api import Practice, knowledge, replies, tokens
from tests.practice_api.wire import HAIKU, HAIKU_4, OPUS, assistant, body, text, user

ENTRY = "[[entry]]\nname = 'x'\nask = ['y']\nsay = 'y'\nbrief = 'z'\nlesson = 1\n"
PROSE = """Large language models read text in small pieces that are called tokens. A token may be a whole \
word, a part of a word, or a single mark of punctuation. When you call such a model, you pay for every \
token that goes in and for every token that comes out, so it helps to have a feeling for how long a text \
is before you send it. As a rule of thumb, one token is about four characters of ordinary English, or \
three quarters of a word. The rule fails for code, for numbers, and for other languages, which need more."""


def says(wire, *messages, **fields) -> str:
    """The text of the reply to `messages`."""
    content = wire.ok(messages=list(messages), **fields)["content"]
    return "".join(block["text"] for block in content if block["type"] == "text")


def test_it_remembers_only_what_is_in_the_messages(wire):
    """Statelessness shows."""
    told = user("Hi, my name is Ada and my favourite colour is green.")
    asked = user("What is my name?")
    assert says(wire, told, assistant("Hello Ada!"), asked) == "Your name is Ada."
    assert "don't know" in says(wire, asked)
    # Two facts of one form are no examples of how a question is answered.
    noted = [user("My name is Sam."), assistant("Noted: your name is Sam.")]
    noted += [user("My town is Bern. ☃"), assistant("Noted: your town is Bern.")]
    assert says(wire, *noted, asked) == "Your name is Sam."
    assert says(wire, *noted, user("what's my town")) == "Your town is Bern."


def test_anything_else_gets_an_honest_answer(wire):
    """It says what it is not, and how to get a real model, in other words each time."""
    turns, answers = [], []
    for asked in ("Write me a sonnet about databases.", "Then book me a flight to Lisbon.") * 4:
        turns.append(user(asked))
        answers.append(says(wire, *turns))
        turns.append(assistant(answers[-1]))
    assert len(set(answers)) == 8
    assert all('connect("live")' in said and "model" in said for said in answers)


@pytest.mark.slow
def test_the_same_request_gets_the_same_reply_in_every_process():
    """Text, id and usage; whatever PYTHONHASHSEED."""
    code = (
        "import json, sys, anthropic; from course_helpers.practice_api import practice;"
        "c = anthropic.Anthropic(base_url=practice.url, api_key='practice');"
        f"print(json.dumps(c.messages.create(**json.loads({json.dumps(json.dumps(body(model=OPUS)))})).to_dict()))"
    )
    outs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(outs) == 1
    assert json.loads(outs.pop())["model"] == OPUS


def test_another_request_gets_another_id(wire):
    """And streaming is no other request."""
    assert wire.ok()["id"] == wire.ok()["id"] != wire.ok(max_tokens=501)["id"]
    assert wire.ok()["id"].startswith("msg_")


def test_max_tokens_cuts(wire):
    """Exactly that many are billed, and the text is a beginning of the whole."""
    whole = wire.ok(messages=[user(PROSE)])
    for most in (1, 5, 20):
        cut = wire.ok(messages=[user(PROSE)], max_tokens=most)
        assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", most)
        said = "".join(block["text"] for block in cut["content"])
        assert whole["content"][0]["text"].startswith(said)


@pytest.mark.parametrize("words", [PROSE, PROSE[:120], "The quick brown fox jumps over the lazy dog. " * 30])
def test_english_prose_is_about_four_characters_a_token(words):
    """Within 25 per cent, on the 4.5 models."""
    assert tokens.text_tokens(words) == pytest.approx(len(words) / 4, rel=0.25)


def test_the_newer_tokenizer_counts_30_percent_more():
    """For any text."""
    new, old = find_model(HAIKU).tokenizer_factor, find_model(HAIKU_4).tokenizer_factor
    assert new / old == pytest.approx(1.3)
    assert tokens.text_tokens(PROSE, new) == pytest.approx(1.3 * tokens.text_tokens(PROSE, old))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("digits", "3141592653589793238462643383279502884197"),
        ("code", 'if (a[i] != b[j]) { return f(x, y)["k"]; } // {}()'),
        ("Japanese", "これはテストの文章です。トークンの数を数えます。"),
        ("emoji", "🎉🎊🥳🚀" * 5),
    ],
)
def test_what_is_no_prose_takes_more_tokens_a_character(kind, words):
    """Digits, code, other scripts, emoji."""
    assert tokens.text_tokens(words) / len(words) > 1.3 * tokens.text_tokens(PROSE) / len(PROSE), kind


def test_a_long_text_costs_as_much_as_its_parts(wire):
    """Counts add up, but for rounding."""
    one, ten = (wire.count(messages=[user(PROSE * n)]).json()["input_tokens"] for n in (1, 10))
    assert ten == pytest.approx(10 * one, rel=0.05)


def test_prefill_is_continued(wire):
    """The answer to the last user turn, from where the prefill ends."""
    fields = {"model": HAIKU_4}
    assert says(wire, user(), assistant("The capital of France is"), **fields) == " Paris."
    assert says(wire, user("Hello!"), assistant("Good morning!"), **fields)


def test_canned_answers_can_depend_on_system_prompt_and_earlier_turns(tmp_path, monkeypatch, practice, wire):
    """The keys of replies.toml, tried on a file of one's own."""
    rows = """
    [[reply]]
    ask = "weather"
    system = "pirate"
    say = "Arr, fair winds!"
    [[reply]]
    ask = "weather"
    earlier = "Paris"
    say = "In Paris it is sunny. {facts} {turns}"
    [[reply]]
    ask = "weather"
    say = "Where?"
    thinks = "They did not say where."
    """
    monkeypatch.setattr(replies, "FILE", tmp_path / "replies.toml")
    replies.FILE.write_text(rows, "utf-8")
    replies.entries.cache_clear()
    try:
        asked = user("What is the weather?")
        assert says(wire, asked, system="You are a Pirate.") == "Arr, fair winds!"
        told = user("My city is Paris.")
        assert (
            says(wire, told, assistant("Ok."), asked) == "In Paris it is sunny. The user's city is Paris. 3"
        )
        assert [block["type"] for block in wire.ok(messages=[asked])["content"]] == ["thinking", "text"]
        assert says(wire, asked, model=HAIKU_4) == "Where?"
    finally:
        replies.entries.cache_clear()


@pytest.mark.parametrize(
    ("file", "rows", "words"),
    [
        (replies, "[[reply]]\nask = 'x'", "replies.toml, reply 1, say: Field required"),
        (replies, "[[reply]]\nask = 7\nsay = 'y'", "reply 1, ask: it must be a text in quotes"),
        (
            replies,
            "[[reply]]\nask = ''\nsay = 'y'",
            "reply 1, ask: it must be a text in quotes, and not empty",
        ),
        (replies, "[[reply]]\nask = 'x'\nsay = ' '", "reply 1, say: String should have at least 1 character"),
        (replies, "[[reply]]\nask = 'x'\nsay = 'y'\nthink = 'z'", "reply 1, think: Extra inputs"),
        (
            replies,
            "[[reply]]\nask = 'x'\nsay = 'y'\n[[reply]]\nask = '(big'\nsay = 'y'",
            "reply 2, ask: missing )",
        ),
        (replies, "[[reply]]\nask = 'x{99999999999}'\nsay = 'y'", "ask: the repetition number is too large"),
        (replies, '[[reply]]\nask = "\\d"', "replies.toml: Unescaped '\\' in a string (at line 2, "),
        (replies, "[[replies]]\nask = 'x'\nsay = 'y'", "replies.toml, reply: Field required"),
        (knowledge, "[[entry]]\nname = 'x'", "knowledge.toml, entry 1, ask: Field required"),
        (
            knowledge,
            ENTRY.replace("['y']", "['']"),
            "entry 1, ask, 0: String should have at least 1 character",
        ),
        (knowledge, ENTRY.replace("1", "'1'"), "entry 1, lesson: Input should be a valid integer"),
        (knowledge, ENTRY + "of = 'a'", "knowledge.toml, x: of names no entry of its own, 'a'."),
    ],
)
def test_a_mistake_in_a_file_is_told_at_the_start(tmp_path, monkeypatch, file, rows, words):
    """Where it is and what it is; no call is ever answered with a 500 for it."""
    monkeypatch.setattr(file, "FILE", tmp_path / file.FILE.name)
    file.FILE.write_text(rows, "utf-8")
    file.entries.cache_clear()
    replies.entries.cache_clear()
    try:
        with pytest.raises(ValueError, match=re.escape(words)):
            Practice().start()
    finally:
        file.entries.cache_clear()


def test_all_canned_answers_are_well_formed():
    """No entry is empty, no pattern is broken, none matches everything."""
    for entry in replies.entries():
        assert entry.say
        assert not entry.ask.search("")
        assert not entry.ask.search("zzz qqq")


def test_messages_of_the_sdks_own_types_can_be_sent_back(client):
    """What came in goes out again as it is."""
    asked = user("Explain step by step why the sky is blue.")
    reply = client.messages.create(**body(messages=[asked]))
    again = client.messages.create(**body(messages=[asked, assistant(reply.content), user([text("Go on.")])]))
    assert isinstance(again, anthropic.types.Message)


def test_answers_are_in_the_sdks_own_types(wire):
    """Nothing missing, nothing misspelt: each answer passes the SDK's models strictly."""
    for fields in ({}, {"model": OPUS}, {"max_tokens": 1}, {"system": "Be brief."}):
        reply = wire.ok(**fields)
        parsed = anthropic.types.Message.model_validate(reply, strict=False)
        assert not parsed.model_extra
        assert not parsed.usage.model_extra
        assert all(not block.model_extra for block in parsed.content)
        assert [*reply][:4] == ["id", "type", "role", "model"]
        assert all(next(iter(block)) == "type" for block in reply["content"])
        assert next(iter(reply["usage"])) == "input_tokens"
