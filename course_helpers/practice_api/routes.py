"""The endpoints: read, check, answer. A Starlette application."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from datetime import UTC, date, datetime, time
from typing import Any

from anthropic import types
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..models import MODELS, Model
from . import respond, rules
from .answers import Dropped, EventStream
from .caching import PromptCache, count
from .errors import ApiError, bad_request
from .faults import Break, Faults, Pace
from .journal import Exchange, Journal, safe_headers
from .requests import CountTokens, CreateMessage, parse, read_json

PRACTICE_KEY = "practice"
"""The one key that the practice API takes."""
MAX_BODY = 32 * 1024 * 1024
MAX_DRAINED = 8 * MAX_BODY
BODY_TIMEOUT = 30.0
"""Seconds that a client may take to send its body."""


class Api:
    """The practice API's state and its endpoints; `app` is the ASGI application."""

    def __init__(self) -> None:
        self.faults, self.journal, self.cache = Faults(), Journal(), PromptCache()
        self._numbers = itertools.count(1)
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

    def reset(self) -> None:
        """As new: no faults, nothing cached, an empty journal."""
        self.faults.reset()
        self.cache.clear()
        self.journal.clear()
        self._numbers = itertools.count(1)

    def _answering(self, endpoint):
        """`endpoint` with what all requests share: id, journal, key, version, faults, errors."""

        async def answer(request: Request, error: HTTPException | None = None) -> Response:
            exchange = self._open(request)
            try:
                if error is not None:
                    raise ApiError(
                        error.status_code, f"{request.method} {exchange.path[:200]}: {error.detail}"
                    )
                return await self._checked(endpoint, request, exchange)
            except ApiError as problem:
                exchange.status = problem.status
                exchange.reply = None if problem.raw_body else problem.body(exchange.request_id)
                return problem.response(exchange.request_id, self._headers(exchange))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it

        return answer

    async def _checked(self, endpoint, request: Request, exchange: Exchange) -> Response:
        body = await _read_body(request)
        exchange.size = len(body)
        _check_key(request)
        version = rules.check_version(request.headers.get("anthropic-version"))
        if request.method == "POST":
            exchange.body = read_json(body)
        fault = self.faults.take_failure()
        if isinstance(fault, ApiError):
            raise fault
        if isinstance(fault, Break):
            return Dropped()
        return await endpoint(request, exchange, version)

    def _open(self, request: Request) -> Exchange:
        """A new line in the journal. The path is read raw: a hostile Host header must not get in the way."""
        number = next(self._numbers)
        query = request.scope["query_string"].decode("latin-1")
        exchange = Exchange(
            number=number,
            method=request.method,
            path=(request.scope["path"] + (f"?{query}" if query else ""))[:2_000],
            headers=safe_headers(request.headers),
            request_id=f"req_practice_{hashlib.sha256(f'request {number}'.encode()).hexdigest()[:16]}",
        )
        self.journal.add(exchange)
        return exchange

    def _headers(self, exchange: Exchange) -> dict[str, str]:
        return {
            "request-id": exchange.request_id,
            "anthropic-organization-id": "practice-organization",
            **self.faults.limits.headers(),
        }

    def _send(self, exchange: Exchange, reply: dict[str, Any]) -> Response:
        exchange.status, exchange.reply = 200, reply
        return JSONResponse(reply, headers=self._headers(exchange))

    async def _create(self, request: Request, exchange: Exchange, version: str) -> Response:
        wanted = parse(CreateMessage, exchange.body)
        model = rules.served_model(wanted.model)
        rules.check_prompt(wanted, model, version)
        rules.check_create(wanted, model, version)
        limits = self.faults.limits
        used = self.cache.use(wanted, model, limits.admit)
        turns = rules.merge_turns(wanted.messages)
        message = respond.reply(wanted, turns, model, used, self.faults.current_shape)
        limits.charge_output(message.usage.output_tokens)
        fault, pace = self.faults.take_break(), self.faults.current_pace
        if wanted.stream:
            return EventStream(message, exchange, self._headers(exchange), pace, fault)
        if fault is not None:
            await asyncio.sleep(fault.seconds if fault.kind == "stall" else 0)
            return Dropped()
        if pace != Pace():
            await asyncio.sleep(pace.duration(message.usage.output_tokens))
        return self._send(exchange, respond.wire(message))

    async def _count(self, request: Request, exchange: Exchange, version: str) -> Response:
        wanted = parse(CountTokens, exchange.body)
        model = rules.served_model(wanted.model)
        rules.check_prompt(wanted, model, version)
        counted = types.MessageTokensCount(input_tokens=count(wanted, model))
        return self._send(exchange, respond.wire(counted))

    async def _models(self, request: Request, exchange: Exchange, version: str) -> Response:
        query = request.query_params
        states = query.getlist("lifecycle") + query.getlist("lifecycle[]") or ["active", "deprecated"]
        ids = [model.id for model in MODELS.values() if model.lifecycle in states]
        if query.get("after_id") in ids:
            ids = ids[ids.index(query["after_id"]) + 1 :]
        if query.get("before_id") in ids:
            ids = ids[: ids.index(query["before_id"])]
        limit = query.get("limit", "20")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= 1000):
            raise bad_request("limit: Input should be a whole number from 1 to 1000")
        page = [_model_info(MODELS[name]) for name in ids[: int(limit)]]
        ends = (
            {"first_id": ids[0], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        )
        return self._send(exchange, {"data": page, "has_more": len(ids) > len(page), **ends})

    async def _model(self, request: Request, exchange: Exchange, version: str) -> Response:
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
        raise ApiError(413, "Request exceeds the maximum allowed number of bytes.")
    return b"".join(chunks)


def _check_key(request: Request) -> None:
    """Raise a 401 unless a header holds the practice key. A wrong key is not looked at again."""
    bearer = request.headers.get("authorization", "")
    given = request.headers.get("x-api-key") or bearer.removeprefix("Bearer ").strip()
    if given == PRACTICE_KEY:
        return
    if not given:
        raise ApiError(401, "x-api-key header is required")
    raise ApiError(401, "invalid bearer token" if bearer else "invalid x-api-key")


def _model_info(model: Model) -> dict[str, Any]:
    info = types.ModelInfo(
        id=model.snapshot or model.id,
        type="model",
        display_name=model.name,
        created_at=_midnight(model.released),
        line=model.line,
        lifecycle=model.lifecycle,
        deprecated_at=_midnight(model.deprecated),
        retires_at=_midnight(model.retires),
        max_input_tokens=model.context_window,
        max_tokens=model.max_output,
    )
    return respond.wire(info)


def _midnight(day: date | None) -> datetime | None:
    return day and datetime.combine(day, time(), UTC)
