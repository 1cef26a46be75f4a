"""The course on a real local model: llama.cpp's server with a model of 135 million parameters."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import anthropic
import httpx2
import nbformat
import pytest
from drivers import state, wait_until
from nbclient import NotebookClient

from course_helpers import Conversation, connect, models, reply_text
from course_helpers.history import within_tokens
from tools.lessons import find_lesson, lesson_paths
from tools.local_model import CONTEXT_TOKENS, NAME, PACKAGES, serving
from tools.notebooks import CELL_SECONDS, lesson_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "the-servers-own-key"
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Where the local model answers. `make test-all` installs it, and requires it then."""
    if not all(map(importlib.util.find_spec, PACKAGES)):
        stop = pytest.fail if os.environ.get("COURSE_REQUIRE_LOCAL_MODEL") == "1" else pytest.skip
        stop(f"the local model needs {' and '.join(PACKAGES)}, which `make local-model` installs")
    with serving() as base_url:
        yield base_url


def counted(chat: Conversation, question: str) -> int:
    """How many tokens the server counts in the transcript with `question`."""
    messages = [*chat.messages, {"role": "user", "content": question}]
    return chat.client.messages.count_tokens(model=NAME, system=chat.system, messages=messages).input_tokens


def is_busy(url: str) -> bool:
    """Whether the server at `url` is writing a reply."""
    return any(slot["is_processing"] for slot in httpx2.get(f"{url}/slots", timeout=10).json())


def test_connect(monkeypatch, url, capsys):
    """One word finds it and says that the text stays here; one with a key takes it."""
    monkeypatch.setenv("COURSE_LOCAL_URL", url)
    ask = {"model": NAME, "max_tokens": 30, "messages": [{"role": "user", "content": QUESTION}]}
    message = connect("local").messages.create(**ask, system="Be brief.")
    said = f"Local server at {url} · {NAME} · what you type stays on this machine, and costs nothing\n"
    assert capsys.readouterr().out == said
    assert "Paris" in reply_text(message)
    assert (message.model, models.MODEL) == (NAME, NAME)
    connect()
    assert models.MODEL == models.DEFAULT_MODEL
    with serving(KEY) as keyed:
        assert reply_text(connect(keyed, api_key=KEY).messages.create(**ask))


def test_a_conversation(url):
    """Free, with memory; a reply closed early ends there; `within_tokens` keeps its bound, and no more."""
    client = anthropic.Anthropic(base_url=url, api_key="not-needed")
    chat = Conversation(client, model=NAME, system="Be brief.", max_tokens=30, budget_usd=0.0)
    assert "Paris" in chat.send(QUESTION).text
    whole = counted(chat, QUESTION)
    assert chat.send(QUESTION).turn.prompt_tokens == whole > chat.turns[0].prompt_tokens

    before, chat.max_tokens = state(chat), CONTEXT_TOKENS // 2
    with chat.stream("Tell me a long story about a ship and its crew.") as pieces:
        assert all(isinstance(next(pieces), str) for _ in range(3))
        assert is_busy(url)
    assert (pieces.reply, state(chat), chat.calls[-1].kind) == (None, before, "lost")
    wait_until(lambda: not is_busy(url))  # else the server goes on writing

    whole = counted(chat, QUESTION)
    chat.keep, chat.max_tokens = within_tokens(whole - 1), 30
    assert chat.turns[0].prompt_tokens < chat.send(QUESTION).turn.prompt_tokens < whole
    before, chat.keep = state(chat), None
    with pytest.raises(anthropic.BadRequestError, match="context size"):
        chat.send("word " * 2 * CONTEXT_TOKENS)
    assert (state(chat), chat.total.calls, chat.total.cost_usd) == (before, 4, 0.0)


def test_lesson_7_takes_its_tour_there(url, lessons, tmp_path):
    """With a local server named, the lesson runs to its end and shows that model beside the practice one."""
    path = find_lesson("7", lesson_paths(lessons))
    notebook = nbformat.read(path, as_version=4)
    here = lesson_environment(tmp_path) | {"COURSE_LOCAL_URL": url, "COURSE_LOCAL_MODEL": NAME}
    options = {"timeout": CELL_SECONDS, "resources": {"metadata": {"path": str(path.parent)}}}
    NotebookClient(notebook, kernel_name="python3", **options).execute(env=here)
    shown = str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert f"<th>{NAME}</th>" in shown
