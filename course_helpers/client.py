"""One line chooses where calls go: the practice API, the real API, or a server of your own.

`connect` returns a plain `anthropic.Anthropic`: what you type here is what you type at work.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass
from typing import Any, Literal
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import anthropic
import httpx2

from . import curl, first_look, models
from .practice_api import PRACTICE_KEY, practice

Place = Literal["practice", "live", "local", "remote"]

LIVE_URL = "https://api.anthropic.com"

# What the SDK reads, and so what connect must set for its place. Custom headers can carry a key too.
_MANAGED = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_CUSTOM_HEADERS",
    "COURSE_MODEL",
)
_remembered: dict[str, str] | None = None
_current: anthropic.Anthropic | None = None
_live_url: str | None = None


def connect(
    to: str | None = None, *, api_key: str | None = None, timeout: float | None = None
) -> anthropic.Anthropic:
    """An SDK client for `to`: None or "practice" (free), "live" (costs money), or a base URL.

    Prints one line: where calls go, which model, whether money is spent.
    Sets ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY and COURSE_MODEL in this process, so that
    `anthropic.Anthropic()` and a `%%curl` cell reach the same place.
    `timeout` is in seconds; None keeps the SDK's.
    Raises ValueError for a `to` that is none of these, RuntimeError where no key can be asked for,
    `anthropic.APIConnectionError` where nothing answers, `anthropic.AuthenticationError` for a refused key.
    """
    _remember()
    api_key = _clean(api_key)
    if to is None or to == "practice":
        client, line = _practice(api_key, timeout)
    elif to == "live":
        client, line = _live(api_key, timeout)
    else:
        client, line = _base_url(to, api_key, timeout)
    print(line)
    curl.offer(lambda: client._client)
    return client


def reply_text(message: anthropic.types.Message) -> str:
    """The text of `message`: its text blocks joined, whatever comes first; "" if there are none."""
    if isinstance(message, str):  # which the SDK returns for an answer that is no JSON
        raise TypeError("The server sent a page, not a Message: check the address that connect was given.")
    return "".join(block.text for block in message.content or () if block.type == "text")


def current_client() -> anthropic.Anthropic:
    """The client of the last `connect`, else one for the practice API."""
    if _current is None:
        _remember()
        _practice(None, None)
    return _current


def async_client(client: anthropic.Anthropic) -> anthropic.AsyncAnthropic:
    """A new asynchronous client for the same place and key. It belongs to one event loop."""
    twin = anthropic.AsyncAnthropic(
        base_url=client.base_url,
        api_key=client.api_key,
        auth_token=None if client.api_key else client.auth_token,
        timeout=client.timeout,
        max_retries=client.max_retries,
    )
    twin._custom_headers = client._custom_headers
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


def place(client: anthropic.Anthropic | anthropic.AsyncAnthropic) -> Place:
    """Where `client` sends its calls. "local" is another server on this machine: it costs nothing."""
    url = str(client.base_url).rstrip("/")
    if practice.serves(url):
        return "practice"
    if url in (LIVE_URL, _live_url):
        return "live"
    return "local" if first_look.is_loopback(urlsplit(url).hostname or "") else "remote"


def _practice(api_key: str | None, timeout: float | None) -> tuple[anthropic.Anthropic, str]:
    client = _client(practice.start(), api_key or PRACTICE_KEY, timeout)
    _settle(client, ANTHROPIC_API_KEY=client.api_key)
    line = f"Practice API · {models.MODEL} · free: no key, no network, no money is spent"
    try:
        models.find_model(models.MODEL)
    except models.UnknownModelError as error:
        line += f"\nThe practice API will answer 404: {error} {first_look.advice(models.DEFAULT_MODEL)}"
    return client, line


def _live(api_key: str | None, timeout: float | None) -> tuple[anthropic.Anthropic, str]:
    global _live_url
    environment = _remember()
    url = environment.get("ANTHROPIC_BASE_URL", LIVE_URL).rstrip("/")
    token = environment.get("ANTHROPIC_AUTH_TOKEN")
    typed = os.environ.get("ANTHROPIC_API_KEY")
    if typed and typed != getattr(_current, "api_key", PRACTICE_KEY):  # set since, with %env for instance
        environment["ANTHROPIC_API_KEY"] = typed
    key = api_key or environment.get("ANTHROPIC_API_KEY") or (None if token else _ask_for_key())
    credentials = {"api_key": _clean(key)} if key else {"auth_token": _clean(token)}
    headers = _headers(environment.get("ANTHROPIC_CUSTOM_HEADERS", ""))
    client = _new_client(timeout, base_url=url, default_headers=headers, **credentials)
    try:
        notes = first_look.at_live_model(client)
    except anthropic.AuthenticationError:
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
            environment.pop(name, None)  # the next connect("live") asks for another key
        raise
    if key:
        environment["ANTHROPIC_API_KEY"] = key
    _live_url = url
    _settle(client, **{name: environment[name] for name in _MANAGED if name in environment})
    line = f"Live API at {urlsplit(url).hostname} · {models.MODEL} · every call costs money"
    return client, "\n".join([line, *notes])


def _base_url(to: str, api_key: str | None, timeout: float | None) -> tuple[anthropic.Anthropic, str]:
    try:
        to = str(to).strip()
        parts = httpx2.URL(to)
    except httpx2.InvalidURL:
        parts = httpx2.URL("")
    if parts.userinfo:
        raise ValueError("Pass the key as api_key=…: in the URL it would be shown.")
    if parts.scheme not in ("http", "https") or not parts.host:
        meant = f' Did you mean "http://{to}"?' if re.fullmatch(r"[\w.-]+:\d+", to) else ""
        places = '"practice", "live" or a base URL such as "http://127.0.0.1:11434"'
        raise ValueError(f"connect takes {places}, not {to!r}.{meant}")
    url = to.rstrip("/").removesuffix("/v1").rstrip("/")
    # Local servers ignore the key, but the SDK insists on one. The learner's own never goes along unasked.
    client = _client(url, api_key or "not-needed", timeout)
    names, doubt = first_look.at_server(url, api_key)
    _settle(client, ANTHROPIC_API_KEY=client.api_key)
    kind, money = "Server", "whoever runs it may charge for calls"
    if first_look.is_loopback(parts.host):
        kind, money = "Local server", "runs on this machine, costs nothing"
    line = f"{kind} at {url} · {models.MODEL} · {money}"
    if doubt:
        line += f"\n{doubt}"
    if names and models.MODEL not in names:
        line += f"\nIts models: {', '.join(names[:8])}. {first_look.advice(names[0])}"
    return client, line


def _client(url: str, key: str, timeout: float | None) -> anthropic.Anthropic:
    _keep_loopback_off_the_proxy()
    return _new_client(timeout, base_url=url, api_key=key)


def _new_client(timeout: float | None, **arguments: Any) -> anthropic.Anthropic:
    """A client that takes nothing from the managed variables."""
    if timeout is not None:
        arguments["timeout"] = timeout
    try:
        with _bare_environment():
            return anthropic.Anthropic(**arguments)
    except FileNotFoundError:
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        where = os.environ.get(name)
        raise RuntimeError(f"{name} names {where}, which is not there: correct it, or unset it.") from None


def _clean(key: str | None) -> str | None:
    """`key` as it goes into a header. Raises ValueError, without the key, where it cannot be one."""
    key = key and key.strip()
    if key and not re.fullmatch(r"[!-~]+", key):
        raise ValueError("The key holds a blank or another character that no key has: copy it once more.")
    return key


def _settle(client: anthropic.Anthropic, **variables: str) -> None:
    """Make `client` the current one and point this process's environment at its place."""
    global _current
    _current = client
    for name in _MANAGED:
        os.environ.pop(name, None)
    os.environ.update(variables)
    os.environ["ANTHROPIC_BASE_URL"] = str(client.base_url).rstrip("/")
    os.environ["COURSE_MODEL"] = models.MODEL


def _remember() -> dict[str, str]:
    """The managed variables as they were before the first connect."""
    global _remembered
    if _remembered is None:
        _remembered = {name: os.environ[name] for name in _MANAGED if os.environ.get(name)}
        if _remembered.get("ANTHROPIC_API_KEY") == PRACTICE_KEY:
            # A process that was connected to practice started this one: its address is not the learner's.
            _remembered.pop("ANTHROPIC_API_KEY")
            _remembered.pop("ANTHROPIC_BASE_URL", None)
    return _remembered


@contextmanager
def _bare_environment() -> Iterator[None]:
    """For the time of the `with` block the SDK finds none of the managed variables."""
    before = {name: os.environ.pop(name) for name in _MANAGED if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _headers(lines: str) -> dict[str, str]:
    """The headers in the form that ANTHROPIC_CUSTOM_HEADERS has: `Name: value`, one a line."""
    pairs = (line.split(":", 1) for line in lines.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _ask_for_key() -> str:
    """The key typed at a hidden prompt. It stays in this process's memory only."""
    advice = (
        "No API key: set ANTHROPIC_API_KEY and start again, pass api_key=…, "
        'or go on for free with connect("practice").'
    )
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    in_notebook = getattr(shell, "kernel", None) is not None
    if not in_notebook and not (sys.stdin and sys.stdin.isatty()):
        raise RuntimeError(advice)
    try:
        key = getpass("Anthropic API key (hidden as you type): ").strip()
    except (EOFError, RuntimeError):  # ipykernel raises a RuntimeError where nobody can type
        key = ""
    if not key:
        raise RuntimeError(advice) from None
    return key


def _keep_loopback_off_the_proxy() -> None:
    """Calls to this machine must not go to a proxy: name loopback in NO_PROXY."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        hosts += [host for host in ("127.0.0.1", "localhost") if host not in hosts]
        os.environ[name] = ",".join(hosts)
