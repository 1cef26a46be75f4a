"""The events of a stream, what the SDK makes of a broken one, and the pace of answers."""

from __future__ import annotations

import asyncio
import json
from itertools import groupby

import anthropic
import httpx2
import pytest

from tests.practice_api.conftest import BOTH_WAYS, sdk
from tests.practice_api.wire import ALL_4, ALL_5, HAIKU_4, OPUS, WEATHER, body, text, user

pytestmark = BOTH_WAYS
HARD = user("Explain step by step why the sky is blue.")
LONG = body(messages=[user("Tell me something about yourself.")])

BLOCK = ["content_block_start", "content_block_delta", "content_block_stop"]


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
def test_the_order_of_events(wire, model):
    """message_start, blocks one after the other, message_delta, message_stop; names equal types."""
    answer, plain = (wire.post(stream=stream, model=model, messages=[HARD]) for stream in (True, False))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    parts = [part.split("\n") for part in answer.text.removesuffix("\n\n").split("\n\n")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in parts]
    assert [name.removeprefix("event: ") for name, _ in parts] == [event["type"] for event in events]
    kinds = [kind for kind, _ in groupby(event["type"] for event in events)]
    plain, blocks = plain.json(), BLOCK * len(plain.json()["content"])
    assert kinds == ["message_start", "ping", *blocks, "message_delta", "message_stop"]
    indices = [event["index"] for event in events if "index" in event]
    assert [*dict.fromkeys(indices)] == sorted({*indices}) == [*range(len(plain["content"]))]
    opened = events[0]["message"]
    assert (opened["content"], opened["stop_reason"], opened["usage"]["output_tokens"]) == ([], None, 1)
    assert opened.keys() == plain.keys()
    assert events[-2]["usage"] == plain["usage"]
    if model in ALL_5:  # thinking whose text is omitted is one signature
        assert events[2]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
        assert [events[3]["delta"]["type"], events[4]["type"]] == ["signature_delta", "content_block_stop"]


STREAMS = [
    {"model": OPUS},
    {"model": HAIKU_4, "messages": [HARD]},
    {"messages": [HARD], "thinking": {"type": "adaptive", "display": "summarized"}},
    {"max_tokens": 3, "stop_sequences": ["France"]},
    {"tools": [WEATHER], "messages": [user("What is the weather?")]},
    {"system": [text("Be brief. " * 300, cache_control={"type": "ephemeral"})]},
]


@pytest.mark.parametrize("fields", STREAMS)
def test_a_stream_builds_the_same_message_as_a_plain_answer(practice, client, fields):
    """Id, content, stop reason, usage; and so does the journal; for the asynchronous client too."""
    plain = client.messages.create(**body(**fields)).to_dict()
    practice.reset()
    with client.messages.stream(**body(**fields)) as stream:
        assert stream.get_final_message().to_dict() == plain
    assert practice.journal[-1].reply["content"] == plain["content"]
    practice.reset()

    async def talk():
        async with sdk(practice, anthropic.AsyncAnthropic) as client:
            async with client.messages.stream(**body(**fields)) as stream:
                assert (await stream.get_final_message()).to_dict() == plain
            many = await asyncio.gather(*(client.messages.create(**body(**fields)) for _ in range(10)))
            assert {message.id for message in many} == {plain["id"]}

    asyncio.run(talk())


BREAKS = [
    ({"kind": "error", "after": 2}, anthropic.APIStatusError),
    ({"kind": "disconnect", "after": 0}, httpx2.RemoteProtocolError),
    ({"kind": "disconnect", "after": 3}, httpx2.RemoteProtocolError),
    ({"kind": "garble", "after": 3}, json.JSONDecodeError),
    ({"kind": "stall", "after": 1, "seconds": 60}, httpx2.ReadTimeout),
    ({"kind": "stall", "after": 1, "seconds": 0.1}, httpx2.RemoteProtocolError),
    ({"kind": "truncate", "after": 3}, type(None)),  # it ends cleanly: only the missing stop reason tells
]


@pytest.mark.parametrize(("fault", "error"), BREAKS)
def test_a_broken_stream(practice, client, fault, error):
    """After so many pieces, with what the SDK raises of it; it is not asked again."""
    pieces, raised = [], None
    practice.break_stream(**fault)
    patience = 0.5 if error is httpx2.ReadTimeout else 20
    try:
        with client.with_options(timeout=patience).messages.stream(**LONG) as stream:
            pieces.extend(stream.text_stream)
            message = stream.get_final_message()
            assert (message.stop_reason, message.usage.output_tokens) == (None, 1)
    except Exception as met:
        raised = met
    assert type(raised) is error
    assert (len(pieces), len(practice.journal), practice.journal[-1].reply) == (fault["after"], 1, None)
    if fault["kind"] == "error":
        assert (raised.status_code, raised.type) == (200, "overloaded_error")


def test_a_plain_answer_breaks_at_once(practice, client):
    """No response: a connection error, which the SDK retries."""
    practice.break_stream("disconnect", times=2)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**body())
    assert client.with_options(max_retries=1).messages.create(**body()).stop_reason == "end_turn"
    assert len(practice.journal) == 3


def test_pace(practice, client):
    """The first piece is there while the answer is still made; who has less patience gives up."""
    with practice.pace(100, first_token_seconds=0.1), client.messages.stream(**LONG) as stream:
        next(pieces := iter(stream.text_stream))
        assert practice.journal[-1].reply is None
        assert list(pieces)
    assert practice.journal[-1].reply["stop_reason"] == "end_turn"
    for pace in ({"tokens_per_second": 0.5}, {"first_token_seconds": 30}):
        with practice.pace(**pace), pytest.raises(anthropic.APITimeoutError):
            client.with_options(timeout=0.1).messages.create(**body())
