"""Errors in the API's own shape: status, type, message, and a request id in body and header."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Headers = list[tuple[bytes, bytes]]  # as ASGI has them
STATUSES = {
    400: ("invalid_request_error", "The practice API was told to refuse this request."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "The requested resource could not be found."),
    405: ("invalid_request_error", "Method not allowed"),
    408: ("invalid_request_error", "The request timed out."),
    409: ("conflict_error", "The resource was changed by another request."),
    413: ("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    422: ("invalid_request_error", "The request could not be processed."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    501: ("api_error", "Not implemented"),
    502: ("api_error", "Bad gateway"),
    503: ("api_error", "Service unavailable"),
    504: ("timeout_error", "The request took too long: use streaming for long requests."),
    529: ("overloaded_error", "Overloaded"),
}
"""Every status the practice API can answer with, besides 200: its error type and its usual message."""


class Dropped(Exception):
    """Raised where the connection drops without a word."""


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than 200: raised anywhere in the practice API, sent by the application."""

    status: int
    message: str | None = None
    error_code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> dict[str, Any]:
        """The error as the API sends it."""
        kind, usual = STATUSES[self.status]
        error: dict[str, Any] = {"type": kind, "message": (self.message or usual)[:1_000]}  # it may quote
        if self.error_code:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}


def require(truth: object, message: str) -> None:
    """Raise a 400 with `message` unless `truth`: the request itself must be mended."""
    if not truth:
        raise ApiError(400, message)
