"""The course on a real local model: llama.cpp's server with a model of 135 million parameters."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import nbformat
import pytest
from drivers import all_drivers, standing_in_for_live, state
from local_model import CONTEXT_TOKENS, NAME, is_busy, need_packages, serving
from nbclient import NotebookClient

from course_helpers import Conversation, estimate_cost, models, reply_text
from course_helpers.chat_cell import ChatCell
from course_helpers.history import BudgetExceeded, within_tokens
from tools.lessons import find_lesson, lesson_paths
from tools.notebooks import CELL_SECONDS, lesson_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LEARNERS_KEY = "sk-ant-api03-the-learners-own-key"
QUESTION = "What is the capital of France?"
STORY = "Tell me a long story about a ship and its crew."


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Where the local model answers."""
    need_packages()
    with serving() as base_url:
        yield base_url


@pytest.fixture
def client(url) -> Iterator[anthropic.Anthropic]:
    """The SDK's client for it."""
    with anthropic.Anthropic(base_url=url, api_key="not-needed") as client:
        yield client


@pytest.fixture
def chat(client) -> Conversation:
    """A conversation with it."""
    return Conversation(client, model=NAME, system="Be brief.", max_tokens=30)


def counted(chat: Conversation, question: str) -> int:
    """How many tokens the server counts in the transcript with `question`."""
    messages = [*chat.messages, {"role": "user", "content": question}]
    return chat.client.messages.count_tokens(model=NAME, system=chat.system, messages=messages).input_tokens


def until_idle(url: str, seconds: float = 30) -> None:
    """Wait until the server writes nothing any more."""
    deadline = time.monotonic() + seconds
    while is_busy(url):
        assert time.monotonic() < deadline, "the server went on writing"
        time.sleep(0.05)


def python(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Python run with `arguments` as a learner would run it, who has a key of their own."""
    environment = {**os.environ, "ANTHROPIC_API_KEY": LEARNERS_KEY, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, **options
    )


# --------------------------------------------------------------------------------- connect


def test_the_sdk_itself(client):
    """A raw call of the SDK gets a Message with a text and its counts."""
    message = client.messages.create(
        model=NAME, max_tokens=30, system="Be brief.", messages=[{"role": "user", "content": QUESTION}]
    )
    assert "Paris" in reply_text(message)
    assert (message.model, message.stop_reason) == (NAME, "end_turn")
    assert message.usage.output_tokens > 0


CONNECT = """
import sys
import anthropic
from course_helpers import connect, reply_text

url, model, key = sys.argv[1:]
ask = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello!"}]}
for given in (None, key):
    try:
        print("answered" if reply_text(connect(url, api_key=given).messages.create(**ask)) else "empty")
    except anthropic.AuthenticationError:
        print("refused")
"""


def test_connect_names_the_place_and_keeps_the_learners_key(url):
    """A server that takes only the learner's key is not given it, unless it is passed in so many words."""
    with serving(LEARNERS_KEY) as keyed:
        done = python("-c", CONNECT, keyed, NAME, LEARNERS_KEY)
    assert done.returncode == 0, done.stderr
    line = f"Local server at {keyed} · {models.DEFAULT_MODEL} · runs on this machine, costs nothing"
    names = f"Its models: {NAME}. Start again with COURSE_MODEL={NAME}"
    first, wanted, refused, again, listed, answered = done.stdout.splitlines()
    assert [first, refused, again, answered] == [line, "refused", line, "answered"]
    assert wanted.startswith("It wants a key (401)")
    assert listed.startswith(names)
    assert LEARNERS_KEY not in done.stdout + done.stderr


# ---------------------------------------------------------------------------- conversations


@all_drivers
def test_two_turns_with_memory(chat, take):
    """The transcript goes with the second question: the server counts it in full."""
    first = take(chat, QUESTION)
    assert "Paris" in first.text
    expected = counted(chat, "Tell me more about it.")
    second = take(chat, "Tell me more about it.")
    assert second.turn.prompt_tokens == expected > first.turn.prompt_tokens
    assert [message["content"] for message in chat.messages] == [
        QUESTION,
        first.text,
        "Tell me more about it.",
        second.text,
    ]


def read_some(chat: Conversation, url: str) -> None:
    with chat.stream(STORY) as pieces:
        assert all(isinstance(next(pieces), str) for _ in range(3))
        assert is_busy(url)
    assert pieces.reply is None


def aread_some(chat: Conversation, url: str) -> None:
    async def read() -> None:
        async with chat.astream(STORY) as pieces:
            assert all([isinstance(await anext(pieces), str) for _ in range(3)])
            assert is_busy(url)
        assert pieces.reply is None

    asyncio.run(read())


@pytest.mark.parametrize("interrupt", [read_some, aread_some])
def test_an_interrupted_stream_leaves_no_trace_but_its_tokens(chat, url, interrupt):
    """Closed early, a reply is no turn; the model stops writing, and the next question is answered."""
    chat.send(QUESTION)
    before = state(chat)
    chat.max_tokens = CONTEXT_TOKENS // 2
    interrupt(chat, url)
    assert state(chat) == before
    assert chat.calls[-1].kind == "lost"
    assert chat.calls[-1].prompt_tokens == counted(chat, STORY)
    until_idle(url)
    assert "Paris" in chat.send(QUESTION).text
    assert len(chat.turns) == 2


def test_a_question_beyond_the_context_is_refused_and_not_kept(chat):
    """The server says that the window is full; the next question works."""
    with pytest.raises(anthropic.BadRequestError, match="context size"):
        chat.send("word " * 2 * CONTEXT_TOKENS)
    assert (chat.messages, chat.calls) == ([], [])
    assert "Paris" in chat.send(QUESTION).text


def test_a_window_in_tokens_that_the_server_counts(chat):
    """`within_tokens` keeps the prompt below its bound, and leaves out no more than it must."""
    for _ in range(4):
        chat.send(QUESTION)
    whole = counted(chat, QUESTION)
    one_turn = (whole - chat.turns[0].prompt_tokens) // 4
    chat.keep = within_tokens(whole - 1)
    kept = chat.send(QUESTION).turn.prompt_tokens
    assert whole - 2 * one_turn < kept < whole


# ------------------------------------------------------------------------------------ money


def test_it_costs_nothing_within_any_budget(chat):
    """A budget of nothing is enough; ledger, frame and figure show tokens and no dollars."""
    from course_helpers.charts import caption, plot_session

    chat.budget_usd = 0.0
    reply = chat.send(QUESTION)
    chat.send("Thank you.")
    assert reply.note is None
    assert [call.cost_usd for call in chat.calls] == [0.0, 0.0]
    assert (chat.total.cost_usd, chat.total.calls) == (0.0, 2)
    frame = chat.to_frame()
    assert frame["model"].tolist() == [NAME, NAME]
    assert (frame["cost_usd"] == 0).all()
    assert (frame["cumulative_cost_usd"] == 0).all()
    assert frame["output_tokens"].sum() == chat.total.output_tokens > 0
    axes = plot_session(frame)
    axes.figure.canvas.draw()
    assert "these calls cost nothing" in [text.get_text() for text in axes.texts]
    assert caption(axes)


def test_a_budget_is_checked_with_the_servers_own_count(client, url):
    """As if its calls were charged: one that could cost too much is refused with the tokens counted here."""
    with standing_in_for_live(url):
        chat = Conversation(client, model=models.DEFAULT_MODEL, system="Be brief.", max_tokens=30)
        tokens = counted(chat, QUESTION)
        worst = estimate_cost(tokens, 30, chat.model)
        chat.budget_usd = 0.99 * worst
        with pytest.raises(BudgetExceeded, match=rf", for {tokens} tokens in and 30 out"):
            chat.send(QUESTION)
        assert chat.calls == []
        chat.budget_usd = worst
        reply = chat.send(QUESTION)
    assert reply.note is None
    assert 0 < chat.total.cost_usd <= worst
    assert reply.turn.prompt_tokens == tokens


# ----------------------------------------------------------------------- chatbot, chat cell


def test_the_chatbot_over_a_pipe(url):
    """Answers alone on stdout; beside them the place, the model, the cost, and never the learner's key."""
    arguments = ("--base-url", url, "--model", NAME, "--max-tokens", "30")
    done = python("-m", "course_helpers.chatbot", *arguments, input=f"{QUESTION}\nstats\nquit\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The capital of France is Paris.\n"
    assert done.stderr.splitlines()[0] == (
        f"Local server at {url} · {NAME} · runs on this machine, costs nothing"
    )
    assert "COURSE_MODEL" not in done.stderr
    assert f"[Model: {NAME} · at most 30 tokens an answer]" in done.stderr
    assert "[Session complete: 1 turn · " in done.stderr
    assert done.stderr.rstrip().endswith(" out · $0]")
    assert LEARNERS_KEY not in done.stdout + done.stderr


def test_the_chat_cell(chat):
    """A turn from the chat cell stands in the conversation, and its bill says that it cost nothing."""
    cell = ChatCell(chat)
    try:
        reply = cell.send(QUESTION)
        assert "Paris" in reply.text
        assert chat.turns == [reply.turn]
        (exchange,) = cell._exchanges
        assert " out · $0 · " in exchange.children[-1].value
    finally:
        cell.close()


# --------------------------------------------------------------------------------- lesson 7


def test_lesson_7_takes_its_tour_there(url, lessons, tmp_path):
    """With a local server named, the lesson runs to its end and shows that model beside the practice one."""
    path = find_lesson("7", lesson_paths(lessons))
    notebook = nbformat.read(path, as_version=4)
    environment = lesson_environment(tmp_path) | {"COURSE_LOCAL_URL": url, "COURSE_LOCAL_MODEL": NAME}
    NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(Path(path).parent)}},
    ).execute(env=environment)
    tour, probes = (shown(notebook, call) for call in ("= tour(local", "= probe(local"))
    assert "practice: " in tour
    assert f"{NAME}: " in tour
    assert "a model on this machine costs nothing" in tour
    assert f"<th>{NAME}</th>" in probes


def shown(notebook: nbformat.NotebookNode, call: str) -> str:
    """What the cell with `call` in it printed and displayed."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and call in cell.source)
    texts = [output.get("text") or output.data.get("text/html", "") for output in cell.outputs]
    return "".join(texts)
