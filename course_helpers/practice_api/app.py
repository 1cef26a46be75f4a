"""The endpoints: read, check, answer. A Starlette application."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pydantic_core
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ..models import MODELS, Model
from . import PRACTICE_KEY, generate, rules
from .batches import Batch, Batches, CreateBatch
from .caching import PromptCache, count, diagnose
from .errors import ApiError, require
from .faults import UNHURRIED, UNLIMITED, Faults
from .journal import Exchange, Journal, safe_headers
from .listings import model_info, page_of
from .responses import Dropped, EventStream
from .schemas import CreateMessage, Prompt, parse, read_json

MAX_BODY, MAX_BATCH_BODY = 32 * 1024 * 1024, 256 * 1024 * 1024
BODY_TIMEOUT = 30.0
"""Seconds that a client may take to send its body."""
JSON = "application/json"
BATCHES = "/v1/messages/batches"
ELSEWHERE = """agents complete compliance deployment_runs deployments dreams environments files memory_stores
oauth organizations projects sessions skills tunnels user_profiles vaults"""
"""What stands after /v1/ in the paths that the real API has and this one has not."""


class Api:
    """The practice API's state and its endpoints; `app` is the ASGI application."""

    def __init__(self) -> None:
        self.faults, self.journal = Faults(), Journal()
        self.keys = {PRACTICE_KEY}
        self.on_request: Callable[[Exchange], None] | None = None
        """Told of each request before the faults that it meets are looked up."""
        self.reset()
        endpoints = {
            "/v1/messages": {"POST": self._create},
            "/v1/messages/count_tokens": {"POST": self._count},
            BATCHES: {"POST": self._create_batch, "GET": self._list_batches},
            BATCHES + "/{batch_id}": {
                "GET": self._of_batch(Batch.shown),
                "DELETE": self._of_batch(lambda batch: self.batches.delete(batch)),
            },
            BATCHES + "/{batch_id}/cancel": {"POST": self._of_batch(Batch.cancel)},
            BATCHES + "/{batch_id}/results": {"GET": self._results},
            "/v1/models": {"GET": self._models},
            "/v1/models/{model_id}": {"GET": self._model},
        }
        self.app = Starlette(
            routes=[Route(path, self._answering(ends), methods=[*ends]) for path, ends in endpoints.items()],
            exception_handlers={HTTPException: self._answering({})},
        )
        self.app.router.redirect_slashes = False

    def reset(self) -> None:
        """As new: no faults, nothing cached, no batches, an empty journal."""
        self.faults.reset()
        self.journal.clear()
        self.cache, self.batches, self._numbers = PromptCache(), Batches(), itertools.count(1)

    def _answering(self, endpoints: Mapping[str, Any]):
        """The endpoints of a path with what all share: id, journal, key, version, faults, errors."""

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
                    raise _not_here(request, exchange, unknown)
                method = "GET" if request.method == "HEAD" else request.method
                return await self._checked(endpoints[method], request, exchange)
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
        coding = request.headers.get("content-encoding", "identity")
        require(
            coding == "identity", f"content-encoding: {coding[:50]} is not supported, send the body as it is"
        )
        reads = request.method == "POST" and "batch_id" not in request.path_params
        data = read_json(exchange.raw) if reads else None
        if self.faults.strike():
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
            **self.faults.value("limit", UNLIMITED).headers(),
        }

    def _refuse(self, exchange: Exchange, error: ApiError) -> Response:
        exchange.status = error.status
        if error.page is not None:  # a gateway's: the API itself never saw the request
            return Response(error.page, error.status, error.headers, "text/html")
        exchange.answered = pydantic_core.to_json(error.body(exchange.request_id))
        mistaken = {"x-should-retry": "false"} if error.status == 400 else {}
        headers = self._headers(exchange) | mistaken | error.headers
        return Response(exchange.answered, error.status, headers, JSON)

    def _send(self, exchange: Exchange, reply: dict[str, Any]) -> Response:
        exchange.status, exchange.answered = 200, pydantic_core.to_json(reply)
        return Response(exchange.answered, 200, self._headers(exchange), JSON)

    # Messages

    def _model_of(self, wanted: Prompt) -> Model:
        """The model that answers `wanted`. Raises a 404."""
        model = rules.served_model(wanted.model)
        if wanted.model == self.faults.value("retire"):
            raise ApiError(404, f"model: {wanted.model}")
        return model

    def _message(self, data: dict[str, Any], version: str, *, batched: bool = False) -> dict[str, Any]:
        """The message that answers a request. Raises an `ApiError`."""
        wanted = parse(CreateMessage, data)
        model = self._model_of(wanted)
        rules.check_prompt(wanted, model, version)
        rules.check_create(wanted, model, version, batched=batched)
        limits = self.faults.value("limit", UNLIMITED)
        used = self.cache.use(wanted, model, *([] if batched else [limits.admit]))
        turns = rules.merge_turns(wanted.messages)
        message = generate.reply(wanted, turns, model, used, self.faults.value("shape"))
        if batched:
            message["usage"]["service_tier"] = "batch"
        else:
            limits.charge_output(message["usage"]["output_tokens"])
        return message

    async def _create(self, request: Request, exchange: Exchange, version: str, data: dict) -> Response:
        threads = "message-threads" in request.headers.get("anthropic-beta", "")
        if threads and data.get("thread") is not None:
            raise ApiError(400, "thread: not supported here", error_code="thread_unsupported_request")
        message = self._message(data, version)
        exchange.cache_miss = diagnose(exchange, data, message["usage"], self.journal)
        if data.get("diagnostics") is not None:
            message["diagnostics"] = exchange.cache_miss and exchange.cache_miss.told()
        produced = message["usage"]["output_tokens"]
        fault, pace = self.faults.take("break_stream"), self.faults.value("pace", UNHURRIED)
        if data.get("stream"):
            return EventStream(message, exchange, self._headers(exchange), pace, fault)
        if fault is not None:
            await asyncio.sleep(fault.seconds if fault.kind == "stall" else 0)
            return Dropped()
        if wait := pace.first_token_seconds + produced / pace.tokens_per_second:
            await asyncio.sleep(wait)
        return self._send(exchange, message)

    async def _count(self, request: Request, exchange: Exchange, version: str, data: dict) -> Response:
        wanted = parse(Prompt, data)
        model = self._model_of(wanted)
        rules.check_prompt(wanted, model, version)
        return self._send(exchange, {"input_tokens": count(wanted, model)})

    # Batches

    async def _create_batch(self, request: Request, exchange: Exchange, version: str, data: dict) -> Response:
        wanted = parse(CreateBatch, data)
        host, port = request.scope["server"]
        seconds = self.faults.value("pace", UNHURRIED).batch_seconds
        batch = Batch(wanted, f"http://{host}:{port}{BATCHES}", exchange.number, seconds)
        self.batches.add(batch)
        for number, one in enumerate(wanted.requests):
            if number % 20 == 19:
                await asyncio.sleep(0)  # others are answered meanwhile
            try:
                message = self._message(one.params, version, batched=True)
                batch.keep(one.custom_id, "succeeded", message=message)
            except ApiError as error:
                batch.keep(one.custom_id, "errored", error=error.body(exchange.request_id))
        return self._send(exchange, batch.shown())

    async def _list_batches(self, request: Request, exchange: Exchange, version: str, data: None) -> Response:
        batches = [batch.shown() for batch in reversed(self.batches.values())]
        return self._send(exchange, page_of(batches, request.query_params))

    def _of_batch(self, act: Callable[[Batch], dict[str, Any]]):
        """The endpoint that answers with what `act` says of a batch."""

        async def endpoint(request: Request, exchange: Exchange, version: str, data: None) -> Response:
            return self._send(exchange, act(self.batches[request.path_params["batch_id"]]))

        return endpoint

    async def _results(self, request: Request, exchange: Exchange, version: str, data: None) -> Response:
        lines = self.batches[request.path_params["batch_id"]].results()
        exchange.status = 200
        return Response(lines, 200, self._headers(exchange), "application/x-jsonl")

    # Models

    async def _models(self, request: Request, exchange: Exchange, version: str, data: None) -> Response:
        query = request.query_params
        states = query.getlist("lifecycle") + query.getlist("lifecycle[]") or ["active", "deprecated"]
        require({*states} <= {"active", "deprecated", "retired"}, "lifecycle: active, deprecated or retired")
        found = [
            model_info(model) for model in MODELS.values() if model.lifecycle in states and not model.limited
        ]
        return self._send(exchange, page_of(found, query))

    async def _model(self, request: Request, exchange: Exchange, version: str, data: None) -> Response:
        name = request.path_params["model_id"]
        return self._send(exchange, model_info(MODELS.get(name) or rules.served_model(name)))


def _not_here(request: Request, exchange: Exchange, unknown: HTTPException) -> ApiError:
    """The 404 or 405 for a path or a method that has no endpoint."""
    said = f"{request.method} {exchange.path[:200]}: {unknown.detail}"
    name = request.scope["path"].removeprefix("/v1/").split("/")[0]
    if unknown.status_code == 404 and name in ELSEWHERE.split() and request.scope["path"].startswith("/v1/"):
        said += f'. The real API has /v1/{name}, the practice API has not: it would be connect("live").'
    return ApiError(unknown.status_code, said, headers=dict(unknown.headers or {}))


async def _read_body(request: Request) -> bytes:
    """The request body. Raises 413 for a large one once it has come: clients read no answer before."""
    most = MAX_BATCH_BODY if request.scope["path"] == BATCHES else MAX_BODY
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BATCH_BODY:
                    break
                if size <= most:
                    chunks.append(chunk)
    except TimeoutError:
        raise ApiError(
            408, "The request body did not arrive in time.", headers={"connection": "close"}
        ) from None
    if size > most:
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
