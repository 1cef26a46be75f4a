"""Prompt caching: which part of a prompt was sent before, and what the usage counters then say.

A prefix is cached up to a block marked with `cache_control` (at most four marks, in the order tools,
system, messages), if it is long enough for the model. Any earlier change makes a different prefix.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic_core

from ..models import Model
from .errors import require
from .schemas import Prompt
from .tokens import MESSAGE_OVERHEAD, REQUEST_OVERHEAD, block_tokens, whole

LOOK_BACK = 20
TTL_SECONDS = {"5m": 300.0, "1h": 3600.0}
MAX_ENTRIES = 4_096


@dataclass(frozen=True)
class InputTokens:
    """The tokens of a prompt as the API reports them; their sum is the whole prompt."""

    uncached: int
    written_5m: int = 0
    written_1h: int = 0
    read: int = 0

    @property
    def total(self) -> int:
        return self.uncached + self.written_5m + self.written_1h + self.read


class _Block(NamedTuple):
    data: dict[str, Any]
    ttl: str | None
    end: float
    """The tokens of the prompt up to the end of this block."""


def _blocks(prompt: Prompt, model: Model) -> list[_Block]:
    """The blocks of `prompt` in cache order."""
    placed = [("tool", [tool]) for tool in prompt.tools] + [("system", prompt.system)]
    placed += [(message.role, message.content) for message in prompt.messages]
    blocks, end = [], float(REQUEST_OVERHEAD)
    for number, (place, contents) in enumerate(placed):
        end += MESSAGE_OVERHEAD if number > len(prompt.tools) else 0
        for block in contents:
            data = block.model_dump(exclude_none=True)
            ttl = data.pop("cache_control", {}).get("ttl")
            end += block_tokens(data, model)
            blocks.append(_Block({"place": place, **data}, ttl, end))
    if prompt.cache_control:  # marks the last block that may be marked, if there is one
        for last in [i for i, b in enumerate(blocks) if "thinking" not in b.data.get("type", "")][-1:]:
            blocks[last] = blocks[last]._replace(ttl=prompt.cache_control.ttl)
    return blocks


def count(prompt: Prompt, model: Model) -> int:
    """The input tokens of `prompt`, whatever is cached."""
    return whole(_blocks(prompt, model)[-1].end)


def marked_tokens(prompt: Prompt, model: Model) -> int:
    """The tokens of the longest prefix of `prompt` that is marked for the cache and long enough for it."""
    marked = (whole(block.end) for block in _blocks(prompt, model) if block.ttl)
    return max((size for size in marked if size >= model.min_cacheable_tokens), default=0)


class PromptCache:
    """What this practice API has cached. One for all callers: there is one account here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, float]] = OrderedDict()  # prefix → lifetime, expiry

    def use(
        self, prompt: Prompt, model: Model, admit: Callable[[InputTokens], None] = lambda tokens: None
    ) -> InputTokens:
        """The prompt's tokens by how they are billed; once admitted, its marked prefixes are cached.

        Raises the 400 for a prompt longer than the context window, and whatever `admit` raises.
        """
        blocks = _blocks(prompt, model)
        total, window = whole(blocks[-1].end), model.context_window
        require(total <= window, f"prompt is too long: {total} tokens > {window} maximum")
        sizes = [whole(block.end) for block in blocks]
        marks = [i for i, block in enumerate(blocks) if block.ttl and sizes[i] >= model.min_cacheable_tokens]
        prefixes = _prefixes(blocks, prompt, model) if marks else []
        hit = self._longest_hit(prefixes, marks)
        done = read = 0 if hit is None else sizes[hit]
        written = {"5m": 0, "1h": 0}
        for mark in marks:
            written[blocks[mark].ttl] += max(0, sizes[mark] - done)
            done = max(done, sizes[mark])
        used = InputTokens(total - done, written["5m"], written["1h"], read)
        admit(used)
        if hit is not None:
            self._keep(prefixes[hit], 0)
        for mark in marks:
            self._keep(prefixes[mark], TTL_SECONDS[blocks[mark].ttl])
        return used

    def _longest_hit(self, prefixes: list[str], marks: list[int]) -> int | None:
        """The last block that is cached, seen from the last mark back to 20 blocks before each."""
        now = self._clock()
        for mark in reversed(marks):
            for i in range(mark, max(-1, mark - LOOK_BACK), -1):
                if self._entries.get(prefixes[i], (0, 0))[1] > now:
                    return i
        return None

    def _keep(self, prefix: str, lifetime: float) -> None:
        """Write `prefix`, or renew it: what lives for an hour is not shortened by a read."""
        now = self._clock()
        lived, expiry = self._entries.pop(prefix, (0, 0))
        lifetime = max(lifetime, lived if expiry > now else 0)
        self._entries[prefix] = (lifetime, now + lifetime)
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)


def _prefixes(blocks: list[_Block], prompt: Prompt, model: Model) -> list[str]:
    """For each block, the digest of everything up to it. Model, thinking and effort are part of it."""
    settings = [model.id, prompt.thinking, prompt.output_config and prompt.output_config.effort, prompt.speed]
    digest = hashlib.sha256(pydantic_core.to_json(settings))
    prefixes = []
    for block in blocks:
        digest.update(pydantic_core.to_json(block.data))
        prefixes.append(digest.hexdigest())
    return prefixes
