"""The events of a stream, what the SDK makes of a broken one, the pace of answers, and message batches."""

from __future__ import annotations

import asyncio
import json
from itertools import groupby
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from tests.practice_api.conftest import BOTH_WAYS, sdk
from tests.practice_api.wire import ALL_4, ALL_5, HAIKU_4, OPUS, WEATHER, body, error_message, text, user

pytestmark = BOTH_WAYS
PATH = "/v1/messages/batches"
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


CACHED = {"system": [text("Be brief. " * 300, cache_control={"type": "ephemeral"})]}
STREAMS = [
    {"model": OPUS},
    {"model": HAIKU_4, "messages": [HARD]},
    {"messages": [HARD], "thinking": {"type": "adaptive", "display": "summarized"}},
    {"max_tokens": 3, "stop_sequences": ["France"]},
    {"tools": [WEATHER], "messages": [user("What is the weather?")]},
    CACHED,
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


# Batches


def one(custom_id: str, **fields: Any) -> dict[str, Any]:
    """A request of a batch."""
    return {"custom_id": custom_id, "params": body(**fields)}


def test_each_request_has_its_result(practice, client, wire):
    """One bad request fails alone; they share the cache and use up no limit; all is in the SDK's shapes."""
    requests = [one("a"), one("b", messages=[user("Hello!")]), one("c", max_tokens=-1)]
    requests += [one("d", max_tokens=0), one("e", model="claude-nope"), one("f", stream=True)]
    requests += [one("g", **CACHED), one("h", **CACHED)]
    with practice.pace(batch_seconds=0), practice.limit(requests_per_minute=1):
        batch = client.messages.batches.create(requests=requests)
    counts = batch.request_counts
    seen = (batch.processing_status, counts.succeeded, counts.errored, counts.processing)
    assert seen == ("ended", 4, 4, 0)
    found = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
    assert found["a"].message.content == client.messages.create(**body()).content
    assert found["a"].message.usage.service_tier == "batch"
    assert [found[name].message.usage.cache_read_input_tokens > 512 for name in "gh"] == [False, True]
    kinds = {name: result.error.error.type for name, result in found.items() if result.type == "errored"}
    assert kinds == dict.fromkeys("cdf", "invalid_request_error") | {"e": "not_found_error"}
    MessageBatch.model_validate(wire.get(f"{PATH}/{batch.id}").json())
    for line in wire.get(f"{PATH}/{batch.id}/results").text.splitlines():
        MessageBatchIndividualResponse.model_validate_json(line)


def test_canceling_and_deleting(practice, client, wire):
    """What is processed is given up; only what has ended can be deleted."""
    batches = client.messages.batches
    with practice.pace(batch_seconds=3600):
        batch = batches.create(requests=[one("a"), one("b")])
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 2)
    assert (batch.ended_at, batch.results_url, batch.expires_at > batch.created_at) == (None, None, True)
    with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
        batches.delete(batch.id)
    assert "when it has ended" in error_message(wire.get(f"{PATH}/{batch.id}/results"))
    canceled = batches.cancel(batch.id)
    assert canceled.processing_status == "canceling"
    assert batches.cancel(batch.id).cancel_initiated_at == canceled.cancel_initiated_at is not None
    practice.api.batches[batch.id].ends = canceled.created_at  # its time has come
    ended = batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.canceled) == ("ended", 2)
    assert {line.result.type for line in batches.results(batch.id)} == {"canceled"}
    with pytest.raises(anthropic.BadRequestError, match="nothing left to cancel"):
        batches.cancel(batch.id)
    assert batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        batches.retrieve(batch.id)


def test_the_list_has_the_newest_first(practice, client):
    """It is paged as the list of models is. By default a batch takes half a second."""
    batches = client.messages.batches
    ids = [batches.create(requests=[one("a")]).id for _ in range(5)]
    made = practice.api.batches[ids[0]]
    assert (made.ends - made.created).total_seconds() == 0.5
    assert [batch.id for batch in batches.list(limit=2)] == ids[::-1]
    practice.reset()
    assert batches.list().data == []


def test_a_batch_that_is_refused_whole(wire):
    """A 400 with the place."""
    refused = {"List should have at least 1 item": [], "custom_id: String should match": [one("a b")]}
    for words, requests in (refused | {"each custom_id must be unique": [one("a"), one("a")]}).items():
        assert words in error_message(wire.send(PATH, {"requests": requests}))
