"""Turns that someone stops: at any instant, from anywhere, a turn is whole or it is not there."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from course_helpers import Conversation, connect, estimate_cost, practice
from course_helpers.history import last_turns, summarise_older
from course_helpers.history.stream import _async_clients, async_client_of
from tests import broken_server as broken
from tests.broken_server import broken_server
from tests.drivers import asend, astream, chat_with, send, state, stream

QUESTION = "What is the capital of France?"
OURS = ("turn.py", "stream.py", "responses.py", "steps.py", "strategies.py", "records.py", "conversation.py")


@pytest.fixture
def chat():
    practice.reset()
    chat = Conversation(connect())
    chat.send("My name is Sam.")
    yield chat
    practice.reset()


def works(chat: Conversation, turns: int) -> None:
    """The next turn works and comes after `turns` others."""
    assert str(chat.send("What is my name?")) == "Your name is Sam."
    assert len(chat.turns) == turns + 1
    numbers = [call.turn for call in chat.calls if call.turn is not None]
    assert numbers == sorted(set(numbers))
    kept = {turn.turn for turn in chat.turns}
    assert [turn.call for turn in chat.turns] == [call for call in chat.calls if call.turn in kept]


class Interrupt:
    """Raises KeyboardInterrupt before the n-th instruction that this package carries out."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __enter__(self) -> Interrupt:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def trace(self, frame, event, argument):
        code = frame.f_code
        # A `with lock` is safe from real interrupts, which CPython looks for at calls and jumps only.
        if Path(code.co_filename).name not in OURS or code.co_name == "_begin":
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace


def unharmed(chat: Conversation, before: tuple, calls: list) -> None:
    """A turn that was stopped left nothing but, perhaps, what it cost."""
    assert state(chat) == before
    assert chat.calls[: len(calls)] == calls
    assert all(call.kind in ("lost", "summary") and call.turn is None for call in chat.calls[len(calls) :])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a __del__
@pytest.mark.parametrize("take", [send, stream])
@pytest.mark.parametrize("keep", [None, summarise_older(turns=1)])
@pytest.mark.parametrize("step", [41, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_interrupted_at_every_instruction(chat, take, keep, step):
    """Wherever the interrupt strikes: no half turn, no turn without its call, no lock left behind."""
    chat.send("My town is Bern.")
    chat.keep, at, struck, late = keep, 1, True, 0
    while struck:
        before, calls, raised = state(chat), chat.calls, False
        try:
            with Interrupt(at) as interrupt:
                take(chat, QUESTION)
        except KeyboardInterrupt:
            raised = True
        struck, at = interrupt.left <= 0, at + step
        if state(chat) == before:
            unharmed(chat, before, calls)
        else:  # not interrupted any more, or in a __del__, of which nobody hears, or at the very end
            late += raised
            assert chat.undo().user == QUESTION
        if at % 5 == 0:
            works(chat, 2)
            chat.undo()
    assert at > 300  # fewer instructions are traced since Python 3.13
    # Only the instructions that hand over the reply, after the last that can fail, may come too late.
    assert late <= 400 // step


@pytest.mark.parametrize("take", [send, stream])
def test_interrupted_by_real_signals(chat, take):
    """Ctrl-C at random moments, wherever Python then is, in the SDK too."""
    dice, stopped, took = random.Random(11), 0, []
    for _ in range(5):
        began = time.perf_counter()
        take(chat, QUESTION)
        took.append(time.perf_counter() - began)
        chat.undo()
    longest = 2 * min(took)  # however fast the machine is, about half of the interrupts come in time
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(80):
            before, calls = state(chat), chat.calls
            try:
                signal.setitimer(signal.ITIMER_REAL, dice.uniform(longest / 50, longest))
                take(chat, QUESTION)
                signal.setitimer(signal.ITIMER_REAL, 0)
                chat.undo()
            except KeyboardInterrupt:
                stopped += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                if len(chat.turns) > len(
                    before[1]
                ):  # it struck between the end of the turn and the next line
                    assert chat.undo().user == QUESTION
                else:
                    unharmed(chat, before, calls)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert stopped > 10
    works(chat, 1)


@pytest.mark.parametrize("name", ["asend", "astream"])
@pytest.mark.parametrize("moment", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987])
def test_cancelled(chat, name, moment):
    """A cancelled turn is no turn, whenever that is; the conversation goes on, in the same loop too."""
    before, calls = state(chat), chat.calls

    async def turn():
        if name == "asend":
            return await chat.asend(QUESTION)
        async with chat.astream(QUESTION) as pieces:
            async for _ in pieces:
                await asyncio.sleep(0)
        return pieces.reply

    async def cancelled() -> bool:
        task = asyncio.create_task(turn())
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            unharmed(chat, before, calls)
            assert str(await chat.asend("What is my name?")) == "Your name is Sam."
            return True
        return False

    with practice.pace(first_token_seconds=0.005):
        if asyncio.run(cancelled()):
            chat.undo()
        else:
            assert chat.undo().user == QUESTION
    works(chat, 1)


@pytest.mark.parametrize("while_", ["waiting for the first piece", "between pieces", "waiting for a retry"])
def test_cancelling_is_quick(chat, while_):
    """Stop works at once: before the first piece, between pieces, and while a retry waits."""
    reached = {"waiting for the first piece": 0, "between pieces": 2}

    async def run() -> float:
        seen, waiting = [], asyncio.Event()
        chat.on_wait = lambda wait: waiting.set()

        async def turn():
            async with chat.astream(QUESTION) as pieces:
                async for piece in pieces:
                    seen.append(piece)

        task = asyncio.create_task(turn())
        if while_ == "waiting for a retry":
            await waiting.wait()
        else:
            while len(seen) < reached[while_] or not len(practice.journal) or not practice.journal[-1].status:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.5)  # the server has answered; its first event is read by then
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.perf_counter() - started

    before, calls = state(chat), chat.calls
    fault = {
        "waiting for the first piece": lambda: practice.pace(first_token_seconds=30),
        "between pieces": lambda: practice.pace(tokens_per_second=3),
        "waiting for a retry": lambda: practice.fail_next(429, retry_after=30),
    }[while_]
    with fault():
        assert asyncio.run(run()) < 3  # each of them would last ten times as long
    unharmed(chat, before, calls)
    # Once the server has said how long the prompt is, that much is known to be spent.
    assert len(chat.calls) - len(calls) == (while_ != "waiting for a retry")
    works(chat, 1)


def test_a_stream_that_is_left_early(chat):
    """Break, an exception in the reader's loop, close: not kept; what the server had counted is."""

    def leave_by_break():
        for _ in chat.stream(QUESTION):
            break

    def leave_by_with_and_break():
        with chat.stream(QUESTION) as pieces:
            for _ in pieces:
                break
        assert pieces.reply is None
        assert pieces.text == "The"
        assert list(pieces) == []

    def leave_by_exception():
        with pytest.raises(ZeroDivisionError):
            [1 / 0 for _ in chat.stream(QUESTION)]

    def leave_by_exception_in_with():
        with pytest.raises(ZeroDivisionError), chat.stream(QUESTION) as pieces:
            [1 / 0 for _ in pieces]

    def leave_by_close():
        pieces = chat.stream(QUESTION)
        next(pieces)
        pieces.close()
        pieces.close()

    def leave_by_forgetting():
        pieces = chat.stream(QUESTION)
        next(pieces)
        del pieces
        gc.collect()

    def leave_before_the_end():
        pieces = chat.stream(QUESTION)
        for _ in range(6):  # each piece, but not the end
            next(pieces)
        pieces.close()

    for leave in list(locals().values())[1:]:
        before, calls = state(chat), chat.calls
        leave()
        unharmed(chat, before, calls)
        (lost,) = chat.calls[len(calls) :]
        assert (lost.kind, lost.output_tokens) == ("lost", 1)
        assert lost.input_tokens > 0
    works(chat, 1)


def test_an_async_stream_that_is_left_early(chat):
    """The same, asynchronous."""

    async def leave(how: str) -> None:
        if how == "break":
            async for _ in chat.astream(QUESTION):
                break
        elif how == "with":
            async with chat.astream(QUESTION) as pieces:
                async for _ in pieces:
                    break
            assert [piece async for piece in pieces] == []
        elif how == "exception":
            with pytest.raises(ZeroDivisionError):
                [1 / 0 async for _ in chat.astream(QUESTION)]
        else:
            pieces = chat.astream(QUESTION)
            await anext(pieces)
            await pieces.aclose()
            await pieces.aclose()
        assert str(await chat.asend("What is my name?")) == "Your name is Sam."
        chat.undo()

    for how in ("break", "with", "exception", "aclose"):
        before, calls = state(chat), chat.calls
        asyncio.run(leave(how))
        assert state(chat) == before
        assert [call.kind for call in chat.calls[len(calls) :]] == ["lost", "reply"]
    works(chat, 1)


def test_a_stream_left_standing_gives_way(chat):
    """Whoever asks again in the same thread has done with the stream before: it ends, unkept."""
    pieces = chat.stream(QUESTION)
    next(pieces)
    assert str(chat.send("What is my name?")) == "Your name is Sam."
    with pytest.raises(RuntimeError, match="another turn of the conversation has begun since"):
        next(pieces)
    assert [turn.user for turn in chat.turns] == ["My name is Sam.", "What is my name?"]
    assert [call.kind for call in chat.calls] == ["reply", "lost", "reply"]
    pieces = chat.stream(QUESTION)
    next(pieces)
    chat.undo()
    assert len(chat.turns) == 1
    chat.reset()
    assert chat.turns == []
    with pytest.raises(RuntimeError):
        list(pieces)


def test_an_async_stream_left_standing_gives_way(chat):
    """The same, within one task."""

    async def turns():
        pieces = chat.astream(QUESTION)
        await anext(pieces)
        assert str(await chat.asend("What is my name?")) == "Your name is Sam."
        with pytest.raises(RuntimeError, match="another turn of the conversation has begun since"):
            await anext(pieces)
        assert [piece async for piece in pieces] == []

    asyncio.run(turns())
    assert [call.kind for call in chat.calls] == ["reply", "lost", "reply"]


def test_a_model_switched_while_a_turn_is_prepared(chat):
    """Each call is priced by the model that it was sent to, even if a strategy switches in between."""

    def switch(messages, conversation):
        conversation.model = "opus"
        return messages

    chat.keep = switch
    call = chat.send(QUESTION).call
    assert call.model == "claude-opus-5-5"
    assert call.cost_usd == estimate_cost(call.input_tokens, call.output_tokens, "opus")


def test_two_at_once(chat):
    """While one thread waits for a reply, another's turn is refused, and nothing of it is sent."""
    errors = []

    def other():
        for attempt in (
            lambda: chat.send("Hello!"),
            lambda: list(chat.stream("Hello!")),
            chat.undo,
            chat.reset,
        ):
            try:
                attempt()
            except RuntimeError as error:
                errors.append(str(error))

    with practice.pace(first_token_seconds=0.3):
        waiting = threading.Thread(target=chat.send, args=(QUESTION,))
        waiting.start()
        time.sleep(0.1)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        waiting.join()
    assert (
        errors == ["This conversation is waiting for a reply: let it come, or close its stream, first."] * 4
    )
    assert [turn.user for turn in chat.turns] == ["My name is Sam.", QUESTION]
    works(chat, 2)


def test_two_tasks_at_once(chat):
    """The same for two tasks of one event loop."""

    async def both():
        return await asyncio.gather(chat.asend(QUESTION), chat.asend("Hello!"), return_exceptions=True)

    first, second = asyncio.run(both())
    assert str(first) == "The capital of France is Paris."
    assert isinstance(second, RuntimeError)
    works(chat, 2)


def test_many_threads(chat):
    """Under a crowd, turns stay whole: each that succeeded is there once, in the order of the ledger."""
    done, refused = [], []

    def talk(name: int) -> None:
        for number in range(10):
            try:
                done.append(chat.send(f"My number is {name}{number}.").turn)
            except RuntimeError:
                refused.append(1)
                time.sleep(0.001)

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) + len(refused) == 60
    assert {turn.turn for turn in done} == {turn.turn for turn in chat.turns[1:]}
    assert len(done) == len(chat.turns) - 1 == len(chat.calls) - 1
    works(chat, len(chat.turns))


def test_a_thread_that_died_holds_nothing(chat):
    """A stream that a dead thread left open does not block the conversation."""
    left = []

    def leave():
        left.append(chat.stream(QUESTION))
        next(left[0])

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    works(chat, 1)


def test_closed_from_another_thread(chat):
    """A stream that another thread closes ends for its reader, without a turn."""
    with practice.pace(tokens_per_second=20):
        pieces = chat.stream(QUESTION)
        closer = threading.Timer(0.15, pieces.close)
        closer.start()
        read = list(pieces)
        closer.join()
    assert 0 < len(read) < 6
    assert pieces.reply is None
    works(chat, 1)


def test_interrupted_while_waiting_for_a_blocking_reply(chat):
    """A blocked read ends at once."""
    before, calls = state(chat), chat.calls
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    started = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with practice.pace(first_token_seconds=10), pytest.raises(KeyboardInterrupt):
            chat.send(QUESTION)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert time.perf_counter() - started < 2
    unharmed(chat, before, calls)
    works(chat, 1)


def test_exceptions_in_on_wait_and_keep(chat):
    """What a learner's own function raises comes through, and leaves the conversation as it was."""
    before = state(chat)

    def fails(*_: object):
        raise ZeroDivisionError

    chat.on_wait = fails
    for take in (send, stream, asend, astream):
        with practice.fail_next(529), pytest.raises(ZeroDivisionError):
            take(chat, QUESTION)
    chat.on_wait, chat.keep = None, fails
    for take in (send, stream, asend, astream):
        with pytest.raises(ZeroDivisionError):
            take(chat, QUESTION)
    chat.keep = None
    assert state(chat) == before
    works(chat, 1)


# ------------------------------------------------------------------------- nothing is left behind


def sockets() -> int:
    """The sockets that this process has open."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux shows them")
def test_no_socket_outlives_its_loop():
    """Each event loop has its own async client, closed with it even where turns were left standing."""
    with broken_server(broken.stream(broken.whole())) as server:
        chat = chat_with(server.url)

        async def turns(leave: bool):
            async with chat.astream(QUESTION) as reader:
                async for _ in reader:
                    if leave:
                        break
            left = chat.astream(QUESTION)
            await anext(left)
            return left if leave else None

        asyncio.run(turns(False))
        gc.collect()
        before = sockets()
        for number in range(12):
            asyncio.run(turns(number % 2 == 0))
        gc.collect()
        time.sleep(0.1)
        assert sockets() <= before
        assert not _async_clients[chat.client]


def test_one_async_client_a_loop(chat):
    """Turns in one loop share a client, and so its connections."""

    async def same() -> bool:
        first = await async_client_of(chat.client)
        await chat.asend(QUESTION)
        return await async_client_of(chat.client) is first

    assert asyncio.run(same())


def test_no_warning_at_the_end():
    """A process that leaves turns standing everywhere ends silently."""
    script = (
        "import asyncio, warnings; warnings.simplefilter('error')\n"
        "from course_helpers import Conversation, connect\n"
        "chat = Conversation(connect())\n"
        "pieces = chat.stream('Hello!'); next(pieces)\n"
        "async def turn():\n"
        "    left = chat.astream('Hello!'); await anext(left)\n"
        "asyncio.run(turn())\n"
        "again = chat.stream('Hello!'); next(again)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_conversations_are_freed(chat):
    """Neither turns nor strategies keep a conversation in memory."""
    chat.keep = summarise_older(turns=1)
    for _ in range(3):
        chat.send(QUESTION)
    strategy, gone = chat.keep, weakref.ref(chat)
    other = Conversation(chat.client, keep=last_turns(2))
    pieces = other.stream(QUESTION)
    next(pieces)
    freed = weakref.ref(pieces)
    del pieces
    assert freed() is None
    assert other.calls[-1].kind == "lost"
    assert len(strategy._known) == 1
    assert gone() is chat
