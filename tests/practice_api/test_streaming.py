"""The events of a stream, and what the SDK makes of a broken one."""

from __future__ import annotations

import asyncio
import json

import anthropic
import httpx2
import pytest

from tests.practice_api.conftest import BOTH_WAYS, sdk_arguments
from tests.practice_api.wire import ALL_4, ALL_5, HAIKU, HAIKU_4, OPUS, body, text, user

pytestmark = BOTH_WAYS

HARD = user("Explain step by step why the sky is blue.")
LONG = body(messages=[user("Tell me something about yourself.")])
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def events(wire, **fields):
    """The events of a stream as they came: name and JSON."""
    answer = wire.post(stream=True, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    found = []
    for part in answer.text.removesuffix("\n\n").split("\n\n"):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
def test_the_order_of_events(wire, model):
    """message_start, blocks one after the other, message_delta, message_stop; names equal types."""
    found = events(wire, model=model, messages=[HARD])
    assert all(name == data["type"] for name, data in found)
    names = [name for name, _ in found if name != "ping"]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    indices = [data["index"] for _, data in found if "index" in data]
    assert indices == sorted(indices)
    for index in set(indices):
        block = [name for name, data in found if data.get("index") == index]
        assert block[0] == "content_block_start"
        assert block[-1] == "content_block_stop"
        assert set(block[1:-1]) <= {"content_block_delta"}
    assert "ping" in [name for name, _ in found]
    opened, plain = found[0][1]["message"], wire.ok(model=model, messages=[HARD])
    assert (opened["content"], opened["stop_reason"], opened["usage"]["output_tokens"]) == ([], None, 1)
    assert opened.keys() == plain.keys()
    assert next(data["usage"] for name, data in found if name == "message_delta") == plain["usage"]
    first = [data.get("content_block") or data.get("delta") for _, data in found if data.get("index") == 0]
    if model in ALL_5:  # thinking whose text is omitted is one signature
        assert first[0] == {"type": "thinking", "thinking": "", "signature": ""}
        assert [each["type"] for each in first[1:-1]] == ["signature_delta"]


STREAMS = [
    {},
    {"model": OPUS},
    {"model": HAIKU_4, "messages": [HARD]},
    {"messages": [HARD]},
    {"messages": [HARD], "thinking": {"type": "adaptive", "display": "summarized"}},
    {"max_tokens": 3},
    {"stop_sequences": ["France"]},
    {"tools": [TOOL], "messages": [user("What is the weather?")]},
    {"system": [text("Be brief. " * 300, cache_control={"type": "ephemeral"})]},
]


@pytest.mark.parametrize("fields", STREAMS)
def test_a_stream_builds_the_same_message_as_a_plain_answer(practice, client, fields):
    """Helper and raw iteration; id, content, stop reason, usage; and so does the journal."""
    plain = client.messages.create(**body(**fields))
    practice.api.reset()
    with client.messages.stream(**body(**fields)) as stream:
        message = stream.get_final_message()
    assert message.to_dict() == plain.to_dict()
    assert practice.journal[-1].reply["content"] == plain.to_dict()["content"]
    assert practice.journal[-1].reply["stop_reason"] == plain.stop_reason


def test_the_async_client(practice):
    """Plain, streaming, create(stream=True), counting, models."""

    async def talk():
        async with anthropic.AsyncAnthropic(**sdk_arguments(practice, asynchronous=True)) as client:
            plain = await client.messages.create(**body())
            async with client.messages.stream(**body()) as stream:
                assert (await stream.get_final_message()).to_dict() == plain.to_dict()
            raw = await client.messages.create(**body(), stream=True)
            assert [event.type async for event in raw][-1] == "message_stop"
            counted = await client.messages.count_tokens(model=HAIKU, messages=[user()])
            assert counted.input_tokens == plain.usage.input_tokens
            assert (await client.models.retrieve(HAIKU)).id == HAIKU
            many = await asyncio.gather(*(client.messages.create(**body()) for _ in range(30)))
            assert len({message.id for message in many}) == 1

    asyncio.run(talk())


# Broken streams


def test_an_error_event(practice, client):
    """The base class with status 200 and the event's type; no second request."""
    practice.break_stream("error", after=2)
    pieces = []
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(**LONG) as stream:
        pieces.extend(stream.text_stream)
    assert type(caught.value) is anthropic.APIStatusError
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
    assert (len(pieces), len(practice.journal)) == (2, 1)


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("raw", [False, True])
def test_a_dropped_connection(practice, client, after, raw):
    """Not an anthropic exception: the body is cut in the middle of a chunked stream."""
    pieces = []

    def read():
        if raw:
            for event in client.messages.create(**LONG, stream=True):
                if event.type == "content_block_delta":
                    pieces.append(event.delta.text)
        else:
            with client.messages.stream(**LONG) as stream:
                pieces.extend(stream.text_stream)

    practice.break_stream("disconnect", after=after)
    with pytest.raises(httpx2.RemoteProtocolError):
        read()
    assert len(pieces) == after
    assert practice.journal[-1].reply is None
    assert client.messages.create(**body()).content


def test_a_truncated_stream_raises_nothing(practice, client):
    """It ends cleanly without its last events: only the missing stop reason tells."""
    practice.break_stream("truncate", after=3)
    with client.messages.stream(**LONG) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(pieces) == message.content[0].text
    assert (len(pieces), message.stop_reason, message.usage.output_tokens) == (3, None, 1)


def test_a_garbled_event(practice, client):
    """Malformed JSON in a data line."""
    practice.break_stream("garble")
    with pytest.raises(json.JSONDecodeError), client.messages.stream(**LONG) as stream:
        stream.until_done()


def test_a_stall(practice, client):
    """Silence longer than the read timeout; without one, the connection drops at last."""
    practice.break_stream("stall", seconds=60)
    with (
        pytest.raises(httpx2.ReadTimeout),
        client.with_options(timeout=0.3).messages.stream(**LONG) as stream,
    ):
        stream.until_done()
    practice.break_stream("stall", seconds=0.2)
    with pytest.raises(httpx2.RemoteProtocolError), client.messages.stream(**LONG) as stream:
        stream.until_done()


def test_a_plain_answer_breaks_at_once(practice, client):
    """No response: a connection error that the SDK retries."""
    practice.break_stream("disconnect", times=4)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**body())
    assert client.with_options(max_retries=3).messages.create(**body()).content
    assert len(practice.journal) == 5


def test_events_come_as_they_are_made(practice, client):
    """The first piece is there while the answer is still being made: the journal has no reply yet."""
    practice.pace(40, first_token_seconds=0.1)
    with client.messages.stream(**LONG) as stream:
        pieces = iter(stream.text_stream)
        next(pieces)
        assert practice.journal[-1].reply is None
        assert list(pieces)
    assert practice.journal[-1].reply["stop_reason"] == "end_turn"
