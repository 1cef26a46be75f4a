"""The endpoints: read, check, answer. A Starlette application."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from datetime import date
from typing import Any

from anthropic import types
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ..models import MODELS, Model
from . import PRACTICE_KEY, generate, rules
from .caching import PromptCache, count
from .errors import ApiError, require
from .faults import Breakage, Failure, Faults, Pace
from .journal import Exchange, Journal, safe_headers
from .responses import Dropped, EventStream, JSONAnswer
from .schemas import CreateMessage, Prompt, parse, read_json

MAX_BODY = 32 * 1024 * 1024
MAX_DRAINED = 8 * MAX_BODY
BODY_TIMEOUT = 30.0
"""Seconds that a client may take to send its body."""


class Api:
    """The practice API's state and its endpoints; `app` is the ASGI application."""

    def __init__(self) -> None:
        self.faults, self.journal = Faults(), Journal()
        self.keys = {PRACTICE_KEY}
        self.on_request: Callable[[Exchange], None] | None = None
        """Told of each request before the faults that it meets are looked up."""
        self.reset()
        endpoints = [
            ("/v1/messages", self._create, "POST"),
            ("/v1/messages/count_tokens", self._count, "POST"),
            ("/v1/models", self._models, "GET"),
            ("/v1/models/{model_id}", self._model, "GET"),
        ]
        self.app = Starlette(
            routes=[Route(path, self._answering(end), methods=[method]) for path, end, method in endpoints],
            exception_handlers={HTTPException: self._answering(None)},
        )
        self.app.router.redirect_slashes = False

    def reset(self) -> None:
        """As new: no faults, nothing cached, an empty journal."""
        self.faults.reset()
        self.journal.clear()
        self.cache, self._numbers = PromptCache(), itertools.count(1)

    def _answering(self, endpoint):
        """`endpoint` with what all requests share: id, journal, key, version, faults, errors."""

        async def answer(request: Request, unknown: HTTPException | None = None) -> Response:
            exchange = self._open(request)
            try:
                try:
                    exchange.raw = await _read_body(request)
                finally:
                    self.journal.add(exchange)
                if self.on_request is not None:
                    self.on_request(exchange)
                if unknown is not None:
                    said = f"{request.method} {exchange.path[:200]}: {unknown.detail}"
                    raise ApiError(unknown.status_code, said)
                return await self._checked(endpoint, request, exchange)
            except ApiError as error:
                return self._refuse(exchange, error)
            except ClientDisconnect:
                return Response()  # nobody is there to read it

        return answer

    async def _checked(self, endpoint, request: Request, exchange: Exchange) -> Response:
        _check_key(request, self.keys)
        versions = request.headers.getlist("anthropic-version")
        require(versions, "anthropic-version: header is required")
        version = rules.check_version(", ".join(versions))
        data = read_json(exchange.raw) if request.method == "POST" else None
        fault = self.faults.take_failure()
        if isinstance(fault, Failure):
            raise fault.error()
        if isinstance(fault, Breakage):
            return Dropped()
        return await endpoint(request, exchange, version, data)

    def _open(self, request: Request) -> Exchange:
        """A new line for the journal. The path is read raw: a hostile Host header must not get in the way."""
        number = next(self._numbers)
        query = request.scope["query_string"].decode("latin-1")
        return Exchange(
            number=number,
            method=request.method,
            path=(request.scope["path"] + (f"?{query}" if query else ""))[:2_000],
            headers=safe_headers(request.headers),
            request_id=f"req_practice_{hashlib.sha256(f'request {number}'.encode()).hexdigest()[:16]}",
        )

    def _headers(self, exchange: Exchange) -> dict[str, str]:
        return {
            "request-id": exchange.request_id,
            "anthropic-organization-id": "practice-organization",
            "anthropic-workspace-id": "practice-workspace",
            **self.faults.limits.headers(),
        }

    def _refuse(self, exchange: Exchange, error: ApiError) -> Response:
        exchange.status = error.status
        if error.page is not None:  # a gateway's: the API itself never saw the request
            return Response(error.page, error.status, error.headers, "text/html")
        exchange.reply = error.body(exchange.request_id)
        return JSONAnswer(exchange.reply, error.status, self._headers(exchange) | error.headers)

    def _send(self, exchange: Exchange, reply: dict[str, Any]) -> Response:
        exchange.status, exchange.reply = 200, reply
        return JSONAnswer(reply, 200, self._headers(exchange))

    def _model_of(self, wanted: Prompt) -> Model:
        """The model that answers `wanted`. Raises a 404."""
        model = rules.served_model(wanted.model)
        if self.faults.retired(wanted.model):
            raise ApiError(404, f"model: {wanted.model}")
        return model

    async def _create(self, request: Request, exchange: Exchange, version: str, data: dict) -> Response:
        wanted = parse(CreateMessage, data)
        model = self._model_of(wanted)
        rules.check_prompt(wanted, model, version)
        rules.check_create(wanted, model, version)
        limits = self.faults.limits
        used = self.cache.use(wanted, model, limits.admit)
        turns = rules.merge_turns(wanted.messages)
        message = generate.reply(wanted, turns, model, used, self.faults.value("shape"))
        produced = message["usage"]["output_tokens"]
        limits.charge_output(produced)
        fault, pace = self.faults.take("break_stream"), self.faults.value("pace") or Pace()
        if wanted.stream:
            return EventStream(message, exchange, self._headers(exchange), pace, fault)
        if fault is not None:
            await asyncio.sleep(fault.seconds if fault.kind == "stall" else 0)
            return Dropped()
        await asyncio.sleep(pace.first_token_seconds + pace.duration(produced))
        return self._send(exchange, message)

    async def _count(self, request: Request, exchange: Exchange, version: str, data: dict) -> Response:
        wanted = parse(Prompt, data)
        model = self._model_of(wanted)
        rules.check_prompt(wanted, model, version)
        return self._send(exchange, {"input_tokens": count(wanted, model)})

    async def _models(self, request: Request, exchange: Exchange, version: str, data: None) -> Response:
        query = request.query_params
        states = query.getlist("lifecycle") + query.getlist("lifecycle[]") or ["active", "deprecated"]
        require({*states} <= {"active", "deprecated", "retired"}, "lifecycle: active, deprecated or retired")
        limit = query.get("limit", "20")
        number = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 5 else 0
        require(1 <= number <= 1000, "limit: Input should be a whole number from 1 to 1000")
        found = [_model_info(model) for model in MODELS.values() if model.lifecycle in states]
        ids = [info["id"] for info in found]
        for cursor in ("after_id", "before_id"):
            require(query.get(cursor) in [None, *ids], f"{cursor}: no model of this list has this id")
        start = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
        end = ids.index(query["before_id"]) if "before_id" in query else len(ids)
        page = found[start:end][-number:] if "before_id" in query else found[start:end][:number]
        ends = (
            {"first_id": page[0]["id"], "last_id": page[-1]["id"]}
            if page
            else {"first_id": None, "last_id": None}
        )
        return self._send(exchange, {"data": page, "has_more": end - start > len(page), **ends})

    async def _model(self, request: Request, exchange: Exchange, version: str, data: None) -> Response:
        name = request.path_params["model_id"]
        return self._send(exchange, _model_info(MODELS.get(name) or rules.served_model(name)))


async def _read_body(request: Request) -> bytes:
    """The request body. Raises 413 for a large one once it has come: clients read no answer before."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_DRAINED:
                    break
                if size <= MAX_BODY:
                    chunks.append(chunk)
    except TimeoutError:
        raise ApiError(
            408, "The request body did not arrive in time.", headers={"connection": "close"}
        ) from None
    if size > MAX_BODY:
        raise ApiError(413)
    return b"".join(chunks)


def _check_key(request: Request, keys: set[str]) -> None:
    """Raise a 401 unless a header holds one of the keys. A wrong key is not looked at again."""
    key = request.headers.get("x-api-key")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not key and not scheme:
        raise ApiError(401, "x-api-key header is required")
    if key and key not in keys:
        raise ApiError(401, "invalid x-api-key")
    if not key and (scheme.lower() != "bearer" or token.strip() not in keys):
        raise ApiError(401, "invalid bearer token")


def _model_info(model: Model) -> dict[str, Any]:
    info = {
        "type": "model",
        "id": model.snapshot or model.id,
        "display_name": model.name,
        "created_at": _midnight(model.released),
        "line": model.line,
        "lifecycle": model.lifecycle,
        "deprecated_at": _midnight(model.deprecated),
        "retires_at": _midnight(model.retires),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output,
        "capabilities": None,
    }
    types.ModelInfo.model_validate(info)
    return info


def _midnight(day: date | None) -> str | None:
    return day and f"{day}T00:00:00Z"
