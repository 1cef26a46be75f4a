"""Conversations in files: what they hold, how they are written, what is refused."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
import time

import pytest

from course_helpers import Conversation, connect, practice
from course_helpers.history import Call, NotAConversation, last_turns, storage
from course_helpers.models import UnknownModelError
from tests.broken_server import broken_server
from tests.drivers import chat_with, stream
from tests.scripted_server import reply


@pytest.fixture
def chat():
    practice.reset()
    chat = Conversation(
        connect(), model="haiku", system="Be brief.", max_tokens=500, cache=True, budget_usd=2
    )
    chat.send("My name is Sam.")
    stream(chat, "My town is Bern. \u2603 \U0001f600")
    with practice.shape("empty"):
        chat.send("Hello!")
    chat.send("Hello!")
    chat.undo()
    yield chat
    practice.reset()


def test_round_trip(chat, tmp_path):
    """All of it comes back: texts, figures, settings; and it goes on."""
    chat.save(tmp_path / "chat.json")
    loaded = Conversation.load(tmp_path / "chat.json", keep=last_turns(5))
    assert (loaded.messages, loaded.turns, loaded.calls, loaded.total) == (
        chat.messages,
        chat.turns,
        chat.calls,
        chat.total,
    )
    for name in ("model", "system", "max_tokens", "cache", "budget_usd"):
        assert getattr(loaded, name) == getattr(chat, name)
    assert loaded.keep == last_turns(5)
    assert str(loaded.send("What is my name?")) == "Your name is Sam."
    assert loaded.calls[-1].turn == 4
    loaded.save(tmp_path / "again.json")
    assert len(Conversation.load(tmp_path / "again.json").turns) == 3


def test_empty_conversation(tmp_path):
    """One without turns can be saved too."""
    Conversation(connect()).save(tmp_path / "chat.json")
    assert Conversation.load(tmp_path / "chat.json").messages == []


def test_goes_on_in_another_process_and_on_another_model(chat, tmp_path):
    """A saved conversation is not tied to the process or the model that made it."""
    path = tmp_path / "chat.json"
    chat.save(path)
    script = (
        "import sys; from course_helpers import Conversation, connect; connect()\n"
        "chat = Conversation.load(sys.argv[1]); chat.model = 'opus'\n"
        "print(chat.send('What is my town?')); chat.save(sys.argv[1])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.splitlines()[-1] == "Your town is Bern."
    again = Conversation.load(path)
    assert [call.model for call in again.calls] == ["claude-haiku-5-5"] * 4 + ["claude-opus-5-5"]
    assert again.model == "claude-opus-5-5"


def test_models_that_are_not_served_here(tmp_path):
    """A file loads wherever it is; only the next turn needs a model that there is."""
    with broken_server(reply()) as server:
        chat = chat_with(server.url, model="llama3.2")
        chat.send("Hello!")
        chat.save(tmp_path / "chat.json")
    loaded = Conversation.load(tmp_path / "chat.json", connect())
    with pytest.raises(UnknownModelError, match=r"llama3\.2"):
        loaded.send("Hello!")
    assert len(loaded.turns) == 1
    loaded.model = "haiku"
    loaded.send("Hello!")
    assert [call.cost_usd > 0 for call in loaded.calls] == [False, True]


def test_the_file(chat, tmp_path):
    """It says what it is; no key, no address, no path, nothing of the machine; the owner's alone."""
    path = tmp_path / "chat.json"
    chat.save(path)
    content = path.read_text("utf-8")
    data = json.loads(content)
    assert list(data) == [
        "format",
        "version",
        "model",
        "system",
        "max_tokens",
        "cache",
        "budget_usd",
        "turns",
        "calls",
    ]
    assert (data["format"], data["version"]) == ("llm-api-course conversation", 1)
    assert [turn["user"] for turn in data["turns"]] == [turn.user for turn in chat.turns]
    assert set(data["calls"][0]) == set(Call.model_fields)
    secrets = (chat.client.api_key, "127.0.0.1", str(tmp_path), os.path.expanduser("~"), "Bearer", "sk-ant")
    assert not any(f'"{secret}"' in content or f"/{secret}" in content for secret in secrets)
    assert "127.0.0.1" not in content
    assert "\u2603" in content
    assert content.endswith("}\n")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["chat.json"]


def test_unknown_costs_survive(chat, tmp_path):
    """A cost that is not known is null in the file, and not known again when loaded."""
    chat._ledger.add(Call(kind="lost", model="theirs", cost_usd=math.nan, seconds=0.0))
    chat.save(tmp_path / "chat.json")
    assert json.loads((tmp_path / "chat.json").read_text())["calls"][-1]["cost_usd"] is None
    assert math.isnan(Conversation.load(tmp_path / "chat.json").total.cost_usd)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_save_that_fails_loses_nothing(chat, tmp_path, monkeypatch, failing):
    """The previous file stays as it was, whatever happens on the way, and no rest is left behind."""
    path = tmp_path / "chat.json"
    chat.save(path)
    before = path.read_bytes()
    chat.send("Hello!")

    def fail(*_: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        chat.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["chat.json"]
    chat.save(path)
    assert len(Conversation.load(path).turns) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process")
def test_killed_while_saving(chat, tmp_path):
    """A process that is killed in the middle leaves the old file or the new one."""
    path = tmp_path / "chat.json"
    chat.save(path)
    script = (
        "import sys; from course_helpers.history import storage; saved = storage.read(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True: storage.write(sys.argv[1], saved)"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.kill()
        process.wait()
        process.stdout.close()
        assert len(Conversation.load(path).turns) == 2


def test_through_a_link(chat, tmp_path):
    """A link stays a link; what it points to is written."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "chat.json"
    link.symlink_to(tmp_path / "real" / "chat.json")
    chat.save(link)
    assert link.is_symlink()
    assert len(Conversation.load(tmp_path / "real" / "chat.json").turns) == 2


def test_no_such_place(chat, tmp_path):
    """Missing folders and files are the usual errors."""
    with pytest.raises(FileNotFoundError):
        chat.save(tmp_path / "missing" / "chat.json")
    with pytest.raises(FileNotFoundError):
        Conversation.load(tmp_path / "missing.json")


def changed(**changes):
    return lambda data: data | changes


def in_turn(**changes):
    return lambda data: data | {"turns": [data["turns"][0] | changes, *data["turns"][1:]]}


def in_call(**changes):
    return lambda data: data | {"calls": [data["calls"][0] | changes, *data["calls"][1:]]}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: [data], "not a conversation saved by this course"),
        (lambda data: {"cells": [], "nbformat": 4}, "not a conversation saved by this course"),
        (changed(format="other"), "not a conversation saved by this course"),
        (changed(version=3), r"saved by a newer version of the course \(format 3, this one reads up to 2\)"),
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
        (lambda data: data | {"turns": data["turns"][::-1]}, "its turns do not fit its ledger"),
        (lambda data: data | {"turns": data["turns"] * 2}, "its turns do not fit its ledger"),
        (lambda data: data | {"calls": data["calls"][::-1]}, "the turns in its ledger are out of order"),
        (in_turn(user=""), "is damaged: turns.0.user"),
        (in_turn(assistant=" \n"), "is damaged: turns.0.assistant"),
        (in_turn(user=["secret words"]), "is damaged: turns.0.user"),
        (in_turn(user="a\ud800"), "damaged"),
        (in_turn(input_tokens=-1), "is damaged: turns.0.input_tokens"),
        (in_turn(input_tokens=1.5), "is damaged: turns.0.input_tokens"),
        (in_turn(role="user"), "is damaged: turns.0.role"),
        (in_call(kind="gift"), "is damaged: calls.0.kind"),
        (in_call(cost_usd="cheap"), "is damaged: calls.0.cost_usd"),
        (in_call(seconds=-1), "is damaged: calls.0.seconds"),
    ],
)
def test_files_that_are_refused(chat, tmp_path, change, problem):
    """Damaged, foreign or newer: a sentence names the problem, and never what the file says."""
    path = tmp_path / "chat.json"
    chat.save(path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(NotAConversation, match=problem) as caught:
        Conversation.load(path)
    assert str(caught.value).startswith("chat.json ")
    assert "secret words" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\x00", b"Hello!", b"[" * 100_000, b'{"format": NaN'])
def test_files_that_are_no_json(tmp_path, data):
    """They are refused in a sentence too."""
    path = tmp_path / "chat.json"
    path.write_bytes(data)
    with pytest.raises(NotAConversation, match="is not JSON"):
        Conversation.load(path)


def test_files_cut_short(chat, tmp_path):
    """Wherever a file is cut, it is refused."""
    path = tmp_path / "chat.json"
    chat.save(path)
    data = path.read_bytes()
    for end in range(0, len(data) - 3, 97):
        path.write_bytes(data[:end])
        with pytest.raises(NotAConversation):
            Conversation.load(path)
