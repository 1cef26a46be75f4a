"""The endpoints: read, check, answer. None waits for anything, so they need neither threads nor a loop."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pydantic_core
from starlette.datastructures import QueryParams

from ..models import MODELS
from . import PRACTICE_KEY, generate, replies, rules
from .caching import PromptCache, count, diagnose
from .faults import UNLIMITED, Faults
from .journal import Exchange, Journal, redacted
from .responses import Batch, Head, Part, event_stream, model_info, page_of, result
from .schemas import ApiError, CreateBatch, CreateMessage, Dropped, Object, Prompt, parse, read_json, require

MAX_BODY, MAX_BATCH_BODY = 32 * 1024 * 1024, 256 * 1024 * 1024
BATCHES, NAME = "/v1/messages/batches", "([^/]+)"
ACCOUNT = [(b"anthropic-%b-id" % kind, b"practice-%b" % kind) for kind in (b"organization", b"workspace")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
ELSEWHERE = re.compile(
    "/v1/(agents|complete|compliance|deployment_runs|deployments|dreams|environments|files|memory_stores"
    "|oauth|organizations|projects|sessions|skills|tunnels|user_profiles|vaults)(?![^/])"
)  # how the paths begin that the real API has and this one has not


class Api:
    """The practice API's state and its endpoints; an ASGI application, and what it sends: `respond`.

    An endpoint gets the exchange, and the name in its path, what was posted as JSON, or the query. It
    returns what is sent as JSON, lines of JSON, or the parts of a stream; one that takes its time yields
    the seconds first.
    """

    def __init__(self) -> None:
        replies.entries()  # a mistake in replies.toml is told now, not by a 500 to every call
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

    async def __call__(self, scope, receive, send) -> None:
        """Answer one request. Where the connection drops, on purpose too, the application ends with it."""
        transport, body, more = scope["state"]["transport"], bytearray(), True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Dropped
                body += message["body"]
                more = message["more_body"]
            for part in self.respond(scope, bytes(body)):
                if isinstance(part, float):
                    await asyncio.sleep(part)
                elif transport.is_closing():  # asyncio would complain of further writes
                    raise Dropped
                elif isinstance(part, bytes):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                else:
                    head = {"status": part.status, "headers": part.headers}
                    await send({"type": "http.response.start", **head})
                    end = {"type": "http.response.body", "body": part.body}
            await send(end)
        except (Dropped, asyncio.CancelledError):  # cancelled where the server stops
            transport.close()
            while (await receive())["type"] != "http.disconnect":
                pass  # returning earlier would look unfinished to uvicorn

    def respond(self, scope: Object, body: bytes) -> Iterator[Part]:
        """The parts of the answer to a request, as ASGI describes it. Raises `Dropped`.

        What all answers have in common is made here: id, journal, limits, errors in the API's shape.
        """
        number, query = next(self._numbers), scope["query_string"].decode("latin-1")
        path = (scope["path"] + (f"?{query}" if query else ""))[:2_000]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        id = f"req_practice_{hashlib.sha256(f'request {number}'.encode()).hexdigest()[:16]}"
        fits = len(body) <= (MAX_BATCH_BODY if path == BATCHES else MAX_BODY)
        exchange = Exchange(number, scope["method"], path, redacted(headers), id, body if fits else b"")
        self.journal.add(exchange)
        status, more = 200, {}
        try:
            if not fits:
                raise ApiError(413)
            reply = self._reply(scope, headers, exchange)
            reply = (yield from reply) if inspect.isgenerator(reply) else reply
        except ApiError as error:
            status, reply = error.status, error.body(id)
            more = error.headers | ({"x-should-retry": "false"} if status == 400 else {})
        exchange.status = status
        headers = [*ACCOUNT, (b"request-id", id.encode()), *self.faults.value("limit").headers()]
        headers += [(name.encode(), value.encode()) for name, value in more.items()]
        if isinstance(reply, Iterator):
            yield Head(status, headers + EVENTS)
            yield from reply
            return
        kind = b"application/x-jsonl" if isinstance(reply, bytes) else b"application/json"
        if not isinstance(reply, bytes):
            reply = exchange.answered = pydantic_core.to_json(reply)
        headers += [(b"content-type", kind), (b"content-length", b"%d" % len(reply))]
        yield Head(status, headers, b"" if exchange.method == "HEAD" else reply)

    def _reply(self, scope: Object, headers: dict[str, str], exchange: Exchange) -> Any:
        """What the endpoint for its method and path replies."""
        method, path, query = scope["method"], scope["path"], scope["query_string"]
        matches = (re.fullmatch(pattern, path) for pattern in self._endpoints)
        match = next(filter(None, matches), None)
        if match is None:
            live = '. The real API has it, the practice API has not: use connect("live").'
            raise ApiError(404, f"{method} {path[:200]}: Not Found{live if ELSEWHERE.match(path) else ''}")
        methods = self._endpoints[match.re.pattern]
        endpoint, allowed = methods.get(method.replace("HEAD", "GET")), {"allow": ", ".join(methods)}
        if endpoint is None:
            raise ApiError(405, f"{method} {path[:200]}: Method Not Allowed", headers=allowed)
        rules.check_headers(headers, self.keys)
        given = match.groups() or [read_json(exchange.raw) if method == "POST" else QueryParams(query)]
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
        plain = wanted.max_tokens and not wanted.stream
        require(plain or not batched, "stream and max_tokens: 0 are not supported in a batch")
        limits = UNLIMITED if batched else self.faults.value("limit")
        used = self.cache.use(wanted, model, limits.admit)
        message = generate.reply(wanted, model, used, self.faults.value("shape"))
        limits.charge(output_tokens=message["usage"]["output_tokens"])
        message["usage"]["service_tier"] = "batch" if batched else "standard"
        return message

    def _create(self, exchange: Exchange, data: Object) -> Generator[float, None, Object | Iterator[Part]]:
        if data.get("thread") is not None and "message-threads" in exchange.headers.get("anthropic-beta", ""):
            raise ApiError(400, "thread: not supported here", error_code="thread_unsupported_request")
        message = self._message(data, exchange)
        exchange.cache_miss = diagnose(exchange, data, message["usage"], self.journal)
        if data.get("diagnostics") is not None:
            message["diagnostics"] = exchange.cache_miss and exchange.cache_miss.told()
        fault, pace = self.faults.take("break_stream"), self.faults.value("pace")
        if data.get("stream"):
            return event_stream(message, exchange, pace, fault)
        if fault is not None:
            yield fault.seconds
            raise Dropped
        if wait := pace.first_token_seconds + message["usage"]["output_tokens"] / pace.tokens_per_second:
            yield wait
        return message

    def _count(self, exchange: Exchange, data: Object) -> Object:
        return {"input_tokens": count(*self._parse(Prompt, data, exchange))}

    def _list_models(self, exchange: Exchange, query: QueryParams) -> Object:
        states = query.getlist("lifecycle") + query.getlist("lifecycle[]") or ["active", "deprecated"]
        require({*states} <= {"active", "deprecated", "retired"}, "lifecycle: active, deprecated or retired")
        models = [model for model in MODELS.values() if model.lifecycle in states and not model.limited]
        return page_of([model_info(model) for model in models], query)

    def _create_batch(self, exchange: Exchange, data: Object) -> Generator[float, None, Object]:
        wanted = parse(CreateBatch, data)
        names = [one.custom_id for one in wanted.requests]
        require(len({*names}) == len(names), "requests: each custom_id must be unique")
        results = {}
        for number, one in enumerate(wanted.requests):
            if number % 20 == 19:
                yield 0.0  # others are answered meanwhile
            try:
                found = {"type": "succeeded", "message": self._message(one.params, exchange, batched=True)}
            except ApiError as error:
                found = {"type": "errored", "error": error.body(exchange.request_id)}
            results[one.custom_id] = result(one.custom_id, found)
        url = f"http://{exchange.headers.get('host')}{BATCHES}"
        batch = Batch(exchange.number, url, self.faults.value("pace").batch_seconds, results)
        self.batches[batch.id] = batch  # nobody sees it before it is whole
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
