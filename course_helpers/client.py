"""One line chooses where calls go: the practice API, the real API, or a server of your own.

`connect` returns a plain `anthropic.Anthropic`: what you type here is what you type at work.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import anthropic
import httpx2

from . import curl, environment, first_look, models
from .practice_api import PRACTICE_KEY, practice

LIVE_URL = "https://api.anthropic.com"
LOCAL_SERVERS = {
    "Ollama": "http://127.0.0.1:11434",
    "LM Studio": "http://127.0.0.1:1234",
    "llama.cpp": "http://127.0.0.1:8080",
}
"""Where they listen unless told otherwise, in the order in which `connect("local")` asks."""
LOCAL_SECONDS = 2.0
"""How long each of them may take to answer."""

_current: anthropic.Anthropic | None = None
_live_url: str | None = None
_model_before: str | None = None  # models.MODEL, while connect("local") has put another in its place
# A client that is garbage closes its pool on whichever thread collects it. Were that the practice API's, and
# the pool's lock held by a call that was interrupted, the practice API would wait for ever.
_kept: list[anthropic.Anthropic] = []


class Place(NamedTuple):
    """Where calls go: the client for it, its model, what connect says, and what the SDK finds there."""

    client: anthropic.Anthropic
    model: str
    lines: list[str]
    variables: dict[str, str]


def connect(
    to: str | None = None, *, api_key: str | None = None, timeout: float | None = None
) -> anthropic.Anthropic:
    """An SDK client for `to`: None or "practice" (free), "live" (costs money), "local", or a base URL.

    "local" is the first of COURSE_LOCAL_URL, Ollama, LM Studio and llama.cpp that answers; MODEL becomes the
    first model that it lists, or COURSE_MODEL. None is "local" where COURSE_PLACE says so, else "practice".
    Prints one line: where calls go, which model, whether money is spent.
    Sets ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY and COURSE_MODEL in this process, so that
    `anthropic.Anthropic()` and a `%%curl` cell reach the same place; mends what would stop them (see
    `environment.mend`); keeps the SDK from warning of models that the course knows to be deprecated.
    `timeout` is in seconds; None keeps the SDK's.
    Raises ValueError for a `to` that is none of these, RuntimeError where no key can be asked for or the
    environment is in the way, `anthropic.APIConnectionError` where nothing answers,
    `anthropic.AuthenticationError` for a refused key.
    """
    environment.mend()
    known = [id for model in models.MODELS.values() for id in (model.id, model.snapshot) if id]
    warnings.filterwarnings("ignore", f"The model '({'|'.join(known)})' is deprecated", DeprecationWarning)
    if to is None:
        to = "local" if os.environ.get("COURSE_PLACE") == "local" else "practice"
    make = {"practice": _practice, "live": _live, "local": _local}.get(str(to)) or partial(_server, _base(to))
    here = make(environment.clean(api_key), timeout)
    _settle(here)
    print(*here.lines, sep="\n")
    curl.offer(lambda: here.client._client)
    return here.client


def reply_text(message: anthropic.types.Message) -> str:
    """The text of `message`: its text blocks joined, whatever comes first; "" if there are none."""
    if isinstance(message, str):  # which the SDK returns for an answer that is no JSON
        raise TypeError("The server sent a page, not a Message: check the address that connect was given.")
    return "".join(block.text for block in message.content or () if block.type == "text")


def current_client() -> anthropic.Anthropic:
    """The client of the last `connect`, else one for the practice API."""
    if _current is None:
        environment.mend()
        _settle(_practice(None, None))
    return _current


def async_client(client: anthropic.Anthropic) -> anthropic.AsyncAnthropic:
    """A new asynchronous client for the same place and key. It belongs to one event loop."""
    twin = anthropic.AsyncAnthropic(
        base_url=client.base_url,
        api_key=client.api_key,
        auth_token=None if client.api_key else client.auth_token,
        timeout=client.timeout,
        max_retries=client.max_retries,
        **_inside(anthropic.DefaultAsyncHttpxClient, str(client.base_url)),
    )
    twin._custom_headers = client._custom_headers
    if sys.platform == "emscripten":  # the SDK would ask in a thread, which a browser tab has not
        twin._platform = anthropic._base_client.get_platform()
    return twin


_once: WeakKeyDictionary[anthropic.Anthropic | anthropic.AsyncAnthropic, tuple] = WeakKeyDictionary()


def once(client: anthropic.Anthropic) -> anthropic.Anthropic:
    """`client`, or its async twin, without the SDK's own retries: a copy, made once, as it is not free."""
    if client.max_retries == 0:
        return client
    settings = (client.base_url, client.api_key, client.auth_token, client.timeout)
    known, copy = _once.get(client, (None, None))
    if known != settings:
        copy = client.with_options(max_retries=0)
        copy._custom_headers = client._custom_headers
        _once[client] = (settings, copy)
    return copy


def place(
    client: anthropic.Anthropic | anthropic.AsyncAnthropic,
) -> Literal["practice", "live", "local", "remote"]:
    """Where `client` sends its calls. "local" is another server on this machine: see `costs_nothing`."""
    url = str(client.base_url).rstrip("/")
    if practice.serves(url):
        return "practice"
    if url in (LIVE_URL, _live_url):
        return "live"
    return "local" if environment.is_loopback(urlsplit(url).hostname or "") else "remote"


def costs_nothing(client: anthropic.Anthropic | anthropic.AsyncAnthropic, model: str | None = None) -> bool:
    """Whether calls to `model` are answered on this machine, by a server of which nothing else is known.

    False where it may pass them on: it lists models that are sold (to connect), or `model` is such a one.
    """
    if place(client) != "local":
        return False
    elsewhere = first_look.elsewhere.get(str(client.base_url).rstrip("/"))
    if elsewhere is None:  # not looked at, or it has no list
        return not first_look.runs_elsewhere(model or models.MODEL)
    if any(not first_look.CLOUD.search(name) for name in elsewhere):  # a proxy: whatever it calls its models
        return False
    return model not in elsewhere if model else not elsewhere


# ------------------------------------------------------------------------------------- the places


def _practice(api_key: str | None, timeout: float | None) -> Place:
    model, before, lines = _own_model(), practice.replaced, []
    variables = {"ANTHROPIC_BASE_URL": practice.start(), "ANTHROPIC_API_KEY": api_key or PRACTICE_KEY}
    if practice.replaced > before:
        lines.append("The practice API had stopped answering: another one was started.")
    lines.append(f"Practice API · {model} · free: no key, no network, no money is spent")
    try:
        models.find_model(model)
    except models.UnknownModelError as error:
        lines.append(f"The practice API will answer 404: {error} {first_look.advice(models.DEFAULT_MODEL)}")
    return Place(_new_client(variables, timeout), model, lines, variables)


def _live(api_key: str | None, timeout: float | None) -> Place:
    global _live_url
    own, model = environment.remember(), _own_model()
    typed = os.environ.get("ANTHROPIC_API_KEY")
    if typed and typed != getattr(_current, "api_key", PRACTICE_KEY):  # set since, with %env for instance
        own["ANTHROPIC_API_KEY"] = typed
    url = _base(own.get("ANTHROPIC_BASE_URL", LIVE_URL))
    environment.mend(urlsplit(url).hostname)
    if not (api_key or own.get("ANTHROPIC_API_KEY") or own.get("ANTHROPIC_AUTH_TOKEN")):
        api_key = environment.ask_for_key()
    variables = own | {"ANTHROPIC_BASE_URL": url} | ({"ANTHROPIC_API_KEY": api_key} if api_key else {})
    for name in {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"} & variables.keys():
        variables[name] = environment.clean(variables[name])
    client = _new_client(variables, timeout)
    lines = [f"Live API at {urlsplit(url).hostname} · {model} · every call costs money"]
    try:
        lines += first_look.at_live_model(client, model)
    except anthropic.AuthenticationError:
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
            own.pop(name, None)  # the next connect("live") asks for another key
        raise
    own.update(variables)
    _live_url = url
    return Place(client, model, lines, variables)


def _server(url: str, api_key: str | None, timeout: float | None, name: str = "") -> Place:
    """The server at `url`; its list of models chooses one if it has a `name`, being one of LOCAL_SERVERS."""
    host, model = urlsplit(url).hostname or "", _own_model()
    environment.mend(host)
    # Local servers ignore the key, but the SDK insists on one. The learner's own never goes along unasked.
    variables = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": api_key or "not-needed"}
    client = _new_client(variables, timeout)
    with environment.holding(variables):
        names, note = first_look.at_server(client, bool(api_key), LOCAL_SECONDS if name else None)
    if name and not names and "(401)" not in note:
        raise LookupError(f"{name} runs, but lists no model.")
    same = next((each for each in names if first_look.is_same(each, model)), None)
    if same:  # as the server writes it, where more than the tag differs
        model = model if same in (model, f"{model}:latest") else same
    elif names and name:  # the first that runs here and can chat
        model = min(names, key=lambda each: bool(first_look.runs_elsewhere(each)) + ("embed" in each))
    elif names:
        note = f"Its models: {', '.join(names[:8])}. {first_look.advice(names[0])}"
    kind, money = "Server", "whoever runs it may charge for calls"
    if environment.is_loopback(host):
        kind, money = name or "Local server", "runs on this machine, costs nothing"
        if not costs_nothing(client, model):
            money = "may pass calls on: what you type can leave this machine, and cost money"
        elif elsewhere := first_look.elsewhere.get(url):
            money = f"runs on this machine, but {', '.join(elsewhere[:3])} would not"
        elif name:
            money = "what you type stays on this machine, and costs nothing"
    lines = [f"{kind} at {url} · {model} · {money}", *([note] if note else [])]
    return Place(client, model, lines, variables)


def _local(api_key: str | None, timeout: float | None) -> Place:
    found, named = "", os.environ.get("COURSE_LOCAL_URL")
    servers = {"Local server": _base(named)} if named else {}
    for name, url in (servers | LOCAL_SERVERS).items():
        try:
            return _server(url, api_key, timeout, name)
        except LookupError as error:
            found += f"{error} "
        except anthropic.APIConnectionError:
            pass
    raise anthropic.APIConnectionError(
        message=f"{found}There is no model on this machine: `ollama pull llama3.2` brings one to Ollama, and "
        "`make local` in the folder of the course a very small one with its own server.",
        request=httpx2.Request("GET", "http://127.0.0.1"),
    )


def _base(url: str) -> str:
    """The base URL that the SDK wants: without /v1. Raises ValueError for what is no URL."""
    try:
        url = str(url).strip()
        parts = httpx2.URL(url)
    except httpx2.InvalidURL:
        parts = httpx2.URL("")
    if parts.userinfo:
        raise ValueError("Pass the key as api_key=…: in the URL it would be shown.")
    if parts.scheme not in ("http", "https") or not parts.host:
        meant = f' Did you mean "http://{url}"?' if re.fullmatch(r"[\w.-]+:\d+", url) else ""
        places = '"local", "practice", "live" or a base URL such as "http://127.0.0.1:11434"'
        raise ValueError(f"connect takes {places}, not {url!r}.{meant}")
    return re.sub(r"/v1(/messages)?/*$", "", url.rstrip("/")).rstrip("/")


def _new_client(variables: dict[str, str], timeout: float | None) -> anthropic.Anthropic:
    """What `anthropic.Anthropic()` makes of `variables` and of no others. It is never garbage."""
    options = {} if timeout is None else {"timeout": timeout}
    with environment.holding(variables):
        _kept.append(
            anthropic.Anthropic(
                **options, **_inside(anthropic.DefaultHttpxClient, variables["ANTHROPIC_BASE_URL"])
            )
        )
    return _kept[-1]


def _inside(http_client: Callable, url: str) -> dict[str, object]:
    """What leads a client to a practice API without sockets, called in process as in a browser tab."""
    here = practice.serves(url) and practice.transport()
    return {"http_client": http_client(transport=here)} if here else {}


def _own_model() -> str:
    """The model of the lessons, unless connect("local") has put another in its place."""
    return _model_before or models.MODEL


def _settle(here: Place) -> None:
    """Make `here` the current place: its client, its model, and this process's environment."""
    global _current, _model_before
    _current, own = here.client, _own_model()
    _model_before = own if here.model != own else None
    for name in ("course_helpers", "__main__"):  # the MODEL that lessons import, before they connect
        names = vars(sys.modules.get(name, models))
        if names.get("MODEL") == models.MODEL:
            names["MODEL"] = here.model
    models.MODEL = here.model
    environment.set_to(here.variables | {"COURSE_MODEL": here.model})
