"""The practice API: requests a second beside a bare Starlette route, the first stream event, the start."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import anthropic

from course_helpers import MODEL
from course_helpers.practice_api import PRACTICE_KEY, Practice
from tests.benchmarks import Row, at_least, at_most

ROUNDS, SECONDS, CONNECTIONS = 5, 2.0, 8
FIRST_EVENTS, STARTS = 200, 11
MESSAGE = {
    "model": MODEL,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
# The same server and the same settings, and a route that only reads the body and answers with a constant.
BARE = """
import socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

BODY = sys.argv[1].encode()

async def answer(request):
    await request.body()
    return Response(BODY, media_type="application/json")

app = Starlette(routes=[Route("/v1/messages", answer, methods=["POST"])])
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen(100)
print(f"Bare route at http://127.0.0.1:{listener.getsockname()[1]},", flush=True)
config = uvicorn.Config(app, http="h11", ws="none", loop="asyncio", log_level="error", access_log=False)
uvicorn.Server(config).run(sockets=[listener])
"""


@contextmanager
def server(*arguments: str) -> Iterator[int]:
    """The port of a server that runs in a process of its own."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        yield int(line.partition("http://127.0.0.1:")[2].split(",")[0])
    finally:
        process.kill()
        process.wait()


def requests_a_second(port: int) -> float:
    """What the server at `port` answers in a second, to 8 connections that stay open."""
    content = json.dumps(MESSAGE).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-api-key: {PRACTICE_KEY}\r\nanthropic-version: 2026-10-21\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    request = head.encode() + content

    async def connection(until: float) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.perf_counter() < until:
            writer.write(request)
            got = await reader.readuntil(b"\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 200"), got
            length = got.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            answered += 1
        writer.close()
        return answered

    async def all_of_them() -> int:
        until = time.perf_counter() + SECONDS
        return sum(await asyncio.gather(*(connection(until) for _ in range(CONNECTIONS))))

    return asyncio.run(all_of_them()) / SECONDS


def seconds_to_first_event(client: anthropic.Anthropic) -> float:
    """From the call to the first event, through the SDK."""
    began = time.perf_counter()
    with client.messages.create(**MESSAGE, stream=True) as stream:
        next(iter(stream))
        return time.perf_counter() - began


def seconds_to_start() -> float:
    """From nothing to a server that answers, everything imported."""
    practice = Practice()
    began = time.perf_counter()
    practice.start()
    seconds = time.perf_counter() - began
    practice.stop()
    return seconds


def bench() -> Iterator[Row]:
    """Throughput as a ratio, the other two in absolute time."""
    practice = Practice()
    client = anthropic.Anthropic(base_url=practice.url, api_key=PRACTICE_KEY)
    body = client.messages.with_raw_response.create(**MESSAGE).text()
    with server("-c", BARE, body) as bare, server("-m", "course_helpers.practice_api", "--port", "0") as ours:
        for port in (bare, ours):
            requests_a_second(port)  # warm
        pairs = [(requests_a_second(bare), requests_a_second(ours)) for _ in range(ROUNDS)]
    ratio = median(mine / theirs for theirs, mine in pairs)
    figures = (
        f"{median(mine for _, mine in pairs):,.0f} to {median(theirs for theirs, _ in pairs):,.0f} a second"
    )
    yield at_least("requests a second, validation on", ratio, 0.5, f"× a bare Starlette route ({figures})")
    first = median(seconds_to_first_event(client) for _ in range(FIRST_EVENTS))
    yield at_most("first event of a stream", first * 1000, 5, "ms, median, through the SDK")
    practice.stop()
    yield at_most("start beyond imports", median(seconds_to_start() for _ in range(STARTS)), 0.3, "s")
