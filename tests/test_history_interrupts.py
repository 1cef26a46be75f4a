"""Turns that someone stops: at any instant, from anywhere, a turn is whole or it is not there."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import anthropic
import httpx2
import pytest

from course_helpers import Conversation, call_with_retry, connect, practice
from course_helpers.history import last_turns
from course_helpers.history.stream import _twin_of, _twins, close_async_client
from tests import broken_server as broken
from tests.broken_server import broken_server
from tests.drivers import ALL, chat_with, state

QUESTION, NAME = "What is the capital of France?", "What is my name?"
ENDED = "another turn of the conversation has begun since"


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
    assert [turn.call for turn in chat.turns] == [call for call in chat.calls if call.turn in kept]


def unharmed(chat: Conversation, before: tuple, calls: list) -> list:
    """A turn that was stopped left nothing but, perhaps, what it cost: those calls."""
    new = chat.calls[len(calls) :]
    assert (state(chat), chat.calls[: len(calls)]) == (before, calls)
    assert all(call.kind in ("lost", "summary") and call.turn is None for call in new)
    return new


IN_A_CHILD = """
import os, random, signal, sys, threading, time, traceback
from course_helpers import Conversation, connect
from course_helpers.history import summarise_older
from tests.drivers import send, stream
from tests.test_history_interrupts import NAME, QUESTION, works

chat, dice, seen = Conversation(connect()), random.Random(11), {"done": 0, "not begun": 0}
chat.send("My name is Sam.")
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
        time.sleep(30)  # until it strikes
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


@pytest.fixture
def hold():
    """What an interrupt within httpcore's lock leaves behind: until the test's end nobody releases it."""
    over = threading.Event()

    def held(lock, taken):
        with lock:
            taken.set()
            over.wait(60)

    def hold(client: anthropic.Anthropic) -> None:
        taken, lock = threading.Event(), client._client._transport._pool._optional_thread_lock._lock
        threading.Thread(target=held, args=(lock, taken), daemon=True).start()
        assert taken.wait(5)

    yield hold
    over.set()


def test_a_lock_left_held(chat, hold):
    """The conversation goes on, on new connections, and so does call_with_retry; else a sentence says how."""
    pieces = chat.stream(QUESTION)
    next(pieces)
    hold(chat.client)
    pieces.close()  # does not wait for it
    works(chat, 1)
    hold(chat.client)
    request = chat.preview("Hello!").request
    assert call_with_retry(chat.client, **request).usage.input_tokens == chat.count(request["messages"])
    where = {"base_url": chat.client.base_url, "api_key": "practice"}
    own = anthropic.Anthropic(http_client=httpx2.Client(), **where)
    hold(own)
    own = Conversation(own)
    own.send("My name is Sam.")
    works(own, 1)


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
            unharmed(chat, before, calls)
        assert str(await chat.asend(NAME)) == "Your name is Sam."
        chat.undo()

    with practice.pace(first_token_seconds=0.005):
        for moment in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987):
            asyncio.run(cancelled(moment))
    works(chat, 1)


@pytest.mark.parametrize(
    ("fault", "pieces", "lost"),
    [
        (lambda: practice.pace(first_token_seconds=30), 0, 1),
        (lambda: practice.pace(tokens_per_second=3), 2, 1),
        (lambda: practice.fail_next(429, retry_after=30), 0, 0),
    ],
    ids=["waiting for the first piece", "between pieces", "waiting for a retry"],
)
def test_cancelling_is_quick(chat, fault, pieces, lost):
    """Stop works at once; once the server has said how long the prompt is, that much is known to be spent."""
    before, calls, waits, seen = state(chat), chat.calls, [], []
    chat.on_wait = waits.append

    def opened():
        return (reader := chat._ledger._reader()) is not None and reader._turn.opened

    async def turn():
        async for piece in (reader := chat.astream(QUESTION)):
            seen.append((reader, piece))

    async def run() -> None:
        task = asyncio.create_task(turn())
        while len(seen) < pieces or not (waits if not lost else opened()):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.2)  # the first event is read by then
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    with fault():
        asyncio.run(asyncio.wait_for(run(), 20))
    assert len(unharmed(chat, before, calls)) == lost
    works(chat, 1)


def left(chat: Conversation, how: str) -> None:
    pieces = chat.stream(QUESTION)
    if how == "break":
        for _ in pieces:
            break
    elif how == "with":
        with pieces:
            next(pieces)
        assert (pieces.reply, pieces.text, list(pieces)) == (None, "The", [])
    elif how == "error":
        with pytest.raises(ZeroDivisionError):
            [1 / 0 for _ in pieces]
    elif how == "just before its end":
        [next(pieces) for _ in range(6)]
        pieces.close()
    elif how == "forgotten by a thread":  # which is what the collector may be
        next(pieces)
        kept = [pieces]
        thread = threading.Thread(target=kept.clear)
        del pieces
        thread.start()
        thread.join(5)
    elif how == "closed by a thread":
        with practice.pace(tokens_per_second=10):
            closer = threading.Thread(target=lambda: (time.sleep(0.2), pieces.close()))
            closer.start()
            assert 0 < len(list(pieces)) < 6
            closer.join(5)
    else:  # by a thread that died
        threads = [threading.Thread(target=next, args=(pieces,))]
        [(thread.start(), thread.join(5)) for thread in threads]
        assert str(chat.send(NAME)) == "Your name is Sam."
        chat.undo()


async def aleft(chat: Conversation, how: str) -> object:
    pieces = chat.astream(QUESTION)
    if how == "break":
        async for _ in pieces:
            break
    elif how == "with":
        async with pieces:
            await anext(pieces)
        assert [piece async for piece in pieces] == []
    elif how == "error":
        with pytest.raises(ZeroDivisionError):
            [1 / 0 async for _ in pieces]
    else:
        await anext(pieces)
    if how == "closed":
        await close_async_client(chat.client)
    return pieces if how in ("outlives its loop", "closed") else None


WAYS = (
    "break",
    "with",
    "error",
    "just before its end",
    "forgotten by a thread",
    "closed by a thread",
    "dead",
)
AWAYS = ("break", "with", "error", "forgotten", "outlives its loop", "closed")


def test_a_stream_that_is_left_early(chat):
    """However it is left: not kept; what the server had counted is, once."""
    for how in (*WAYS, "break", "with", "error", "forgotten", "outlives its loop", "closed"):
        before, calls = state(chat), list(chat.calls)
        asynchronous = how not in WAYS or calls[-1].kind == "dead"
        kept = asyncio.run(aleft(chat, how)) if asynchronous else left(chat, how)
        new = [call for call in chat.calls[len(calls) :] if call.kind == "lost"]
        assert (state(chat), [call.output_tokens for call in new]) == (before, [1]), how
        assert new[0].input_tokens > 0
        del kept
    works(chat, 1)


def test_a_stream_left_standing_gives_way(chat):
    """Whoever asks again in the same thread or task has done with the stream before: it ends, unkept."""
    for change in (lambda: chat.send(NAME), chat.undo):
        pieces = chat.stream(QUESTION)
        next(pieces)
        change()
        with pytest.raises(RuntimeError, match=ENDED):
            next(pieces)
        assert list(pieces) == []

    async def turns():
        pieces = chat.astream(QUESTION)
        await anext(pieces)
        await chat.asend(NAME)
        with pytest.raises(RuntimeError, match=ENDED):
            await anext(pieces)
        assert [piece async for piece in pieces] == []

    asyncio.run(turns())
    assert [call.kind for call in chat.calls] == ["reply", "lost", "reply", "lost", "lost", "reply"]

    def asks(messages, conversation):
        chat.keep = None
        chat.send(NAME)
        return messages

    chat.keep = asks
    with pytest.raises(RuntimeError, match="waiting for a reply"):
        chat.send(QUESTION)
    works(chat, 2)


def test_two_at_once(chat):
    """While one thread or task waits for a reply, another's turn is refused, and nothing of it is sent."""
    errors, known = [], len(practice.journal)
    with practice.pace(first_token_seconds=0.5):
        waiting = threading.Thread(target=chat.send, args=(QUESTION,))
        waiting.start()
        while len(practice.journal) == known:
            time.sleep(0.005)
        for attempt in (lambda: chat.send("Hi!"), lambda: list(chat.stream("Hi!")), chat.undo, chat.reset):
            with pytest.raises(RuntimeError, match="waiting for a reply: let it come, or close its stream"):
                attempt()
        assert chat.preview("Hi!").input_tokens
        waiting.join(10)

    async def both():
        return await asyncio.gather(chat.asend(QUESTION), chat.asend("Hi!"), return_exceptions=True)

    first, second = asyncio.run(both())
    assert (str(first), type(second), errors) == ("The capital of France is Paris.", RuntimeError, [])
    works(chat, 3)


def test_many_threads(chat):
    """Under a crowd, turns stay whole: each that succeeded is there once, in the order of the ledger."""
    done, refused = [], []

    def talk(name: int) -> None:
        for number in range(8):
            try:
                done.append(chat.send(f"Hello! {name} {number}").turn)
            except RuntimeError:
                refused.append(1)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(6)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert len(done) + len(refused) == 48
    assert sorted(turn.turn for turn in done) == [turn.turn for turn in chat.turns[1:]]
    works(chat, len(chat.turns))


def test_functions_of_ones_own(chat):
    """What on_wait or a strategy raises comes through; a strategy may choose the model of its own turn."""
    before = state(chat)

    def fails(*_: object):
        raise ZeroDivisionError

    for take in ALL:
        chat.on_wait, chat.keep = fails, None
        with practice.fail_next(529), pytest.raises(ZeroDivisionError):
            take(chat, QUESTION)
        chat.keep = fails
        with pytest.raises(ZeroDivisionError):
            take(chat, QUESTION)
    assert state(chat) == before
    chat.keep = lambda messages, conversation: setattr(conversation, "model", "opus") or messages
    assert "opus" in chat.send(QUESTION).call.model == practice.journal[-1].body["model"]


def sockets() -> int:
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux shows them")
def test_no_socket_outlives_its_loop():
    """Each event loop has its own async client, closed with it, or by hand where a loop is not closed."""
    with broken_server(broken.stream(broken.whole())) as server:
        chat = chat_with(server.url)

        async def turn(how: str):
            reader = chat.astream(QUESTION)
            twin = await _twin_of(chat.client, reader)
            await aleft(chat, how)
            assert how == "closed" or await _twin_of(chat.client, reader) is twin

        before = None
        for rounds in (1, 6):
            for how in ("break", "with", "outlives its loop", "closed"):
                for _ in range(rounds):
                    asyncio.run(turn(how))
            gc.collect()
            before = before or sockets()
        end = time.monotonic() + 5
        while sockets() > before and time.monotonic() < end:
            time.sleep(0.05)
        assert (sockets() <= before, _twins[chat.client]) == (True, {})


@pytest.mark.slow
def test_a_process_ends_silently():
    """Also one that leaves turns standing everywhere; and neither turns nor purses keep a conversation."""
    script = (
        "import asyncio\nfrom course_helpers import Conversation, connect\nchat = Conversation(connect())\n"
        "pieces = chat.stream('Hello!'); next(pieces)\n"
        "async def turn():\n    left = chat.astream('Hello!'); await anext(left)\n"
        "asyncio.run(turn()); again = chat.stream('Hello!'); next(again)"
    )
    child = [sys.executable, "-W", "error", "-c", script]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    other = Conversation(connect(), keep=last_turns(2)).fork()
    pieces = other.stream(QUESTION)
    next(pieces)
    gone = weakref.ref(pieces), weakref.ref(other)
    del pieces
    assert (gone[0](), other.calls[-1].kind) == (None, "lost")
    del other
    gc.collect()
    assert gone[1]() is None
