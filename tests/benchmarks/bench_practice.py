"""The practice API: requests a second and the first stream event, beside a bare Starlette route."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import anthropic

from course_helpers import MODEL
from course_helpers.practice_api import PRACTICE_KEY, Practice
from tests.benchmarks import Row, medians

ROUNDS, SECONDS, CONNECTIONS, FIRST_EVENTS = 5, 2.0, 8, 200
QUESTION = {"role": "user", "content": "What is the capital of France?"}
MESSAGE = {"model": MODEL, "max_tokens": 100, "messages": [QUESTION]}
# The same server, and a route that only reads the body and answers with a constant, as JSON or as a stream.
BARE = """
import sys
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from course_helpers.practice_api.server import Server

async def pieces():
    for part in sys.argv[2].split("\\n\\n")[:-1]:
        yield f"{part}\\n\\n"

async def answer(request):
    if b'"stream"' in await request.body():
        return StreamingResponse(pieces(), media_type="text/event-stream")
    return Response(sys.argv[1].encode(), media_type="application/json")

server = Server(Starlette(routes=[Route("/v1/messages", answer, methods=["POST"])]))
print(f"Bare route at {server.url},", flush=True)
server.thread.join()
"""


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """The URL of a server that runs in a process of its own."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield "http" + process.stdout.readline().partition("http")[2].split(",")[0]
    finally:
        process.kill()
        process.wait()


def requests_a_second(url: str) -> float:
    """What the server at `url` answers in a second, to 8 connections that stay open."""
    content = json.dumps(MESSAGE).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-api-key: {PRACTICE_KEY}\r\nanthropic-version: 2026-10-21\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )

    answered, end = [], time.perf_counter() + SECONDS

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        while time.perf_counter() < end:
            writer.write(head.encode() + content)
            got = await reader.readuntil(b"\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 200"), got
            length = got.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            answered.append(await reader.readexactly(int(length)))
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))

    asyncio.run(all_of_them())
    return len(answered) / SECONDS


def seconds_to_first_event(client: anthropic.Anthropic) -> float:
    """From the call to the first event, through the SDK."""
    began = time.perf_counter()
    with client.messages.create(**MESSAGE, stream=True) as stream:
        next(stream)
        seconds = time.perf_counter() - began
        list(stream)  # a server whose client goes away complains of it, in the midst of the table
    return seconds


def bench() -> Iterator[Row]:
    practice = Practice()
    raw = anthropic.Anthropic(base_url=practice.url, api_key=PRACTICE_KEY).messages.with_raw_response
    bodies = [raw.create(**MESSAGE, stream=stream).http_response.read().decode() for stream in (False, True)]
    with (
        server("-c", BARE, *bodies) as bare,
        server("-m", "course_helpers.practice_api", "--port", "0") as ours,
    ):
        throughput = medians(ROUNDS, *(partial(requests_a_second, url) for url in (bare, ours)), warm=1)
        clients = [anthropic.Anthropic(base_url=url, api_key=PRACTICE_KEY) for url in (bare, ours)]
        firsts = 1000 * medians(FIRST_EVENTS, *(partial(seconds_to_first_event, each) for each in clients))
    of = "× a bare Starlette route (of {:,.0f} to {:,.0f} a second)".format(*throughput)
    yield Row("requests a second, validation on", throughput[1] / throughput[0], 0.5, of, "≥")
    of = f"ms, median, through the SDK (bare: {firsts[0]:.2f})"
    yield Row("first event of a stream", firsts[1], 5, of)
