"""Turns that someone stops: at any instant, from anywhere, a turn is whole or it is not there."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time

import anthropic
import pytest

from course_helpers import Conversation, call_with_retry, connect, practice, wire
from course_helpers.history.stream import _twins
from tests.drivers import entry_of, state

QUESTION, NAME = "What is the capital of France?", "What is my name?"


@pytest.fixture
def chat():
    practice.reset()
    chat = Conversation(connect())
    chat.send("My name is Sam.")
    yield chat
    practice.reset()


def works(chat: Conversation, turns: int) -> None:
    """The next turn works and comes after `turns` others; turns and ledger fit."""
    assert str(chat.send(NAME)) == "Your name is Sam."
    numbers, kept = [call.turn for call in chat.calls if call.turn], {turn.turn for turn in chat.turns}
    assert len(chat.turns) == turns + 1
    assert numbers == sorted(set(numbers))
    assert [entry_of(turn) for turn in chat.turns] == [call for call in chat.calls if call.turn in kept]


IN_A_CHILD = """
import os, random, signal, sys, threading, time, traceback
from course_helpers import Conversation, connect
from tests.drivers import send, stream
from tests.test_history_interrupts import NAME, QUESTION, works

chat, dice, seen = Conversation(connect()), random.Random(11), {"done": 0, "not begun": 0}
chat.send("My name is Sam.")
for _ in range(2):  # the practice model reads what it knows when it is first asked
    began = time.perf_counter()
    stream(chat, QUESTION)
    longest = 2 * (time.perf_counter() - began)
    chat.undo()
for number in range(int(sys.argv[1])):
    before = chat.turns
    stop = threading.Timer(dice.uniform(0, longest), os.kill, (os.getpid(), signal.SIGINT))
    try:
        stop.start()
        (send, stream)[number % 2](chat, QUESTION)
        for _ in range(1_000):
            time.sleep(0.01)  # until it strikes: one that comes as a sleep begins is heard at its end
        raise AssertionError("an interrupt was lost")
    except KeyboardInterrupt as error:
        assert len(traceback.format_exception(error)) < 12, traceback.format_exc()
    stop.join()
    kept = chat.turns
    assert kept[: len(before)] == before and len(kept) - len(before) in (0, 1)
    seen["done" if len(kept) > len(before) else "not begun"] += 1
    if len(kept) > len(before):
        assert chat.undo().user == QUESTION
    if number % 10 == 0:  # from another thread too, where a lock that is left held would wait for ever
        other = threading.Thread(target=works, args=(chat, 1), daemon=True)
        other.start()
        other.join(20)
        assert not other.is_alive() and len(chat.turns) == 2
        chat.undo()
works(chat, 1)
print(seen)
"""


@pytest.mark.parametrize("times", [40, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_interrupted_at_random_moments(times):
    """Ctrl-C wherever Python then is, in the SDK too: the turn is done or not begun, the next one works."""
    child = [sys.executable, "-c", IN_A_CHILD, str(times)]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60 + 2 * times)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "'not begun': 0" not in ended.stdout


def test_a_lock_left_held(chat, monkeypatch):
    """As an interrupt within httpcore's lock leaves it: conversations go on, and so does call_with_retry."""
    monkeypatch.setattr(wire, "STUCK", 0.1)
    over = threading.Event()

    def held(lock, taken):
        with lock:
            taken.set()
            over.wait(60)

    def hold(client: anthropic.Anthropic) -> None:
        taken, lock = threading.Event(), client._client._transport._pool._optional_thread_lock._lock
        threading.Thread(target=held, args=(lock, taken), daemon=True).start()
        assert taken.wait(5)

    pieces = chat.stream(QUESTION)
    next(pieces)
    hold(chat.client)
    pieces.close()  # does not wait for it
    hold(chat.client)
    works(chat, 1)
    hold(chat.client)
    request = chat.server().request([{"role": "user", "content": "Hello!"}])
    assert call_with_retry(chat.client, **request).usage.input_tokens == chat.count(request["messages"])
    over.set()


@pytest.mark.parametrize("name", ["asend", "astream"])
def test_cancelled(chat, name):
    """A cancelled turn is no turn, whenever that is; the conversation goes on, in the same loop too."""

    async def turn():
        if name == "asend":
            return await chat.asend(QUESTION)
        async with chat.astream(QUESTION) as pieces:
            async for _ in pieces:
                await asyncio.sleep(0)
        return pieces.reply

    async def cancelled(moment: int) -> None:
        before, calls = state(chat), chat.calls
        task = asyncio.create_task(turn())
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
            assert chat.undo().user == QUESTION
        except asyncio.CancelledError:
            assert (state(chat), chat.calls[: len(calls)]) == (before, calls)
            assert {call.kind for call in chat.calls[len(calls) :]} <= {"lost"}
        assert str(await chat.asend(NAME)) == "Your name is Sam."
        chat.undo()

    with practice.pace(first_token_seconds=0.005):
        for moment in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987):
            asyncio.run(cancelled(moment))
    works(chat, 1)


def left(chat: Conversation, how: str) -> None:
    pieces = chat.stream(QUESTION)
    if how == "with":
        with pieces:
            next(pieces)
        assert (pieces.reply, list(pieces)) == (None, [])
    else:  # forgotten by a thread, which is what the collector may be
        next(pieces)
        kept = [pieces]
        del pieces
        (other := threading.Thread(target=kept.clear)).start()
        other.join(5)


async def aleft(chat: Conversation, how: str) -> object:
    pieces = chat.astream(QUESTION)
    await anext(pieces)
    return pieces if how == "outlives its loop" else None


WAYS = ("with", "forgotten by a thread")
AWAYS = ("forgotten", "outlives its loop")


def test_a_stream_that_is_left_early(chat):
    """However it is left: not kept; what the server had counted is, once."""
    for how in (*WAYS, *AWAYS):
        before, calls = state(chat), list(chat.calls)
        kept = asyncio.run(aleft(chat, how)) if how in AWAYS else left(chat, how)
        new = [call for call in chat.calls[len(calls) :] if call.kind == "lost"]
        assert (state(chat), [call.output_tokens for call in new]) == (before, [1]), how
        assert new[0].input_tokens > 0
        del kept
    works(chat, 1)


def test_a_stream_left_standing_gives_way(chat):
    """Whoever asks again has done with the stream before: it ends, unkept; not within the turn itself."""
    for change in (lambda: chat.send(NAME), chat.undo):
        pieces = chat.stream(QUESTION)
        next(pieces)
        change()
        with pytest.raises(RuntimeError, match="another turn of the conversation has begun since"):
            next(pieces)
    assert [call.kind for call in chat.calls] == ["reply", "lost", "reply", "lost"]
    chat.keep = lambda messages, conversation: chat.send(NAME) and messages
    with pytest.raises(RuntimeError, match="waits for a reply"):
        chat.send(QUESTION)
    chat.keep = None
    works(chat, 1)


def test_two_at_once(chat):
    """While one thread or task waits for a reply, another's turn is refused, and nothing of it is sent."""
    known = len(practice.journal)
    chat.stream(QUESTION).close()  # one that nobody reads asks nothing
    with practice.pace(first_token_seconds=0.5):
        waiting = threading.Thread(target=chat.send, args=(QUESTION,))
        waiting.start()
        while len(practice.journal) == known:
            time.sleep(0.005)
        for attempt in (lambda: chat.send("Hi!"), lambda: list(chat.stream("Hi!")), chat.undo, chat.reset):
            with pytest.raises(RuntimeError, match="waits for a reply: let it come, or close its stream"):
                attempt()
        waiting.join(10)
    assert len(practice.journal) == known + 1

    async def both():
        return await asyncio.gather(chat.asend(QUESTION), chat.asend("Hi!"), return_exceptions=True)

    first, second = asyncio.run(both())
    assert (str(first), type(second)) == ("The capital of France is Paris.", RuntimeError)
    works(chat, 3)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux shows them")
def test_no_socket_outlives_its_loop(chat):
    """Each event loop has its own async client, closed with it."""

    def sockets() -> int:
        links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
        return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)

    before = 0
    for rounds in (1, 6):
        for how in AWAYS * rounds:
            asyncio.run(aleft(chat, how))
        gc.collect()
        before = before or sockets()
    end = time.monotonic() + 5
    while sockets() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert (sockets() <= before, len(_twins[chat.client])) == (True, 1)  # the last, dropped with the next


@pytest.mark.slow
def test_a_process_ends_silently():
    """Also one that leaves turns standing everywhere."""
    script = (
        "import asyncio\nfrom course_helpers import Conversation, connect\nchat = Conversation(connect())\n"
        "pieces = chat.stream('Hello!'); next(pieces)\n"
        "async def turn():\n    left = chat.astream('Hello!'); await anext(left)\n"
        "asyncio.run(turn()); again = chat.stream('Hello!'); next(again)"
    )
    child = [sys.executable, "-W", "error", "-c", script]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
