"""The endpoints: read, check, answer. An ASGI application."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pydantic_core
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from ..models import MODELS
from . import PRACTICE_KEY, generate, rules
from .caching import PromptCache, count, diagnose
from .errors import ApiError, require
from .faults import UNLIMITED, Faults
from .journal import Exchange, Journal, redacted
from .responses import SLEEP, Batch, event_stream, model_info, page_of
from .schemas import MAX_REQUESTS, CreateBatch, CreateMessage, Object, Prompt, parse, read_json

MAX_BODY, MAX_BATCH_BODY = 32 * 1024 * 1024, 256 * 1024 * 1024
BATCHES, NAME = "/v1/messages/batches", "([^/]+)"
ELSEWHERE = re.compile(
    "/v1/(agents|complete|compliance|deployment_runs|deployments|dreams|environments|files|memory_stores"
    "|oauth|organizations|projects|sessions|skills|tunnels|user_profiles|vaults)(?![^/])"
)
"""How the paths begin that the real API has and this one has not."""
ACCOUNT = {f"anthropic-{name}-id": f"practice-{name}" for name in ("organization", "workspace")}


class Api:
    """The practice API's state and its endpoints; `app` is the ASGI application, `respond` what it answers.

    An endpoint gets the exchange, and the name in its path, what was posted as JSON, or the query. It
    returns what is sent as JSON, lines of JSON, or the pieces of a stream.
    """

    def __init__(self) -> None:
        self.faults, self.journal = Faults(), Journal()
        self.keys = {PRACTICE_KEY}
        self.reset()
        self._endpoints: dict[str, dict[str, Callable[..., Any]]] = {
            "/v1/messages": {"POST": self._create},
            "/v1/messages/count_tokens": {"POST": self._count},
            BATCHES: {"POST": self._create_batch, "GET": self._list_batches},
            f"{BATCHES}/{NAME}": {"GET": lambda _, id: self._batch(id).shown(), "DELETE": self._delete_batch},
            f"{BATCHES}/{NAME}/cancel": {"POST": lambda _, id: self._batch(id).cancel()},
            f"{BATCHES}/{NAME}/results": {"GET": lambda _, id: self._batch(id).results()},
            "/v1/models": {"GET": self._list_models},
            f"/v1/models/{NAME}": {"GET": lambda _, name: model_info(rules.served_model(name, retired=True))},
        }

    def reset(self) -> None:
        """As new: no faults, nothing cached, no batches, an empty journal."""
        self.faults.reset()
        self.journal.clear()
        self.cache, self._numbers = PromptCache(), itertools.count(1)
        self.batches: dict[str, Batch] = {}

    async def app(self, scope, receive, send) -> None:
        """Answer one request. Where the connection drops, on purpose too, the application ends with it."""
        transport = scope["state"]["transport"]
        scope["asgi"] = {"spec_version": "2.4"}  # so `send` tells who is gone: no task need watch for that

        async def send_while_connected(message: Object) -> None:
            if transport.is_closing():  # asyncio would complain of further writes
                raise ClientDisconnect
            await send(message)

        try:
            response = await self.respond(Request(scope, receive))
            await response(scope, receive, send_while_connected)
        except (ClientDisconnect, asyncio.CancelledError):  # cancelled where the server stops
            transport.close()
            while (await receive())["type"] != "http.disconnect":
                pass  # returning earlier would look unfinished to uvicorn

    async def respond(self, request: Request) -> Response:
        """The response, with what all have in common: id, journal, key, version, faults, errors."""
        scope, body, number = request.scope, await request.body(), next(self._numbers)
        query = scope["query_string"].decode("latin-1")
        path = (scope["path"] + (f"?{query}" if query else ""))[:2_000]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        name = f"req_practice_{hashlib.sha256(f'request {number}'.encode()).hexdigest()[:16]}"
        fits = len(body) <= (MAX_BATCH_BODY if path == BATCHES else MAX_BODY)
        exchange = Exchange(number, request.method, path, redacted(headers), name, body if fits else b"")
        self.journal.add(exchange)
        try:
            if not fits:
                raise ApiError(413)
            reply = self._answer(scope["path"], headers, exchange)
            return self._sent(exchange, await reply if inspect.isawaitable(reply) else reply)
        except ApiError as error:
            return self._sent(exchange, error.body(name), error.status, error.headers)

    def _sent(self, exchange: Exchange, reply: Any, status: int = 200, headers: Mapping = {}) -> Response:
        """The response for a reply: JSON, lines of JSON, or the pieces of a stream."""
        exchange.status = status
        limits = self.faults.value("limit").headers()
        headers = {"request-id": exchange.request_id, **ACCOUNT, **limits, **headers}
        if isinstance(reply, AsyncIterator):
            headers["cache-control"] = "no-cache"
            return StreamingResponse(reply, status, headers, "text/event-stream")
        if isinstance(reply, bytes):
            return Response(reply, status, headers, "application/x-jsonl")
        exchange.answered = pydantic_core.to_json(reply)
        return Response(exchange.answered, status, headers, "application/json")

    def _answer(self, path: str, headers: dict[str, str], exchange: Exchange) -> Any:
        """What an endpoint replies, or what to await for it."""
        found = ((re.fullmatch(pattern, path), endpoints) for pattern, endpoints in self._endpoints.items())
        match, endpoints = next((each for each in found if each[0]), (None, {}))
        if match is None:
            there = ELSEWHERE.match(path)
            live = there and f'. The real API has {there[0]}, the practice API has not: use connect("live").'
            raise ApiError(404, f"{exchange.method} {path[:200]}: Not Found{live or ''}")
        if (endpoint := endpoints.get(exchange.method.replace("HEAD", "GET"))) is None:
            allowed = {"allow": ", ".join(endpoints)}
            raise ApiError(405, f"{exchange.method} {path[:200]}: Method Not Allowed", headers=allowed)
        key, (scheme, _, token) = headers.get("x-api-key"), headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and token.strip() in self.keys
        if not (key in self.keys if key else bearer):  # a wrong key is not looked at again
            missing = "invalid bearer token" if scheme else "x-api-key header is required"
            raise ApiError(401, "invalid x-api-key" if key else missing)
        version = headers.get("anthropic-version")
        require(version, "anthropic-version: header is required")
        known = version in (rules.OLD_VERSION, rules.NEW_VERSION)
        require(known, f'anthropic-version: "{version[:100]}" is not a valid version')
        coding = headers.get("content-encoding", "identity")[:50]
        require(coding == "identity", f"content-encoding: {coding} is not supported, send the body as it is")
        query = QueryParams(exchange.path.partition("?")[2])
        given = match.groups() or [read_json(exchange.raw) if exchange.method == "POST" else query]
        self.faults.strike()
        return endpoint(exchange, *given)

    def _parse(self, kind: type[Prompt], data: Object, exchange: Exchange) -> Any:
        """A request as a `kind`, and the model that answers it. Raises the error that refuses it."""
        wanted = parse(kind, data)
        model = rules.served_model(wanted.model)
        if wanted.model == self.faults.value("retire"):
            raise ApiError(404, f"model: {wanted.model}")
        rules.check(wanted, model, exchange.headers["anthropic-version"])
        return wanted, model

    def _message(self, data: Object, exchange: Exchange, *, batched: bool = False) -> Object:
        """The message that answers a request. Raises an `ApiError`."""
        wanted, model = self._parse(CreateMessage, data, exchange)
        require(not (batched and wanted.stream), "stream: a request of a batch cannot be streamed")
        require(not batched or wanted.max_tokens, "max_tokens: 0 is not supported in a batch")
        limits = UNLIMITED if batched else self.faults.value("limit")
        used = self.cache.use(wanted, model, limits.admit)
        message = generate.reply(wanted, wanted.turns, model, used, self.faults.value("shape"))
        limits.charge_output(message["usage"]["output_tokens"])
        message["usage"]["service_tier"] = "batch" if batched else "standard"
        return message

    async def _create(self, exchange: Exchange, data: Object) -> Object | AsyncIterator[bytes]:
        if data.get("thread") is not None and "message-threads" in exchange.headers.get("anthropic-beta", ""):
            raise ApiError(400, "thread: not supported here", error_code="thread_unsupported_request")
        message = self._message(data, exchange)
        exchange.cache_miss = diagnose(exchange, message["usage"], self.journal)
        if data.get("diagnostics") is not None:
            message["diagnostics"] = exchange.cache_miss and exchange.cache_miss.told()
        fault, pace = self.faults.take("break_stream"), self.faults.value("pace")
        if data.get("stream"):
            return event_stream(message, exchange, pace, fault)
        if fault is not None:
            await SLEEP.get()(fault.seconds if fault.kind == "stall" else 0)
            raise ClientDisconnect
        if wait := pace.first_token_seconds + message["usage"]["output_tokens"] / pace.tokens_per_second:
            await SLEEP.get()(wait)
        return message

    def _count(self, exchange: Exchange, data: Object) -> Object:
        return {"input_tokens": count(*self._parse(Prompt, data, exchange))}

    def _list_models(self, exchange: Exchange, query: QueryParams) -> Object:
        states = query.getlist("lifecycle") + query.getlist("lifecycle[]") or ["active", "deprecated"]
        require({*states} <= {"active", "deprecated", "retired"}, "lifecycle: active, deprecated or retired")
        models = [model for model in MODELS.values() if model.lifecycle in states and not model.limited]
        return page_of([model_info(model) for model in models], query)

    async def _create_batch(self, exchange: Exchange, data: Object) -> Object:
        wanted = parse(CreateBatch, data)
        url = f"http://{exchange.headers.get('host')}{BATCHES}"
        batch = Batch(wanted, url, exchange.number, self.faults.value("pace").batch_seconds)
        self.batches[batch.id] = batch
        while sum(each.size for each in self.batches.values()) > 2 * MAX_REQUESTS:
            del self.batches[next(iter(self.batches))]  # the oldest make room
        for number, one in enumerate(wanted.requests):
            if number % 20 == 19:
                await SLEEP.get()(0)  # others are answered meanwhile
            try:
                result = {"type": "succeeded", "message": self._message(one.params, exchange, batched=True)}
            except ApiError as error:
                result = {"type": "errored", "error": error.body(exchange.request_id)}
            batch.keep(one.custom_id, result)
        return batch.shown()

    def _list_batches(self, exchange: Exchange, query: QueryParams) -> Object:
        return page_of([batch.shown() for batch in reversed(self.batches.values())], query)

    def _batch(self, name: str) -> Batch:
        if name not in self.batches:
            raise ApiError(404, f"Message Batch {name[:100]} not found.")
        return self.batches[name]

    def _delete_batch(self, exchange: Exchange, name: str) -> Object:
        require(self._batch(name).ended, f"Batch {name} is still being processed: cancel it first.")
        del self.batches[name]
        return {"id": name, "type": "message_batch_deleted"}
