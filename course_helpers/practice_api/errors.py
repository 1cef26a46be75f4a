"""Errors in the API's own shape: status, type, message, and a request id in body and header."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    501: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Every status the practice API can answer with, besides 200."""


class ApiError(Exception):
    """An answer other than 200: raised anywhere in the practice API, sent by the routes."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_code: str | None = None,
        headers: dict[str, str] | None = None,
        raw_body: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_code = error_code
        self.headers = headers or {}
        self.raw_body = raw_body
        """Sent instead of JSON, as a gateway in front of the API would."""

    def body(self, request_id: str) -> dict[str, Any]:
        """The error body."""
        error: dict[str, Any] = {"type": ERROR_TYPES[self.status], "message": self.message}
        if self.error_code:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}

    def response(self, request_id: str, headers: dict[str, str]) -> JSONResponse:
        """The whole answer, with `headers` besides its own."""
        headers = {**headers, **self.headers}
        if self.raw_body is not None:
            response = JSONResponse(None, status_code=self.status, headers=headers)
            response.body = self.raw_body.encode()
            response.headers["content-length"] = str(len(response.body))
            response.headers["content-type"] = "text/html"
            return response
        return JSONResponse(self.body(request_id), status_code=self.status, headers=headers)


def bad_request(message: str) -> ApiError:
    """A 400: the request itself must be mended."""
    return ApiError(400, message)
