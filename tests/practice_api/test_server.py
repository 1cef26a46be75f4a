"""The server's life: started on first use, one for each process, gone without a trace; and the journal."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import psutil
import pytest

from course_helpers.practice_api import PRACTICE_KEY, Practice, journal
from tests.practice_api.wire import NEW, Wire, body, user


def says(url: str) -> str:
    """The answer of the practice API at `url` to the usual question."""
    with anthropic.Anthropic(base_url=url, api_key=PRACTICE_KEY, max_retries=0) as client:
        return client.messages.create(**body()).content[0].text


def listening() -> set[int]:
    """The ports that this process listens on."""
    found = psutil.Process().net_connections("tcp")
    return {connection.laddr.port for connection in found if connection.status == psutil.CONN_LISTEN}


def test_starting_is_idempotent():
    """From many threads at once: one server, one URL, on loopback."""
    practice = Practice()
    before = listening()
    try:
        with ThreadPoolExecutor(8) as pool:
            urls = set(pool.map(lambda _: practice.start(), range(16)))
        assert urls == {practice.url}
        assert len(listening() - before) == 1
        assert practice.url.startswith("http://127.0.0.1:")
        assert practice.serves(practice.url + "/")
        assert not practice.serves("http://127.0.0.1:1")
    finally:
        practice.stop()


def test_stopping_leaves_no_thread_and_no_socket():
    """Also in the middle of a stream; stopping twice is no harm."""
    threads, descriptors = threading.active_count(), psutil.Process().num_fds()
    ports = listening()
    for _ in range(3):
        practice = Practice()
        practice.pace(1)
        content = json.dumps(body(stream=True)).encode()
        host, port = practice.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: practice\r\nanthropic-version: {NEW}\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        practice.stop()
        practice.stop()
        connection.close()
    gc.collect()
    assert threading.active_count() == threads
    assert listening() == ports
    assert psutil.Process().num_fds() <= descriptors + 1


class Blocks:
    """Garbage whose finalizer blocks the thread that collects it, as a locked connection pool's does."""

    def __init__(self, until: threading.Event) -> None:
        self.until, self.itself = until, self

    def __del__(self) -> None:
        self.until.wait(60)


def block_in_finalizer(practice: Practice, until: threading.Event) -> None:
    """The server's thread collects what must not be collected there."""
    Blocks(until)
    practice._server.loop.call_soon_threadsafe(gc.collect)


def block_for_ever(practice: Practice, until: threading.Event) -> None:
    """A request under way, and the thread stuck in it."""
    practice._server.loop.call_soon_threadsafe(until.wait, 60)


def end_it(practice: Practice, until: threading.Event) -> None:
    """The thread ends, whatever stopped it."""
    practice._server.loop.call_soon_threadsafe(practice._server._stopping.set)
    practice._server.thread.join(10)


@pytest.mark.parametrize("stop", [block_in_finalizer, block_for_ever, end_it])
def test_a_server_that_no_longer_answers_is_replaced(stop, capfd):
    """On the same port, for clients made before too; the old thread ends without a word when it can."""
    practice, until = Practice(), threading.Event()
    try:
        url, old = practice.start(), practice._server
        with anthropic.Anthropic(base_url=url, api_key=PRACTICE_KEY) as client:
            client.messages.create(**body())
            stop(practice, until)
            assert not practice._server.answers(within=0.05)
            assert practice.start() == url
            assert (practice.replaced, practice._server.answers(1)) == (1, True)
            assert client.messages.create(**body()).content
            until.set()
            old.thread.join(10)
            assert not old.thread.is_alive()
            assert client.messages.create(**body()).content
        practice.start()
        assert (practice.replaced, len(practice.journal)) == (1, 3)
    finally:
        until.set()
        practice.stop()
    assert capfd.readouterr() == ("", "")


def test_a_stuck_server_can_be_stopped_too(monkeypatch):
    """In a bounded time; its clients are hung up on, and its port is free."""

    practice, until = Practice(), threading.Event()
    try:
        url = practice.start()
        block_for_ever(practice, until)
        practice.stop()
        with pytest.raises(httpx2.TransportError):
            httpx2.get(url, trust_env=False, timeout=20)
    finally:
        until.set()


def _child(parent: str, results) -> None:
    """In a forked child: the parent's server still answers, and the child can have its own."""
    from course_helpers.practice_api import practice

    try:
        results.put((says(parent), says(practice.url), practice.url != parent, len(practice.journal)))
        practice.stop()
    except BaseException as error:
        results.put(repr(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks(module_practice):
    """A child does not hold the parent's port open, and starts a server of its own."""
    from course_helpers.practice_api import practice

    fork = multiprocessing.get_context("fork")
    url, results = practice.url, fork.Queue()
    try:
        children = [fork.Process(target=_child, args=(url, results)) for _ in range(3)]
        for child in children:
            child.start()
        answers = [results.get(timeout=60) for _ in children]
        for child in children:
            child.join(30)
        paris = "The capital of France is Paris."
        assert answers == [(paris, paris, True, 1)] * 3
        assert says(url) == paris
        sleeper = fork.Process(target=signal.pause)
        sleeper.start()
        practice.stop()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url, trust_env=False)
        sleeper.kill()
        sleeper.join()
    finally:
        practice.stop()


# The journal


def test_the_journal_shows_what_was_really_sent(practice, client):
    """Method, path, headers, body, status and reply."""
    reply = client.messages.create(**body())
    [exchange] = practice.journal
    assert (exchange.number, exchange.method, exchange.path) == (1, "POST", "/v1/messages")
    assert exchange.body == body()
    assert json.loads(exchange.raw) == body()
    assert (exchange.status, exchange.reply["id"]) == (200, reply.id)
    shown = str(exchange)
    assert shown.startswith(
        "POST /v1/messages\nauthorization: Bearer [redacted]\nanthropic-version: 2026-10-21\n"
    )
    assert "→ 200" in shown
    assert "x-stainless" not in shown.lower()
    assert "127.0.0.1" not in shown


def test_its_curl_line_sends_the_same(practice, client):
    """The key stays in its variable; the answer is the same message."""
    reply = client.messages.create(**body(system="Say 'no' to $HOME and `ls`."))
    command = practice.journal[-1].curl().replace("curl ", "curl -s ", 1)
    assert "$ANTHROPIC_API_KEY" in command
    variables = {"ANTHROPIC_BASE_URL": practice.url, "ANTHROPIC_API_KEY": PRACTICE_KEY}
    done = subprocess.run(command, shell=True, capture_output=True, check=True, env=os.environ | variables)
    assert json.loads(done.stdout)["id"] == reply.id
    assert practice.journal[-1].body == practice.journal[-2].body


def test_the_journal_reads_like_a_list(practice, wire):
    """Length, index, slice, iteration, and a word of advice where there is nothing yet."""
    with pytest.raises(IndexError, match="make a call first"):
        practice.journal[-1]
    assert repr(practice.journal) == "The journal is empty: no request has been made yet."
    for _ in range(3):
        wire.post()
    wire.get("/v1/models")
    assert len(practice.journal) == 4
    assert [exchange.number for exchange in practice.journal] == [1, 2, 3, 4]
    assert [exchange.number for exchange in practice.journal[1:3]] == [2, 3]
    assert practice.journal[-1].path == "/v1/models"
    assert repr(practice.journal).splitlines()[-1] == "   4  GET /v1/models → 200"
    practice.journal.clear()
    assert len(practice.journal) == 0


def test_the_journal_is_bounded_in_number_and_in_size(practice, wire, monkeypatch):
    """The oldest make room; the latest stays, however large."""
    monkeypatch.setattr(journal, "MAX_EXCHANGES", 10)
    monkeypatch.setattr(journal, "MAX_BYTES", 50_000)
    for _ in range(15):
        wire.post()
    assert [exchange.number for exchange in practice.journal] == [*range(6, 16)]
    for n in range(1, 8):
        wire.post(messages=[user("x" * 10_000 * n)])
        assert sum(len(exchange.raw) for exchange in practice.journal) <= 50_000 or len(practice.journal) == 1
    assert practice.journal[-1].status == 200
    assert len(repr(practice.journal).splitlines()) <= 21


def test_the_journal_while_requests_come(practice):
    """Read and cleared from one thread, written from others."""
    failures: list[BaseException] = []

    def work() -> None:
        wire = Wire(practice.url)
        try:
            for _ in range(40):
                wire.ok()
        except BaseException as error:
            failures.append(error)
        finally:
            wire.http.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(list(practice.journal)) <= 160
        assert repr(practice.journal)
        practice.journal.clear()
    assert failures == []
