"""The server's life, its stand-in without sockets, its command line, and the journal."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import psutil
import pytest

from course_helpers.practice_api import PRACTICE_KEY, Practice, journal
from course_helpers.practice_api.__main__ import main
from tests.practice_api.conftest import sdk
from tests.practice_api.wire import body, user


def open_here() -> tuple[int, set[int]]:
    """How many threads this process has, and the ports on which it listens."""
    found = psutil.Process().net_connections("tcp")
    ports = {connection.laddr.port for connection in found if connection.status == psutil.CONN_LISTEN}
    return threading.active_count(), ports


def test_it_starts_once_and_stops_without_a_trace():
    """One server from many threads, on loopback; no thread, no socket, also in the middle of a stream."""
    before, descriptors = open_here(), psutil.Process().num_fds()
    for _ in range(3):
        practice = Practice()
        practice.pace(1)
        with ThreadPoolExecutor(8) as pool:
            [url] = {*pool.map(Practice.start, [practice] * 16)}
        assert (url.startswith("http://127.0.0.1:"), len(open_here()[1] - before[1])) == (True, 1)
        assert (practice.serves(url + "/"), practice.serves("http://127.0.0.1:1")) == (True, False)
        with sdk(practice) as client:
            stream = client.messages.create(**body(stream=True))
            assert next(stream).type == "message_start"
            practice.stop()
            practice.stop()
            with pytest.raises(httpx2.TransportError):
                list(stream)
    gc.collect()
    assert open_here() == before
    assert psutil.Process().num_fds() <= descriptors + 1


def test_a_server_that_is_stuck_is_replaced(capfd):
    """On the same port, for clients made before too; the old thread ends without a word when it can."""
    practice, until = Practice(), threading.Event()
    url, old = practice.start(), practice._server
    with sdk(practice) as client:
        client.messages.create(**body())
        old.loop.call_soon_threadsafe(until.wait, 60)  # as a finalizer that waits for a lock does
        assert practice.start() == url
        assert client.messages.create(**body()).content
        until.set()
        old.thread.join(10)
        assert not old.thread.is_alive()
        assert client.messages.create(**body()).content
    assert (practice.replaced, len(practice.journal)) == (1, 3)
    practice.stop()
    assert capfd.readouterr() == ("", "")


def test_without_a_server_it_stops_too():
    """What nobody reads of a stream is not made; `test_history.py` runs where no thread can be started."""
    inside = Practice(in_process=True)
    client = sdk(inside)
    with inside.pace(tokens_per_second=10), client.messages.stream(**body()) as stream:
        next(iter(stream.text_stream))
    assert (inside.journal[-1].status, inside.journal[-1].reply) == (200, None)
    inside.stop()
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**body())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_it_serves_until_it_is_stopped_and_says_so(monkeypatch):
    """The curl line works as printed, a port that cannot be is told."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # main sets handlers: not in this process
    command = [sys.executable, "-m", "course_helpers.practice_api", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(9)]
            url = lines[0].split()[3].rstrip(",")
            assert f"  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=practice python my_program.py\n" in lines
            curl = "".join(lines[lines.index("curl:\n") + 1 :])
            assert '"text":"Hello! What would you like to know?"' in subprocess.getoutput(curl)
            for port in (url.rpartition(":")[2], "70000"):
                assert main(["--port", port]).startswith(f"Port {port} cannot be used (")
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.endswith("The practice API has stopped.\n")


# The journal


def test_the_journal_shows_what_was_really_sent(practice, client):
    """Method, path, headers, body, status, reply; its curl line sends the same, the key in a variable."""
    sent = body(system="Say 'no' to $HOME and `ls`.")
    reply = client.messages.create(**sent)
    [exchange] = practice.journal
    assert (exchange.number, exchange.status, exchange.reply["id"]) == (1, 200, reply.id)
    assert exchange.body == json.loads(exchange.raw) == sent
    begin = "POST /v1/messages\nauthorization: Bearer [redacted]\nanthropic-version: 2026-10-21\n"
    assert (str(exchange).startswith(begin), "→ 200" in str(exchange)) == (True, True)
    assert not any(word in str(exchange).lower() for word in ("x-stainless", "127.0.0.1"))
    assert "$ANTHROPIC_API_KEY" in exchange.curl()
    variables = {"ANTHROPIC_BASE_URL": practice.url, "ANTHROPIC_API_KEY": PRACTICE_KEY}
    subprocess.run(exchange.curl(), shell=True, capture_output=True, check=True, env=os.environ | variables)
    _, again = practice.journal
    assert (again.body, again.reply) == (sent, exchange.reply)


def test_the_journal_reads_like_a_list_and_is_bounded(practice, wire, monkeypatch):
    """Length, index, slice; the oldest make room; a loop over it that makes calls comes to an end."""
    assert repr(practice.journal) == "The journal is empty: no request has been made yet."
    monkeypatch.setattr(journal, "MAX_EXCHANGES", 30)
    monkeypatch.setattr(journal, "MAX_BYTES", 50_000)
    for _ in range(30):
        wire.post()
    for _ in practice.journal:
        wire.get("/v1/models")
    assert [exchange.number for exchange in practice.journal[:]] == [*range(31, 61)]
    lines = repr(practice.journal).splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("… 10 earlier", "  60  GET /v1/models → 200", 21)
    for n in range(1, 8):
        wire.post(messages=[user("x" * 10_000 * n)])
        assert sum(len(exchange.raw) for exchange in practice.journal) <= 50_000 or len(practice.journal) == 1
