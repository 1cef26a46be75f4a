"""Cache diagnosis: why a prompt could not be read from the cache, and where it first differs."""

from __future__ import annotations

import re
from typing import Any

from .caching import marked_tokens
from .errors import ApiError
from .journal import CacheMiss, Exchange, Journal
from .rules import served_model
from .schemas import CreateMessage, parse

REASONS = {
    "model": "model_changed",
    "speed": "model_changed",
    "system": "system_changed",
    "tools": "tools_changed",
}
_OTHERS = ("thinking", "tool_choice", "output_config")
"""They are part of what is cached too, but the API names none of them."""


def previous_exchange(journal: Journal, exchange: Exchange, data: dict[str, Any]) -> Exchange | str | None:
    """The exchange to compare a request with: the one it names (its id where there is none), else the last.

    None where there is nothing to compare with, or no cache is used and nothing was asked.
    """
    asked = data.get("diagnostics")
    wanted = asked.get("previous_message_id") if isinstance(asked, dict) else None
    if not wanted and (asked or b"cache_control" not in exchange.raw):
        return None
    start = f'{{"id":"{wanted}","type":"message"' if wanted else '{"id":"msg_'
    for earlier in reversed(journal[:]):
        if earlier is not exchange and earlier.answered.startswith(start.encode()):
            return earlier
    return wanted


def diagnose(data: dict[str, Any], before: Exchange | str | None, usage: dict[str, Any]) -> CacheMiss | None:
    """Why what was cached by the exchange `before` was not all read again; None where nothing diverged."""
    if before is None:
        return None
    if isinstance(before, str):
        return CacheMiss("previous_message_not_found")
    try:
        old = parse(CreateMessage, before.body)
        old_model = served_model(old.model)
    except ApiError:
        return CacheMiss("unavailable")
    was, now = (_plain(parse(CreateMessage, each)) for each in (before.body, data))
    missed = max(0, marked_tokens(old, old_model) - usage["cache_read_input_tokens"])
    for field, reason in REASONS.items():
        if was.get(field) != now.get(field):
            return CacheMiss(reason, *_difference(was.get(field), now.get(field), field), missed)
    sent = now["messages"][: len(was["messages"])]
    if was["messages"] != sent:
        return CacheMiss("messages_changed", *_difference(was["messages"], sent, "messages"), missed)
    return CacheMiss("unavailable") if any(was.get(field) != now.get(field) for field in _OTHERS) else None


def _plain(request: CreateMessage) -> dict[str, Any]:
    """The parts of `request` that make up its prompt, as plain data without cache marks."""
    return _unmarked(request.model_dump(include={*REASONS, "messages", *_OTHERS}, exclude_none=False))


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _unmarked(inner)
            for key, inner in value.items()
            if key != "cache_control" and inner is not None
        }
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value


def _difference(was: Any, now: Any, path: str) -> tuple[str, str, str]:
    """Where two values first differ: the path to it, and the words there in each."""
    if isinstance(was, dict) and isinstance(now, dict):
        key = next(key for key in [*was, *now] if was.get(key) != now.get(key))
        return _difference(was.get(key), now.get(key), f"{path}.{key}")
    if isinstance(was, list) and isinstance(now, list):
        at = next(
            (i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now))
        )
        return _difference(*((each[at] if at < len(each) else None) for each in (was, now)), f"{path}.{at}")
    if isinstance(was, str) and isinstance(now, str):
        same = next(
            (i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now))
        )
        return path, _around(was, same), _around(now, same)
    return path, *("nothing" if each is None else str(each)[:80] for each in (was, now))


def _around(text: str, at: int) -> str:
    """Some words of `text` before and after the place `at`."""
    before = re.search(r"(?:\S+\s+){0,3}\S*$", text[max(0, at - 60) : at])[0]
    return (before + re.match(r"\S*(?:\s+\S+){0,3}", text[at : at + 60])[0]).strip()
