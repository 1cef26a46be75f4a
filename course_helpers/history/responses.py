"""Reading one reply, whole or piece by piece, so that nothing that breaks on the way goes unnoticed.

The SDK passes on a broken stream as it finds it: `httpx2` errors, JSON errors, an `APIStatusError` with
status 200, or no error at all where a stream just ends. Here each of these is a `StreamInterrupted`.
"""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2

from ..client import reply_text
from ..wire import Need, Steps
from .records import Tokens


class StreamInterrupted(anthropic.APIConnectionError):
    """The reply broke off before it was complete. `partial` is the text that had come."""

    def __init__(self, message: str, *, request: httpx2.Request, partial: str = "", final: bool = False):
        super().__init__(message=message, request=request)
        self.partial, self.final = partial, final  # final: another try would surely fail too


class Reading:
    """What has come of one reply so far. Blocks are told apart by type, never by position."""

    def __init__(self) -> None:
        self.text = ""  # so far
        self.tokens: Tokens | None = None  # as last reported, if they were
        self._usage: dict[str, Any] = {}
        self.stop_reason: str | None = None
        self.explanation: str | None = None  # the API's own words on a refusal
        self.complete = False
        self.response: httpx2.Response | None = None  # the 200 that opened a stream

    def take(self, message: Any) -> None:
        """Read a whole `message`; raises AttributeError, TypeError or ValueError where it is none."""
        self.text = reply_text(message)
        self._stopped(message)
        self._count(message.usage)

    def piece(self, events: Any) -> Steps[str]:
        """The next piece of text of a stream; "" at the end of one that came whole."""
        error = None
        try:
            while (event := (yield Need("event", events))) is not None:
                if piece := self._feed(event):
                    self.text += piece  # a TypeError where it is no text
                    return piece
        except Exception as failure:
            error = failure
        if not self.complete:  # of which the SDK says nothing, where there was no error
            raise self._interrupted(error) from error
        return ""

    def _feed(self, event: Any) -> str:
        """Take one event of a stream; the text that it brings, if any."""
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start" if event.content_block.type == "text":
                return event.content_block.text
            case "content_block_delta" if event.delta.type == "text_delta":
                return event.delta.text
            case "message_delta":
                self._stopped(event.delta)
                if self.tokens is not None:
                    self._count(event.usage)
            case "message_stop":
                self.complete = self.tokens is not None and self.stop_reason is not None
        return ""

    def _stopped(self, source: Any) -> None:
        self.stop_reason = source.stop_reason or self.stop_reason
        self.explanation = getattr(getattr(source, "stop_details", None), "explanation", None)

    def _count(self, usage: Any) -> None:
        """Take the counts of `usage`, which are totals so far; what it leaves out stays as it was."""
        self._usage |= {name: value for name, value in usage or () if value is not None}
        self.tokens = Tokens.of(self._usage)

    def _interrupted(self, error: Exception | None) -> StreamInterrupted:
        """What to raise where a stream did not come whole, for itself or because of `error`."""
        final, kind = False, self.response.headers.get("content-type", "no content type")
        if isinstance(error, anthropic.APIStatusError):
            kind, said = str(error.type or "an error"), getattr(error, "api_message", None) or error.message
            why = f"The server reported {kind}: {str(said)[:300]}"
        elif isinstance(error, httpx2.TimeoutException):
            why = "Nothing came for longer than the read timeout."
        elif isinstance(error, httpx2.HTTPError):
            why = "The connection closed before the reply was complete."
        elif "text/event-stream" not in kind and self.tokens is None:
            why, final = f"The server answered 200 with {kind}, which is no stream: a proxy's page?", True
        elif error is not None:
            why = f"The server sent something that is no part of a reply ({type(error).__name__})."
        else:
            missing = "message_stop" if self.stop_reason else "stop reason"
            why = f"The stream ended before the reply was complete (no {missing})."
        return StreamInterrupted(why, request=self.response.request, partial=self.text, final=final)
