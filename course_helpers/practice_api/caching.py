"""Prompt caching: which part of a prompt was sent before, and what the usage counters then say.

A prefix is cached up to a block marked with `cache_control` (at most four marks, in the order tools,
system, messages), if it is long enough for the model. Any earlier change makes a different prefix.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..models import Model
from .errors import bad_request
from .requests import Prompt
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

    @property
    def counted_toward_limits(self) -> int:
        """What the input limit counts: all but cache reads."""
        return self.total - self.read


@dataclass(frozen=True)
class _Block:
    data: Any
    tokens: float
    ttl: str | None


def _blocks(prompt: Prompt, model: Model) -> list[_Block]:
    """The blocks of the prompt in cache order, each with its tokens and, where marked, its TTL."""
    placed = [("tool", tool) for tool in prompt.tools] + [("system", block) for block in prompt.system]
    starts = {len(placed)}
    for message in prompt.messages:
        placed += [(message.role, block) for block in message.content]
        starts.add(len(placed))
    plain = [block.model_dump(exclude_none=True) for _, block in placed]
    ttls = [data.get("cache_control", {}).get("ttl") for data in plain]
    if prompt.cache_control:
        cacheable = [
            i for i, data in enumerate(plain) if data.get("type") not in ("thinking", "redacted_thinking")
        ]
        if cacheable:
            ttls[cacheable[-1]] = prompt.cache_control.ttl
    return [
        _Block(
            data=(placed[i][0], {k: v for k, v in data.items() if k != "cache_control"}),
            tokens=block_tokens(data, model)
            + (MESSAGE_OVERHEAD if i in starts and placed[i][0] not in ("tool", "system") else 0),
            ttl=ttls[i],
        )
        for i, data in enumerate(plain)
    ]


def count(prompt: Prompt, model: Model) -> int:
    """The input tokens of `prompt`, whatever is cached."""
    return whole(REQUEST_OVERHEAD + sum(block.tokens for block in _blocks(prompt, model)))


class PromptCache:
    """What this practice API has cached. One for all callers: there is one account here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expiry: OrderedDict[str, tuple[float, float]] = OrderedDict()  # prefix → (expires, lifetime)
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything cached."""
        with self._lock:
            self._expiry.clear()

    def use(
        self, prompt: Prompt, model: Model, admit: Callable[[InputTokens], None] = lambda tokens: None
    ) -> InputTokens:
        """The prompt's tokens by how they are billed; once admitted, its marked prefixes are cached.

        Raises the 400 for a prompt longer than the context window, and whatever `admit` raises.
        """
        blocks = _blocks(prompt, model)
        sizes, total = [], float(REQUEST_OVERHEAD)
        for block in blocks:
            total += block.tokens
            sizes.append(total)
        if whole(total) > model.context_window:
            raise bad_request(f"prompt is too long: {whole(total)} tokens > {model.context_window} maximum")
        marks = [
            i for i, block in enumerate(blocks) if block.ttl and whole(sizes[i]) >= model.min_cacheable_tokens
        ]
        if not marks:
            used = InputTokens(uncached=whole(total))
            admit(used)
            return used
        prefixes = _prefixes(blocks, prompt, model)
        with self._lock:
            hit = self._longest_hit(prefixes, marks)
            read = whole(sizes[hit]) if hit is not None else 0
            written = {"1h": 0, "5m": 0}
            done = read
            for mark in marks:
                ttl = blocks[mark].ttl
                written[ttl] += max(0, whole(sizes[mark]) - done)
                done = max(done, whole(sizes[mark]))
            used = InputTokens(whole(total) - done, written["5m"], written["1h"], read)
            admit(used)
            for mark in marks:
                self._keep(prefixes[mark], TTL_SECONDS[blocks[mark].ttl])
        return used

    def _longest_hit(self, prefixes: list[str], marks: list[int]) -> int | None:
        now = self._clock()
        for mark in reversed(marks):
            for i in range(mark, max(-1, mark - LOOK_BACK), -1):
                expires, lifetime = self._expiry.get(prefixes[i], (0.0, 0.0))
                if expires > now:
                    self._keep(prefixes[i], lifetime)  # a read renews the lifetime
                    return i
        return None

    def _keep(self, prefix: str, lifetime: float) -> None:
        self._expiry[prefix] = (self._clock() + lifetime, lifetime)
        self._expiry.move_to_end(prefix)
        while len(self._expiry) > MAX_ENTRIES:
            self._expiry.popitem(last=False)


def _prefixes(blocks: list[_Block], prompt: Prompt, model: Model) -> list[str]:
    """For each block, the digest of everything up to it. Model, thinking and effort are part of it."""
    settings = [
        model.id,
        prompt.thinking.model_dump() if prompt.thinking else None,
        prompt.output_config.effort if prompt.output_config else None,
        prompt.speed,
    ]
    digest = hashlib.sha256(json.dumps(settings).encode())
    prefixes = []
    for block in blocks:
        digest.update(json.dumps(block.data, sort_keys=True).encode())
        prefixes.append(digest.hexdigest())
    return prefixes
