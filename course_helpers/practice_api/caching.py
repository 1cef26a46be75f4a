"""Prompt caching: which part of a prompt was sent before, and why it was missed.

A prefix, in the order tools, system, messages, is cached up to each block that is marked with
`cache_control`, if it is long enough for the model. Any earlier change makes a different prefix.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pydantic_core

from ..models import Model
from .journal import CacheMiss, Exchange, Journal
from .schemas import CreateMessage, Object, Prompt, parse, require
from .tokens import MESSAGE_OVERHEAD, REQUEST_OVERHEAD, block_tokens, whole

LOOK_BACK = 20
TTL_SECONDS = {"5m": 300.0, "1h": 3600.0}
MAX_ENTRIES = 4_096
# The fields whose change the API names as the reason of a miss, in its order; and those it does not name.
NAMED = ("model", "speed", "system", "tools", "messages")
UNNAMED = ("thinking", "tool_choice", "output_config")


class _Block(NamedTuple):
    prefix: bytes  # digest of the prompt up to the end of this block
    end: int  # its tokens up to there
    ttl: str | None


def _blocks(prompt: Prompt, model: Model) -> list[_Block]:
    """The blocks of `prompt` in cache order. Model, thinking and effort are part of a prefix."""
    placed = [("tool", [tool]) for tool in prompt.tools] + [("system", prompt.system)]
    placed += [(message.role, message.content) for message in prompt.messages]
    settings = [model.id, prompt.thinking, prompt.output_config and prompt.output_config.effort, prompt.speed]
    digest = hashlib.sha256(pydantic_core.to_json(settings))
    blocks, end, last = [], float(REQUEST_OVERHEAD), None
    for number, (place, contents) in enumerate(placed):
        end += MESSAGE_OVERHEAD if number > len(prompt.tools) else 0
        for block in contents:
            data = block.model_dump(exclude_none=True)
            ttl = data.pop("cache_control", {}).get("ttl")
            last = last if "thinking" in data.get("type", "") else len(blocks)
            end += block_tokens(data, model)
            digest.update(pydantic_core.to_json([place, data]))
            blocks.append(_Block(digest.digest(), whole(end), ttl))
    if prompt.cache_control and last is not None:  # marks the last block that may be marked
        blocks[last] = blocks[last]._replace(ttl=prompt.cache_control.ttl)
    return blocks


def count(prompt: Prompt, model: Model) -> int:
    """The input tokens of `prompt`, whatever is cached."""
    return _blocks(prompt, model)[-1].end


class PromptCache:
    """What this practice API has cached. One for all callers: there is one account here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[bytes, tuple[float, float]] = {}  # prefix → lifetime, expiry; the last used last

    def use(self, prompt: Prompt, model: Model, admit: Callable[[int], None]) -> Object:
        """The prompt's part of the usage; once `admit` lets in what was not read, its marks are cached.

        Raises the 400 for a prompt longer than the context window, and whatever `admit` raises.
        """
        blocks, now = _blocks(prompt, model), self._clock()
        total, window = blocks[-1].end, model.context_window
        require(total <= window, f"prompt is too long: {total} tokens > {window} maximum")
        marks = [i for i, block in enumerate(blocks) if block.ttl and block.end >= model.min_cacheable_tokens]
        seen = (blocks[i] for mark in marks[::-1] for i in range(mark, max(-1, mark - LOOK_BACK), -1))
        hit = next((block for block in seen if self._entries.get(block.prefix, (0, 0))[1] > now), None)
        read = done = hit.end if hit else 0
        written, marked = dict.fromkeys(TTL_SECONDS, 0), [blocks[i] for i in marks]
        for block in marked:
            written[block.ttl] += max(0, block.end - done)
            done = max(done, block.end)
        admit(total - read)
        lifetimes = {hit.prefix: 0.0} if hit else {}
        lifetimes |= {block.prefix: TTL_SECONDS[block.ttl] for block in marked}
        for prefix, lifetime in lifetimes.items():  # written, or renewed for as long as it lived before
            lived, expiry = self._entries.pop(prefix, (0, 0))
            lifetime = max(lifetime, lived if expiry > now else 0)
            self._entries[prefix] = (lifetime, now + lifetime)
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        return {
            "input_tokens": total - done,
            "cache_creation_input_tokens": sum(written.values()),
            "cache_read_input_tokens": read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": tokens for ttl, tokens in written.items()},
        }


def diagnose(exchange: Exchange, data: Object, usage: Object, journal: Journal) -> CacheMiss | None:
    """Why `exchange`, whose JSON and usage these are, read less than was cached; None where nothing diverged.

    It is compared with the exchange whose message it names or, if it has a cache and does not ask, the last.
    """
    asked = data.get("diagnostics")
    wanted = asked and asked.get("previous_message_id")
    if not wanted and (asked or b"cache_control" not in exchange.raw):
        return None
    start = f'{{"id":"{wanted}","type":"message"'.encode() if wanted else b'{"id":"msg_'
    others = (each for each in journal[::-1] if each is not exchange)
    before = next((each for each in others if each.answered.startswith(start)), None)
    if before is None:
        return CacheMiss("previous_message_not_found") if wanted else None
    was, now = _prompt_of(before.body), _prompt_of(data)
    now["messages"] = now["messages"][: len(was["messages"])]
    field = next((field for field in (*NAMED, *UNNAMED) if was.get(field) != now.get(field)), None)
    if field is None:
        return None
    reason = "unavailable" if field in UNNAMED else f"{field.replace('speed', 'model')}_changed"
    cached = sum(before.reply["usage"][f"cache_{done}_input_tokens"] for done in ("creation", "read"))
    missed = max(0, cached - usage["cache_read_input_tokens"])
    return CacheMiss(reason, *_difference(was.get(field), now.get(field), field), missed)


def _prompt_of(data: Object) -> Object:
    """The fields of a request that are part of what is cached, in their full form, without cache marks."""
    text = parse(CreateMessage, data).model_dump_json(include={*NAMED, *UNNAMED}, exclude_none=True)
    return json.loads(text, object_hook=lambda fields: {k: fields[k] for k in fields if k != "cache_control"})


def _difference(was: Any, now: Any, path: str) -> tuple[str, str, str]:
    """Where two values first differ: the path to it, and the words there in each."""
    if type(was) is type(now) in (dict, list):
        was, now = (dict(each if isinstance(each, dict) else enumerate(each)) for each in (was, now))
        key = next(key for key in was | now if was.get(key) != now.get(key))
        return _difference(was.get(key), now.get(key), f"{path}.{key}")
    texts = [each.split() if isinstance(each, str) else [str(each or "nothing")] for each in (was, now)]
    pairs = enumerate(zip(*texts, strict=False))
    at = next((i for i, (one, other) in pairs if one != other), min(map(len, texts)))
    return path, *(" ".join(words[max(0, at - 3) : at + 4])[:80] for words in texts)
