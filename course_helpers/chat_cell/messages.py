"""What the chat says in words: why there is no reply and what to do, and what a reply cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic

from ..formatting import count, dollars, share
from ..history import StreamInterrupted
from ..history.records import Call, meter
from ..retries import SPEND_CAP, final_cause

if TYPE_CHECKING:
    from ..history import Preview
    from ..retries import Wait

STOPPED = "Stopped. What had come stays here; it is billed, but not part of the conversation."
STOPPED_EARLY = "Stopped before anything came. Nothing is kept; what was sent may still be billed."

CHARGED = {
    "practice": " (practice: nothing is charged)",
    "live": " (live)",
    "local": " (on this machine)",
    "remote": "",
}
"""What stands behind the session's dollars, by where its calls go."""

LONGEST_DETAIL = 300
"""Characters of a server's own words that are shown."""

_UNREACHABLE = "No connection to the server. Check the network (or that the local server runs), then Retry."
_CAPPED = "The spend limit of this account is reached. Waiting does not help: raise it in the console."
_BY_STATUS = {
    400: "The API refused the request.",
    401: 'The API refused the key. Check it and connect again; connect("practice") needs none.',
    402: "The account has no credit left. Add some in the console, then Retry.",
    403: "This key may not do that. Use another key or another model.",
    404: "There is no such model here. Choose another one above, then Retry.",
    408: "The server gave up waiting for the request. Retry.",
    413: "The conversation is too large to send. Clear it, or keep fewer turns.",
    429: "Too many requests or tokens in the last minute. Wait a moment, then Retry.",
    504: "The reply took too long to begin. Retry, or ask for something shorter.",
    529: "The API is overloaded: too many people ask at once. Wait a moment, then Retry.",
}


def explain(error: BaseException) -> str:
    """What `error` means for the reader of a chat and what to do; on a second line, what was tried."""
    words, detail = _explain(error)
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    if detail and detail not in words:
        detail = detail if len(detail) <= LONGEST_DETAIL else f"{detail[:LONGEST_DETAIL]}…"
        words = f"{words} The server said: {detail}"
    return "\n".join(filter(None, [_sentence(words), " ".join(map(_sentence, notes))]))


def _sentence(words: str) -> str:
    """`words` with a full stop, where they have no end of their own."""
    words = words.strip()
    return words if words.endswith((".", "!", "?", "…", ":")) else f"{words}."


def _explain(error: BaseException) -> tuple[str, str]:
    """The course's words on `error`, and the server's."""
    if isinstance(error, StreamInterrupted):
        return f"The reply broke off. {_sentence(str(error))} Nothing was kept: Retry asks again.", ""
    if isinstance(error, anthropic.APITimeoutError):
        return "The server did not answer in time. Check the network, then Retry.", ""
    if isinstance(error, anthropic.APIConnectionError):
        return final_cause(error) or _UNREACHABLE, ""
    if isinstance(error, anthropic.APIStatusError):
        said, status = str(getattr(error, "api_message", None) or error.message), error.status_code
        if getattr(error, "error_code", None) == SPEND_CAP:
            return _CAPPED, said
        if status >= 500:
            words = f"The API failed (status {status}). This is not your mistake. Wait a moment, then Retry."
            return _BY_STATUS.get(status, words), ""
        return _BY_STATUS.get(status, f"The API answered with status {status}."), said
    if isinstance(error, (LookupError, ValueError, RuntimeError, anthropic.APIError)):
        return str(error.args[0] if error.args else error), ""
    return f"Something unexpected went wrong: {type(error).__name__}: {error}", ""


def waiting(wait: Wait) -> str:
    """What is being waited for before a retry, and how long."""
    asked = ", as the server asks" if wait.asked else ""
    again = f"Trying again in {wait.seconds:.1f} s{asked}: retry {wait.attempt} of {wait.max_retries}."
    return f"{wait.reason}. {again}"


def bill(call: Call) -> str:
    """One line on one call: tokens and cost, times, and attempts where there were several."""
    parts = [meter(call), f"{call.seconds:.2f} s in all"]
    if call.first_token_seconds is not None:
        parts.insert(1, f"first piece {call.first_token_seconds:.2f} s")
    if call.attempts > 1:
        parts.append(count(call.attempts, "attempt"))
    named = {"summary": "Summary of older turns: ", "lost": "Not kept: "}.get(call.kind, "")
    if call.kind == "lost" and call.stop_reason is None:  # the server never came to its last count
        named += "at least "
    return named + " · ".join(parts)


def forecast(preview: Preview) -> tuple[str, float | None]:
    """One line on a turn that was not sent yet, and the part of the context window that it would fill."""
    about, window = "≈ " if preview.estimated else "", preview.window
    parts = [f"{about}{count(preview.input_tokens, 'token')} in"]
    parts.append(f"{dollars(preview.least_usd)} at least, {dollars(preview.most_usd)} at most")
    if window:
        parts.append(f"context window {share(preview.input_tokens, window)} full")
    return f"This turn: {' · '.join(parts)}", preview.input_tokens / window if window else None
