"""`make live-check`: does the practice API still answer as the real one does?

It asks first and names its price. Then it sends the same requests to both and prints one line for each,
with what differs: status, error type, names and types of fields, order of events, counted tokens, headers.
Texts are not compared, nothing is stored, and the key is shown nowhere.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from getpass import getpass
from typing import Any

import httpx2

from course_helpers.models import ALIASES, available
from course_helpers.practice_api import PRACTICE_KEY, Practice
from course_helpers.pricing import estimate_cost

LIVE = "https://api.anthropic.com"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
COUNTS_MAY_DIFFER = 0.5
"""The practice API estimates tokens: that far apart is not a difference."""
COMPARED_HEADERS = (
    "request-id",
    "retry-after",
    "x-should-retry",
    "anthropic-ratelimit-requests-limit",
    "allow",
)
HAIKU = ALIASES["haiku"]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Probe:
    """One request that both get."""

    name: str
    body: dict[str, Any] | None = None
    method: str = "POST"
    path: str = MESSAGES
    headers: dict[str, str] = field(default_factory=dict)
    answered: bool = False
    """Does it get an answer that costs money?"""


def message(**fields: Any) -> dict[str, Any]:
    """A small request for a message."""
    given = {"model": HAIKU, "max_tokens": 30, "messages": [{"role": "user", "content": "Say yes."}]} | fields
    return {name: value for name, value in given.items() if value is not None}


def _user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": "Say yes."}]}]


def _image(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def probes() -> list[Probe]:
    """What is sent. The facts that rest on a single source so far are among them."""
    asked, said = {"role": "user", "content": "Say yes."}, {"role": "assistant", "content": "Yes"}
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    bounded = number | {"properties": {"n": {"type": "integer", "minimum": 1}}}
    tool = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}
    marked = [{"type": "text", "text": str(n), "cache_control": {"type": "ephemeral"}} for n in range(5)]
    prefilled = next(model for model in available() if model.prefill)
    batch = {"requests": [{"custom_id": "x" * 65, "params": message()}]}
    return [
        Probe("a message", message(), answered=True),
        Probe("a stream", message(stream=True), answered=True),
        Probe(
            "prefill where it is allowed", message(model=prefilled.id, messages=[asked, said]), answered=True
        ),
        Probe("a reply to a schema", message(**_format(number)), answered=True),
        Probe("diagnostics", message(diagnostics={"previous_message_id": None}), answered=True),
        Probe("counting", message(max_tokens=None), path=COUNT),
        Probe("the models", method="GET", path="/v1/models?limit=2"),
        Probe("one model", method="GET", path=f"/v1/models/{HAIKU}"),
        Probe("the batches", method="GET", path="/v1/messages/batches?limit=1"),
        Probe("no key", message(), headers={"x-api-key": ""}),
        Probe("an unknown model", message(model="claude-nope")),
        Probe("an unknown version", message(), headers={"anthropic-version": "2020-01-01"}),
        Probe("max_tokens missing", message(max_tokens=None)),
        Probe("no messages", message(messages=[])),
        Probe("the assistant first", message(messages=[said, asked])),
        Probe("an unknown field", message(surprise=1)),
        Probe("white space alone", message(messages=[{"role": "user", "content": " "}])),
        Probe("prefill where it is refused", message(messages=[asked, said])),
        Probe("temperature", message(temperature=0.5)),
        Probe("five cache marks", message(system=marked)),
        Probe("a bound in a schema", message(**_format(bounded))),
        Probe("output_format", message(output_format={"type": "json_schema", "schema": number})),
        Probe("a tool's schema without type", message(tools=[tool | {"input_schema": {}}])),
        Probe("a kind of image that is none", message(messages=_user(_image("image/bmp", PIXEL)))),
        Probe("an image of another kind", message(messages=_user(_image("image/gif", PIXEL)))),
        Probe("a custom_id too long", batch, path="/v1/messages/batches"),
        Probe("a wrong method", method="PUT"),
    ]


def price() -> float:
    """What the probes cost at the most, in dollars: every answer as long as it may be."""
    paid = [probe.body for probe in probes() if probe.answered]
    tokens = ((len(json.dumps(body)) // 3 + 200, body["max_tokens"], body["model"]) for body in paid)
    return sum(estimate_cost(*each) for each in tokens)


def differences(there: httpx2.Client, here: httpx2.Client) -> Iterator[tuple[str, list[str]]]:
    """For each probe its name and what differs between the two answers."""
    for probe in probes():
        told = []
        for client in (there, here):
            answer = client.request(probe.method, probe.path, json=probe.body, headers=probe.headers)
            told.append(_facts(answer))
        yield probe.name, [*_compare(*told)]


def _facts(answer: httpx2.Response) -> dict[str, Any]:
    """What is compared of an answer."""
    facts: dict[str, Any] = {"status": answer.status_code}
    facts |= {f"header {name}": name in answer.headers for name in COMPARED_HEADERS}
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
        facts["events"] = " ".join(name for name, _ in itertools.groupby(n for n in names if n != "ping"))
        return facts
    try:
        body = answer.json()
    except ValueError:
        return facts | {"body": "no JSON"}
    facts["error"] = body.get("error", {}).get("type")
    return facts | dict(_fields(body))


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and type of each field, and the number where tokens are counted."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value[:1]:
            yield from _fields(inner, f"{path}[]")
    else:
        yield path, value if path.endswith("input_tokens") else type(value).__name__


def _compare(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    for name in [*there, *(name for name in here if name not in there)]:
        live, ours = there.get(name, "nothing"), here.get(name, "nothing")
        if isinstance(live, int) and isinstance(ours, int) and name.endswith("input_tokens"):
            if abs(live - ours) > max(live, ours) * COUNTS_MAY_DIFFER:
                yield f"{name}: {live} there, {ours} here"
        elif live != ours:
            yield f"{name}: {live} there, {ours} here"


def client(url: str, key: str) -> httpx2.Client:
    """Raw HTTP to `url`."""
    headers = {"x-api-key": key, "anthropic-version": "2026-10-21"}
    return httpx2.Client(base_url=url, headers=headers, timeout=60)


def main() -> int:
    """1 where something differs, 2 where nothing was sent."""
    print(
        f"This sends {len(probes())} requests to {LIVE} with your key, for {price():.3f} dollars at the most."
    )
    if input("Go on? Type yes: ").strip().lower() not in ("y", "yes"):
        print("Nothing was sent.")
        return 2
    key = os.environ.get("ANTHROPIC_API_KEY") or getpass("Anthropic API key (hidden as you type): ")
    practice, failed = Practice(), 0
    try:
        with client(LIVE, key.strip()) as there, client(practice.url, PRACTICE_KEY) as here:
            for name, found in differences(there, here):
                failed += bool(found)
                print(f"{'DIFFERS' if found else 'ok':8} {name}{': ' if found else ''}{'; '.join(found)}")
    except httpx2.HTTPError as error:
        print(f"No answer ({type(error).__name__}): the rest was not compared.")
        return 1
    finally:
        practice.stop()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
