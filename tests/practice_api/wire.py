"""Raw HTTP to the practice API, and the requests that the tests send."""

from __future__ import annotations

from typing import Any

import httpx2

from course_helpers.models import ALIASES, available
from course_helpers.practice_api import PRACTICE_KEY

# Chosen by property: a model that retires takes no test with it.
HAIKU, SONNET, OPUS = (ALIASES[line] for line in ("haiku", "sonnet", "opus"))
ALL_4 = tuple(model.id for model in available() if model.prefill)
ALL_5 = tuple(model.id for model in available() if not model.prefill)
HAIKU_4 = next(model.id for model in available() if model.prefill and model.effort is None)
OLD, NEW = "2023-06-01", "2026-10-21"
KEY = {"x-api-key": PRACTICE_KEY}
MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather of a city on a day.", "input_schema": CITY}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "19 °C"}


def user(content: Any = "What is the capital of France?") -> dict[str, Any]:
    """A user turn."""
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    """An assistant turn."""
    return {"role": "assistant", "content": content}


def text(words: str, **fields: Any) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words, **fields}


def body(**fields: Any) -> dict[str, Any]:
    """A request for a message; fields given as None are left out."""
    given = {"model": HAIKU, "max_tokens": 500, "messages": [user()]} | fields
    return {name: value for name, value in given.items() if value is not None}


def form(schema: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """What asks for a reply to `schema`, or with these `properties`."""
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "output_config": {"format": {"type": "json_schema", "schema": closed if schema is None else schema}}
    }


class Wire:
    """Raw HTTP to a practice API."""

    def __init__(self, url: str, transport: httpx2.BaseTransport | None = None) -> None:
        self.http = httpx2.Client(base_url=url, transport=transport, trust_env=False, timeout=30)

    def post(self, *, path: str = "/v1/messages", version: str | None = NEW, headers=KEY, **fields: Any):
        """The answer to a request for a message."""
        return self.send(path, body(**fields), version=version, headers=headers)

    def count(self, **fields: Any):
        """The answer to a request to count tokens."""
        return self.post(path="/v1/messages/count_tokens", **{"max_tokens": None} | fields)

    def send(self, path: str, data: Any, *, version: str | None = NEW, headers=KEY):
        """The answer to `data` as JSON."""
        versioned = dict(headers) | ({"anthropic-version": version} if version is not None else {})
        return self.http.post(path, json=data, headers=versioned)

    def get(self, path: str, **query: Any):
        """The answer to a GET."""
        return self.http.get(path, params=query, headers=KEY | {"anthropic-version": NEW})

    def ok(self, **fields: Any) -> dict[str, Any]:
        """The message that answers; fails where there is none."""
        answer = self.post(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int = 400, **fields: Any) -> str:
        """What the error says; fails unless it has `status` and the API's shape."""
        return error_message(self.post(**fields), status)


def error_message(answer: httpx2.Response, status: int = 400) -> str:
    """The message of an error in the API's shape, with one request id in body and header."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told.keys() == {"type", "error", "request_id"}
    assert told["type"] == "error"
    assert told["error"].keys() - {"details"} == {"type", "message"}
    assert told["request_id"] == answer.headers["request-id"]
    return told["error"]["message"]
