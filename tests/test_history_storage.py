"""Conversations in files: what they hold, how they are written, what is refused."""

from __future__ import annotations

import json
import math
import os
import stat

import pytest

from course_helpers import Conversation, connect, practice
from course_helpers.history import Call, NotAConversation, last_turns, storage
from course_helpers.models import UnknownModelError
from tests.drivers import stream

SETTINGS = ["model", "system", "max_tokens", "cache", "budget_usd"]


@pytest.fixture
def chat():
    practice.reset()
    chat = Conversation(connect(), system="Be brief.", max_tokens=500, cache=True, budget_usd=2)
    chat.send("My name is Sam.")
    stream(chat, "Hello! \u2603 \U0001f600")
    with practice.shape("empty"):
        chat.send("Hello!")
    chat.send("Hello!")
    chat.undo()
    yield chat
    practice.reset()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "chat.json"


def test_round_trip(chat, path):
    """All of it comes back, texts, figures, settings; it goes on, on another model."""
    chat.save(path)
    loaded = Conversation.load(path, keep=last_turns(5))
    for name in (*SETTINGS, "messages", "turns", "calls", "total", "past"):
        assert getattr(loaded, name) == getattr(chat, name), name
    loaded.model = "opus"
    assert (str(loaded.send("What is my name?")), loaded.calls[-1].turn) == ("Your name is Sam.", 4)
    Conversation(connect()).save(path)
    assert Conversation.load(path).messages == []


def test_models_and_prices_that_are_not_known_here(chat, path):
    """A file loads wherever it is; the next turn needs a model that there is. An unknown cost is null."""
    chat._ledger.add(Call(kind="lost", model="theirs", cost_usd=math.nan, seconds=0.0))
    chat.save(path)
    data = json.loads(path.read_text())
    assert data["calls"][-1]["cost_usd"] is None
    path.write_text(json.dumps(data | {"model": "llama3.2"}))
    loaded = Conversation.load(path, connect())
    assert math.isnan(loaded.total.cost_usd)
    with pytest.raises(UnknownModelError, match=r"llama3\.2"):
        loaded.send("Hello!")


def test_the_file(chat, path, monkeypatch):
    """It says what it is; no key, no address, no path; the owner's alone; a save that fails loses nothing."""
    chat.save(path)
    content = path.read_text("utf-8")
    data = json.loads(content)
    assert list(data) == ["format", "version", *SETTINGS, "turns", "calls"]
    assert (data["format"], data["version"]) == ("llm-api-course conversation", 1)
    assert set(data["calls"][0]) == set(Call.model_fields)
    secrets = (chat.client.api_key, str(path.parent), os.path.expanduser("~"), "Bearer", "sk-ant")
    assert not any(f'"{secret}"' in content or f"/{secret}" in content for secret in secrets)
    assert ("127.0.0.1" in content, "\u2603" in content) == (False, True)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def fail(*_: object):
        raise OSError(28, "No space left on device")

    for failing in ("fsync", "replace"):
        monkeypatch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            chat.save(path)
        monkeypatch.undo()
        assert (path.read_text("utf-8"), sorted(os.listdir(path.parent))) == (content, [path.name])


def changed(**changes):
    return lambda data: data | changes


def first_turn(**changes):
    return lambda data: data | {"turns": [data["turns"][0] | changes, *data["turns"][1:]]}


DAMAGED = [
    (lambda data: [data], r"or not saved by this course, .* \(Input should be an object"),
    (lambda data: {"messages": data["turns"]}, r"\(format: Field required"),
    (changed(version=3), r"\(version: Input should be 1 or 2\)"),
    (lambda data: {k: v for k, v in data.items() if k != "turns"}, r"\(turns: Field required\)"),
    (changed(max_tokens="500"), r"is damaged, .* \(max_tokens: "),
    (changed(calls=[]), "its turns do not fit its ledger"),
    (lambda data: data | {"past": data["calls"]}, "its turns do not fit its ledger"),
    (lambda data: data | {"turns": data["turns"][::-1]}, "its turns do not fit its ledger"),
    (first_turn(assistant=" \n"), r"\(turns\.0\.assistant: "),
    (first_turn(user=["secret words"]), r"\(turns\.0\.user: "),
]


def test_files_that_are_refused(chat, path):
    """Damaged, foreign, newer, cut short, missing: a sentence names the problem, never what the file says."""
    with pytest.raises(FileNotFoundError):
        Conversation.load(path)
    chat.save(path)
    data = path.read_bytes()
    cases = [(json.dumps(change(json.loads(data))).encode(), problem) for change, problem in DAMAGED]
    cases += [(wrong, "is not JSON") for wrong in (b"", b"\xff\xfe\x00", b"[" * 100_000, b'{"format": NaN')]
    cases += [(data[:end], "chat.json") for end in range(0, len(data) - 3, 197)]
    for content, problem in cases:
        path.write_bytes(content)
        with pytest.raises(NotAConversation, match=problem) as caught:
            Conversation.load(path)
        assert str(caught.value).startswith("chat.json ")
        assert not any(words in str(caught.value) for words in ("secret words", "pydantic"))


def test_a_file_of_version_1_0(path):
    """As 1.0 wrote it: it loads, and is written again the same."""
    figures = {"model": "claude-haiku-5-5", "input_tokens": 9, "output_tokens": 3, "cost_usd": 1e-6}
    figures = {"kind": "reply", "turn": 1, **figures, "stop_reason": "end_turn", "seconds": 0.5}
    turn = figures | {"user": "Hello!", "assistant": "Hi."}
    saved = {"format": storage.FORMAT, "version": 1, "model": "claude-haiku-5-5", "system": None}
    saved |= {"max_tokens": 1024, "cache": False, "budget_usd": None}
    path.write_text(json.dumps(saved | {"turns": [turn], "calls": [figures]}))
    Conversation.load(path).save(path)
    again = json.loads(path.read_text())
    assert again["turns"][0].items() >= turn.items()
    assert again.items() >= saved.items()
