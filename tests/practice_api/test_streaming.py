"""The events of a stream, what the SDK makes of a broken one, and the pace of answers."""

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


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
def test_the_order_of_events(wire, model):
    """message_start, blocks one after the other, message_delta, message_stop; names equal types."""
    answer, plain = (wire.post(stream=stream, model=model, messages=[HARD]) for stream in (True, False))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    events = [part.split("\n") for part in answer.text.removesuffix("\n\n").split("\n\n")]
    found = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]
    assert all(name == data["type"] for name, data in found)
    names = [name for name, _ in found]
    assert [names[0], *names[-2:]] == ["message_start", "message_delta", "message_stop"]
    assert "ping" in names
    indices = [data["index"] for _, data in found if "index" in data]
    assert indices == sorted(indices)
    for index in {*indices}:
        block = [name for name, data in found if data.get("index") == index]
        assert (block[0], block[-1]) == ("content_block_start", "content_block_stop")
        assert {*block[1:-1]} <= {"content_block_delta"}
    opened, plain = found[0][1]["message"], plain.json()
    assert (opened["content"], opened["stop_reason"], opened["usage"]["output_tokens"]) == ([], None, 1)
    assert opened.keys() == plain.keys()
    assert found[-2][1]["usage"] == plain["usage"]
    if model in ALL_5:  # thinking whose text is omitted is one signature
        first = [
            data.get("content_block") or data.get("delta") for _, data in found if data.get("index") == 0
        ]
        assert first[0] == {"type": "thinking", "thinking": "", "signature": ""}
        assert [each["type"] for each in first[1:-1]] == ["signature_delta"]


STREAMS = [
    {"model": OPUS},
    {"model": HAIKU_4, "messages": [HARD]},
    {"messages": [HARD], "thinking": {"type": "adaptive", "display": "summarized"}},
    {"max_tokens": 3, "stop_sequences": ["France"]},
    {"tools": [TOOL], "messages": [user("What is the weather?")]},
    {"system": [text("Be brief. " * 300, cache_control={"type": "ephemeral"})]},
]


@pytest.mark.parametrize("fields", STREAMS)
def test_a_stream_builds_the_same_message_as_a_plain_answer(practice, client, fields):
    """Id, content, stop reason, usage; and so does the journal."""
    plain = client.messages.create(**body(**fields))
    practice.reset()
    with client.messages.stream(**body(**fields)) as stream:
        assert stream.get_final_message().to_dict() == plain.to_dict()
    assert practice.journal[-1].reply["content"] == plain.to_dict()["content"]


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


BREAKS = [
    ({"kind": "error", "after": 2}, anthropic.APIStatusError),
    ({"kind": "disconnect", "after": 0}, httpx2.RemoteProtocolError),
    ({"kind": "disconnect", "after": 3}, httpx2.RemoteProtocolError),
    ({"kind": "garble", "after": 3}, json.JSONDecodeError),
    ({"kind": "stall", "after": 1, "seconds": 60}, httpx2.ReadTimeout),
    ({"kind": "stall", "after": 1, "seconds": 0.2}, httpx2.RemoteProtocolError),
    ({"kind": "truncate", "after": 3}, None),  # it ends cleanly: only the missing stop reason tells
]


@pytest.mark.parametrize(("fault", "error"), BREAKS)
def test_a_broken_stream(practice, client, fault, error):
    """After so many pieces, with what the SDK raises of it; it is not asked again, the next one is whole."""
    pieces, raised = [], None
    practice.break_stream(**fault)
    patience = 0.5 if fault["kind"] == "stall" else 20
    try:
        with client.with_options(timeout=patience).messages.stream(**LONG) as stream:
            pieces.extend(stream.text_stream)
            message = stream.get_final_message()
    except Exception as met:
        raised = met
    assert type(raised) is (error or type(None))
    assert (len(pieces), len(practice.journal), practice.journal[-1].reply) == (fault["after"], 1, None)
    if fault["kind"] == "error":
        assert (raised.status_code, raised.type) == (200, "overloaded_error")
    if raised is None:
        assert (message.stop_reason, message.usage.output_tokens) == (None, 1)
    assert client.messages.create(**LONG).stop_reason == "end_turn"


def test_a_plain_answer_breaks_at_once(practice, client):
    """No response: a connection error that the SDK retries."""
    practice.break_stream("disconnect", times=2)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**body())
    assert client.with_options(max_retries=1).messages.create(**body()).content
    assert len(practice.journal) == 3


def test_pace(practice, client):
    """The first piece is there while the answer is still made; who has less patience gives up."""
    with practice.pace(100, first_token_seconds=0.1), client.messages.stream(**LONG) as stream:
        pieces = iter(stream.text_stream)
        next(pieces)
        assert practice.journal[-1].reply is None
        assert list(pieces)
    assert practice.journal[-1].reply["stop_reason"] == "end_turn"
    for pace in ({"tokens_per_second": 0.5}, {"first_token_seconds": 30}):
        with practice.pace(**pace), pytest.raises(anthropic.APITimeoutError):
            client.with_options(timeout=0.3).messages.create(**body())
