"""The endpoints: read, check, answer. A Starlette application."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pydantic_core
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..models import MODELS
from . import PRACTICE_KEY, generate, rules
from .batches import MAX_REQUESTS, Batch, CreateBatch
from .caching import PromptCache, count, diagnose
from .errors import ApiError, require
from .faults import UNHURRIED, UNLIMITED, Faults
from .journal import Exchange, Journal, safe_headers
from .responses import EventStream, dropped, model_info, page_of
from .schemas import CreateMessage, Object, Prompt, parse, read_json

MAX_BODY, MAX_BATCH_BODY = 32 * 1024 * 1024, 256 * 1024 * 1024
BATCHES = "/v1/messages/batches"
ELSEWHERE = """agents complete compliance deployment_runs deployments dreams environments files memory_stores
oauth organizations projects sessions skills tunnels user_profiles vaults"""
"""What stands after /v1/ in the paths that the real API has and this one has not."""
ACCOUNT = {
    "anthropic-organization-id": "practice-organization",
    "anthropic-workspace-id": "practice-workspace",
}


class Api:
    """The practice API's state and its endpoints; `app` is the ASGI application.

    An endpoint gets a request whose `state` holds its `exchange`, its API `version` and its JSON as `data`.
    """

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
            BATCHES + "/{name}": {"GET": self._of_batch(Batch.shown), "DELETE": self._of_batch(self._delete)},
            BATCHES + "/{name}/cancel": {"POST": self._of_batch(Batch.cancel)},
            BATCHES + "/{name}/results": {"GET": self._of_batch(Batch.results)},
            "/v1/models": {"GET": self._list_models},
            "/v1/models/{name}": {"GET": self._model},
        }
        routes = [Route(path, self._answering(ends), methods=[*ends]) for path, ends in endpoints.items()]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: self._answering({})})
        self.app.router.redirect_slashes = False

    def reset(self) -> None:
        """As new: no faults, nothing cached, no batches, an empty journal."""
        self.faults.reset()
        self.journal.clear()
        self.cache, self._numbers = PromptCache(), itertools.count(1)
        self.batches: dict[str, Batch] = {}

    def _answering(self, endpoints: Mapping[str, Callable[[Request], Any]]):
        """The endpoints of a path with what all share: id, journal, key, version, faults, errors."""

        async def answer(request: Request, unknown: HTTPException | None = None) -> ASGIApp:
            exchange = request.state.exchange = self._open(request)
            try:
                try:
                    exchange.raw = await _read_body(request)
                finally:
                    self.journal.add(exchange)
                if self.on_request is not None:
                    self.on_request(exchange)
                if unknown is not None:
                    raise _not_here(request, unknown)
                method = "GET" if request.method == "HEAD" else request.method
                reply = self._let_in(request) or endpoints[method](request)
                reply = await reply if inspect.isawaitable(reply) else reply
                return reply if callable(reply) else self._send(exchange, reply)
            except ApiError as error:
                return self._refuse(exchange, error)
            except ClientDisconnect:
                return Response()  # nobody is there to read it

        return answer

    def _open(self, request: Request) -> Exchange:
        """A new line for the journal. The path is read raw: a hostile Host header must not get in the way."""
        number = next(self._numbers)
        query = request.scope["query_string"].decode("latin-1")
        path = (request.scope["path"] + (f"?{query}" if query else ""))[:2_000]
        name = f"req_practice_{hashlib.sha256(f'request {number}'.encode()).hexdigest()[:16]}"
        return Exchange(number, request.method, path, safe_headers(request.headers), name)

    def _let_in(self, request: Request) -> ASGIApp | None:
        """Check key, version and body; then the request meets its fault: an error or a dropped connection."""
        _check_key(request.headers, self.keys)
        version = request.state.version = ", ".join(request.headers.getlist("anthropic-version"))
        require(version, "anthropic-version: header is required")
        known = version in (rules.OLD_VERSION, rules.NEW_VERSION)
        require(known, f'anthropic-version: "{version[:100]}" is not a valid version')
        coding = request.headers.get("content-encoding", "identity")[:50]
        require(coding == "identity", f"content-encoding: {coding} is not supported, send the body as it is")
        if request.method == "POST" and not request.path_params:
            request.state.data = read_json(request.state.exchange.raw)
        return dropped if self.faults.strike() else None

    def _headers(self, exchange: Exchange) -> dict[str, str]:
        return {
            "request-id": exchange.request_id,
            **ACCOUNT,
            **self.faults.value("limit", UNLIMITED).headers(),
        }

    def _refuse(self, exchange: Exchange, error: ApiError) -> Response:
        exchange.status = error.status
        if error.page is not None:  # a gateway's: the API itself never saw the request
            return Response(error.page, error.status, error.headers, "text/html")
        exchange.answered = pydantic_core.to_json(error.body(exchange.request_id))
        mistaken = {"x-should-retry": "false"} if error.status == 400 else {}
        headers = self._headers(exchange) | mistaken | error.headers
        return Response(exchange.answered, error.status, headers, "application/json")

    def _send(self, exchange: Exchange, reply: Object | bytes) -> Response:
        """Answer with JSON, or with the lines of JSON that are the results of a batch."""
        exchange.status = 200
        if isinstance(reply, bytes):
            return Response(reply, 200, self._headers(exchange), "application/x-jsonl")
        exchange.answered = pydantic_core.to_json(reply)
        return Response(exchange.answered, 200, self._headers(exchange), "application/json")

    # Messages

    def _parse(self, kind: type[Prompt], data: Object, version: str, *, batched: bool = False) -> Any:
        """A request as a `kind`, and the model that answers it. Raises the error that refuses it."""
        wanted = parse(kind, data)
        model = rules.served_model(wanted.model)
        if wanted.model == self.faults.value("retire"):
            raise ApiError(404, f"model: {wanted.model}")
        rules.check(wanted, model, version, batched=batched)
        return wanted, model

    def _message(self, data: Object, version: str, *, batched: bool = False) -> Object:
        """The message that answers a request. Raises an `ApiError`."""
        wanted, model = self._parse(CreateMessage, data, version, batched=batched)
        limits = self.faults.value("limit", UNLIMITED)
        used = self.cache.use(wanted, model, *([] if batched else [limits.admit]))
        turns = rules.merge_turns(wanted.messages)
        message = generate.reply(wanted, turns, model, used, self.faults.value("shape"))
        if batched:
            message["usage"]["service_tier"] = "batch"
        else:
            limits.charge_output(message["usage"]["output_tokens"])
        return message

    async def _create(self, request: Request) -> ASGIApp | Object:
        exchange, data = request.state.exchange, request.state.data
        if data.get("thread") is not None and "message-threads" in request.headers.get("anthropic-beta", ""):
            raise ApiError(400, "thread: not supported here", error_code="thread_unsupported_request")
        message = self._message(data, request.state.version)
        exchange.cache_miss = diagnose(exchange, data, message["usage"], self.journal)
        if data.get("diagnostics") is not None:
            message["diagnostics"] = exchange.cache_miss and exchange.cache_miss.told()
        fault, pace = self.faults.take("break_stream"), self.faults.value("pace", UNHURRIED)
        if data.get("stream"):
            return EventStream(message, exchange, self._headers(exchange), pace, fault)
        if fault is not None:
            await asyncio.sleep(fault.seconds if fault.kind == "stall" else 0)
            return dropped
        if wait := pace.first_token_seconds + message["usage"]["output_tokens"] / pace.tokens_per_second:
            await asyncio.sleep(wait)
        return message

    def _count(self, request: Request) -> Object:
        return {"input_tokens": count(*self._parse(Prompt, request.state.data, request.state.version))}

    # Batches

    async def _create_batch(self, request: Request) -> Object:
        exchange, wanted = request.state.exchange, parse(CreateBatch, request.state.data)
        url = "http://{}:{}{}".format(*request.scope["server"], BATCHES)
        seconds = self.faults.value("pace", UNHURRIED).batch_seconds
        batch = Batch(wanted, url, exchange.number, seconds)
        self.batches[batch.id] = batch
        while sum(each.size for each in self.batches.values()) > 2 * MAX_REQUESTS:
            del self.batches[next(iter(self.batches))]  # the oldest make room
        for number, one in enumerate(wanted.requests):
            if number % 20 == 19:
                await asyncio.sleep(0)  # others are answered meanwhile
            try:
                message = self._message(one.params, request.state.version, batched=True)
                batch.keep(one.custom_id, "succeeded", message=message)
            except ApiError as error:
                batch.keep(one.custom_id, "errored", error=error.body(exchange.request_id))
        return batch.shown()

    def _list_batches(self, request: Request) -> Object:
        return page_of([batch.shown() for batch in reversed(self.batches.values())], request.query_params)

    def _of_batch(self, act: Callable[[Batch], Object | bytes]) -> Callable[[Request], Object | bytes]:
        """The endpoint that answers with what `act` says of a batch."""

        def endpoint(request: Request) -> Object | bytes:
            name = request.path_params["name"]
            if name not in self.batches:
                raise ApiError(404, f"Message Batch {name[:100]} not found.")
            return act(self.batches[name])

        return endpoint

    def _delete(self, batch: Batch) -> Object:
        require(batch.ended, f"Batch {batch.id} is still being processed: cancel it first.")
        del self.batches[batch.id]
        return {"id": batch.id, "type": "message_batch_deleted"}

    # Models

    def _list_models(self, request: Request) -> Object:
        query = request.query_params
        states = query.getlist("lifecycle") + query.getlist("lifecycle[]") or ["active", "deprecated"]
        require({*states} <= {"active", "deprecated", "retired"}, "lifecycle: active, deprecated or retired")
        models = [model for model in MODELS.values() if model.lifecycle in states and not model.limited]
        return page_of([model_info(model) for model in models], query)

    def _model(self, request: Request) -> Object:
        name = request.path_params["name"]
        return model_info(MODELS.get(name) or rules.served_model(name))


def _not_here(request: Request, unknown: HTTPException) -> ApiError:
    """The 404 or 405 for a path or a method that has no endpoint."""
    path = request.scope["path"]
    said = f"{request.method} {path[:200]}: {unknown.detail}"
    name = path.removeprefix("/v1/").split("/")[0]
    if unknown.status_code == 404 and path.startswith("/v1/") and name in ELSEWHERE.split():
        said += f'. The real API has /v1/{name}, the practice API has not: it would be connect("live").'
    return ApiError(unknown.status_code, said, headers=dict(unknown.headers or {}))


async def _read_body(request: Request) -> bytes:
    """The request body. Raises 413 for a large one once it has come: clients read no answer before."""
    most = MAX_BATCH_BODY if request.scope["path"] == BATCHES else MAX_BODY
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
    if size > most:
        raise ApiError(413)
    return b"".join(chunks)


def _check_key(headers: Mapping[str, str], keys: set[str]) -> None:
    """Raise a 401 unless a header holds one of the keys. A wrong key is not looked at again."""
    key, authorization = headers.get("x-api-key"), headers.get("authorization", "")
    if not key and not authorization:
        raise ApiError(401, "x-api-key header is required")
    scheme, _, token = authorization.partition(" ")
    bearer = scheme.lower() == "bearer" and token.strip() in keys
    if not (key in keys if key else bearer):
        raise ApiError(401, "invalid x-api-key" if key else "invalid bearer token")
