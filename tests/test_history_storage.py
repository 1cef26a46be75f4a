"""Conversations in files: what they hold, how they are written, what is refused."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys

import pytest

from course_helpers import Conversation, connect, practice
from course_helpers.history import Call, NotAConversation, last_turns, storage
from course_helpers.models import UnknownModelError
from tests.broken_server import broken_server
from tests.drivers import chat_with, stream
from tests.scripted_server import reply

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


def test_round_trip(chat, tmp_path):
    """All of it comes back, texts, figures, settings; it goes on, in another process, on another model."""
    path = tmp_path / "chat.json"
    chat.save(path)
    loaded = Conversation.load(path, keep=last_turns(5))
    for name in (*SETTINGS, "messages", "turns", "calls", "total", "past"):
        assert getattr(loaded, name) == getattr(chat, name), name
    assert (str(loaded.send("What is my name?")), loaded.calls[-1].turn) == ("Your name is Sam.", 4)
    script = (
        "import sys; from course_helpers import Conversation, connect; connect()\n"
        "chat = Conversation.load(sys.argv[1]); chat.model = 'opus'\n"
        "print(chat.send('What is my name?')); chat.save(sys.argv[1])"
    )
    child = [sys.executable, "-c", script, str(path)]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "Your name is Sam."
    again = Conversation.load(path)
    assert [call.model == chat.model for call in again.calls] == [True] * 4 + [False]
    Conversation(connect()).save(path)
    assert Conversation.load(path).messages == []


def test_models_and_prices_that_are_not_known_here(chat, tmp_path):
    """A file loads wherever it is; the next turn needs a model that there is. An unknown cost is null."""
    path = tmp_path / "chat.json"
    with broken_server(reply()) as server:
        other = chat_with(server.url, model="llama3.2")
        other.send("Hello!")
        other.save(path)
    loaded = Conversation.load(path, connect())
    with pytest.raises(UnknownModelError, match=r"llama3\.2"):
        loaded.send("Hello!")
    loaded.model = "haiku"
    loaded.send("Hello!")
    assert [call.cost_usd > 0 for call in loaded.calls] == [False, True]
    chat._ledger.add(Call(kind="lost", model="theirs", cost_usd=math.nan, seconds=0.0))
    chat.save(path)
    assert json.loads(path.read_text())["calls"][-1]["cost_usd"] is None
    assert math.isnan(Conversation.load(path).total.cost_usd)


def test_the_file(chat, tmp_path):
    """It says what it is; no key, no address, no path, nothing of the machine; the owner's alone."""
    path, link = tmp_path / "chat.json", tmp_path / "link.json"
    link.symlink_to(path)
    chat.save(link)
    assert link.is_symlink()
    content = path.read_text("utf-8")
    data = json.loads(content)
    assert list(data) == ["format", "version", *SETTINGS, "turns", "calls"]
    assert (data["format"], data["version"]) == ("llm-api-course conversation", 1)
    assert [turn["user"] for turn in data["turns"]] == [turn.user for turn in chat.turns]
    assert set(data["calls"][0]) == set(Call.model_fields)
    secrets = (chat.client.api_key, str(tmp_path), os.path.expanduser("~"), "Bearer", "sk-ant")
    assert not any(f'"{secret}"' in content or f"/{secret}" in content for secret in secrets)
    assert "127.0.0.1" not in content
    assert "\u2603" in content
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for wrong in (tmp_path / "missing" / "chat.json", tmp_path / "missing.json"):
        with pytest.raises(FileNotFoundError):
            chat.save(wrong) if wrong.parent != tmp_path else Conversation.load(wrong)


def test_a_save_that_fails_loses_nothing(chat, tmp_path, monkeypatch):
    """The previous file stays as it was, whatever happens on the way, and no rest is left behind."""
    path = tmp_path / "chat.json"
    chat.save(path)
    before = path.read_bytes()

    def fail(*_: object):
        raise OSError(28, "No space left on device")

    for failing in ("fsync", "replace"):
        monkeypatch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            chat.save(path)
        monkeypatch.undo()
        assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["chat.json"])


@pytest.mark.slow
def test_killed_while_saving(chat, tmp_path):
    """A process that is killed in the middle leaves the old file or the new one."""
    path = tmp_path / "chat.json"
    chat.save(path)
    script = (
        "import sys; from course_helpers import Conversation\n"
        "chat = Conversation.load(sys.argv[1])\n"
        "while True: chat.save(sys.argv[1]); print('saved', flush=True)"
    )
    for saves in (1, 4):
        child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
        with child:
            assert [child.stdout.readline() for _ in range(saves + 1)][-1] == "saved\n"
            child.kill()
        assert len(Conversation.load(path).turns) == 2


def changed(**changes):
    return lambda data: data | changes


def first(part: str, **changes):
    return lambda data: data | {part: [data[part][0] | changes, *data[part][1:]]}


DAMAGED = [
    (lambda data: [data], "not a conversation saved by this course"),
    (lambda data: {"cells": [], "nbformat": 4}, "not a conversation saved by this course"),
    (changed(format="other"), "not a conversation saved by this course"),
    (changed(version=3), r"saved by a newer version of the course \(format 3\): update it"),
    (changed(version="1"), "is damaged: version"),
    (changed(version=0), "is damaged: version"),
    (changed(extra=1), "is damaged: extra"),
    (lambda data: {k: v for k, v in data.items() if k != "turns"}, "is damaged: turns: Field required"),
    (changed(turns={}), "is damaged: turns"),
    (changed(model=""), "is damaged: model"),
    (changed(max_tokens=0), "is damaged: max_tokens"),
    (changed(max_tokens="500"), "is damaged: max_tokens"),
    (changed(budget_usd=-1), "is damaged: budget_usd"),
    (changed(system=5), "is damaged: system"),
    (changed(calls=[]), "is damaged: its turns do not fit its ledger"),
    (changed(past=[{"kind": "gift"}]), "is damaged: past.0.kind"),
    (lambda data: data | {"past": data["calls"]}, "its turns do not fit its ledger"),
    (lambda data: data | {"turns": data["turns"][::-1]}, "its turns do not fit its ledger"),
    (lambda data: data | {"turns": data["turns"] * 2}, "its turns do not fit its ledger"),
    (lambda data: data | {"calls": data["calls"][::-1]}, "its turns do not fit its ledger"),
    (first("turns", user=""), "is damaged: turns.0.user"),
    (first("turns", assistant=" \n"), "is damaged: turns.0.assistant"),
    (first("turns", user=["secret words"]), "is damaged: turns.0.user"),
    (first("turns", user="a\ud800"), "damaged"),
    (first("turns", input_tokens=-1), "is damaged: turns.0.input_tokens"),
    (first("turns", input_tokens=1.5), "is damaged: turns.0.input_tokens"),
    (first("turns", role="user"), "is damaged: turns.0.role"),
    (first("calls", kind="gift"), "is damaged: calls.0.kind"),
    (first("calls", cost_usd="cheap"), "is damaged: calls.0.cost_usd"),
    (first("calls", seconds=-1), "is damaged: calls.0.seconds"),
]


def test_files_that_are_refused(chat, tmp_path):
    """Damaged, foreign, newer or cut short: a sentence names the problem, and never what the file says."""
    path = tmp_path / "chat.json"
    chat.save(path)
    data = path.read_bytes()
    cases = [(json.dumps(change(json.loads(data))).encode(), problem) for change, problem in DAMAGED]
    no_json = (b"", b"{", b"\xff\xfe\x00", b"Hello!", b"[" * 100_000, b'{"format": NaN')
    cases += [(wrong, "is not JSON") for wrong in no_json]
    cases += [(data[:end], "chat.json") for end in range(0, len(data) - 3, 97)]
    for content, problem in cases:
        path.write_bytes(content)
        with pytest.raises(NotAConversation, match=problem) as caught:
            Conversation.load(path)
        assert str(caught.value).startswith("chat.json ")
        assert "secret words" not in str(caught.value)
        assert "pydantic" not in str(caught.value)


def test_a_file_of_version_1_0(tmp_path):
    """As 1.0 wrote it: it loads, and is written again the same."""
    figures = {"model": "claude-haiku-5-5", "input_tokens": 9, "output_tokens": 3, "cost_usd": 1e-6}
    figures = {"kind": "reply", "turn": 1, **figures, "stop_reason": "end_turn", "seconds": 0.5}
    turn = figures | {"user": "Hello!", "assistant": "Hi."}
    saved = {"format": storage.FORMAT, "version": 1, "model": "claude-haiku-5-5", "system": None}
    saved |= {"max_tokens": 1024, "cache": False, "budget_usd": None, "turns": [turn], "calls": [figures]}
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(saved))
    Conversation.load(path).save(path)
    again = json.loads(path.read_text())
    assert again["turns"][0].items() >= turn.items()
    assert {name: again[name] for name in saved if name not in ("turns", "calls")} == {
        name: saved[name] for name in saved if name not in ("turns", "calls")
    }
