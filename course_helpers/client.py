"""One line chooses where calls go: the practice API, the real API, or a server of your own.

`connect` returns a plain `anthropic.Anthropic`: what you type here is what you type at work.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass
from typing import Literal
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import anthropic
import httpx2

from . import models
from .practice_api import PRACTICE_KEY, practice

Place = Literal["practice", "live", "local", "remote"]

LIVE_URL = "https://api.anthropic.com"
LOOK_TIMEOUT = 10.0  # seconds that the first look at a server may take

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
    `anthropic.Anthropic()` and a curl cell reach the same place.
    `timeout` is in seconds; None keeps the SDK's.
    Raises ValueError for a `to` that is none of these, RuntimeError where no key can be asked for,
    `anthropic.APIConnectionError` where nothing answers, `anthropic.AuthenticationError` for a refused key.
    """
    _remember()
    if to is None or to == "practice":
        client, line = _practice(api_key, timeout)
    elif to == "live":
        client, line = _live(api_key, timeout)
    else:
        client, line = _base_url(to, api_key, timeout)
    print(line)
    return client


def reply_text(message: anthropic.types.Message) -> str:
    """The text of `message`: its text blocks joined, whatever comes first; "" if there are none."""
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
    return "local" if _is_loopback(urlsplit(url).hostname or "") else "remote"


def _practice(api_key: str | None, timeout: float | None) -> tuple[anthropic.Anthropic, str]:
    client = _client(practice.start(), api_key or PRACTICE_KEY, timeout)
    _settle(client, ANTHROPIC_API_KEY=client.api_key)
    line = f"Practice API · {models.MODEL} · free: no key, no network, no money is spent"
    try:
        models.find_model(models.MODEL)
    except models.UnknownModelError as error:
        line += f"\nThe practice API will answer 404: {error} Set COURSE_MODEL and restart the kernel."
    return client, line


def _live(api_key: str | None, timeout: float | None) -> tuple[anthropic.Anthropic, str]:
    global _live_url
    environment = _remember()
    url = environment.get("ANTHROPIC_BASE_URL", LIVE_URL).rstrip("/")
    token = environment.get("ANTHROPIC_AUTH_TOKEN")
    key = api_key or environment.get("ANTHROPIC_API_KEY") or (None if token else _ask_for_key())
    credentials = {"api_key": key} if key else {"auth_token": token}
    headers = _headers(environment.get("ANTHROPIC_CUSTOM_HEADERS", ""))
    with _bare_environment():
        client = anthropic.Anthropic(
            base_url=url, default_headers=headers, **credentials, **_timeout(timeout)
        )
    notes = _look_at_live_model(client)
    if key:
        environment["ANTHROPIC_API_KEY"] = key
    _live_url = url
    _settle(client, **{name: environment[name] for name in _MANAGED if name in environment})
    line = f"Live API at {urlsplit(url).hostname} · {models.MODEL} · every call costs money"
    return client, "\n".join([line, *notes])


def _base_url(to: str, api_key: str | None, timeout: float | None) -> tuple[anthropic.Anthropic, str]:
    try:
        parts = httpx2.URL(str(to))
    except httpx2.InvalidURL:
        parts = httpx2.URL("")
    if parts.userinfo:
        raise ValueError("Pass the key as api_key=…: in the URL it would be shown.")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(
            f'connect takes "practice", "live" or a base URL such as "http://127.0.0.1:11434", not {to!r}.'
        )
    url = to.rstrip("/").removesuffix("/v1").rstrip("/")
    # Local servers ignore the key, but the SDK insists on one. The learner's own never goes along unasked.
    client = _client(url, api_key or "not-needed", timeout)
    names = _model_names(url, api_key)
    _settle(client, ANTHROPIC_API_KEY=client.api_key)
    kind, money = "Server", "whoever runs it may charge for calls"
    if _is_loopback(parts.host):
        kind, money = "Local server", "runs on this machine, costs nothing"
    line = f"{kind} at {url} · {models.MODEL} · {money}"
    if names and models.MODEL not in names:
        line += (
            f"\nIts models: {', '.join(names[:8])}. Set COURSE_MODEL to one of them and restart the kernel, "
            "or pass model=… in each call."
        )
    return client, line


def _client(url: str, key: str, timeout: float | None) -> anthropic.Anthropic:
    _keep_loopback_off_the_proxy()
    with _bare_environment():
        return anthropic.Anthropic(base_url=url, api_key=key, **_timeout(timeout))


def _timeout(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"timeout": seconds}


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
        "No API key: set ANTHROPIC_API_KEY before you start JupyterLab, "
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


def _look_at_live_model(client: anthropic.Anthropic) -> list[str]:
    """Sentences about the chosen model that the Models API makes necessary: deprecated, or gone."""
    look = client.with_options(max_retries=0, timeout=LOOK_TIMEOUT)
    try:
        model = look.models.retrieve(models.MODEL)
    except anthropic.AuthenticationError as error:
        raise anthropic.AuthenticationError(
            f"The API refused the key ({error.status_code}). Check ANTHROPIC_API_KEY, make a new key in the "
            'console if need be, and restart the kernel; connect("practice") needs none. '
            "Nothing changed: calls go where they went before.",
            response=error.response,
            body=error.body,
        ) from None
    except anthropic.NotFoundError:
        return [f"This API does not have {models.MODEL}. {_advice(look)}"]
    except anthropic.APIConnectionError as error:
        raise _nothing_answers(str(client.base_url), error) from None
    except anthropic.APIStatusError as error:
        return [f"The Models API answered {error.status_code}, so {models.MODEL} could not be checked."]
    if getattr(model, "lifecycle", "active") == "active":
        return []
    until = f" and stops answering on {model.retires_at:%Y-%m-%d}" if model.retires_at else ""
    return [f"{model.id} is {model.lifecycle}{until}. {_advice(look)}"]


def _advice(look: anthropic.Anthropic) -> str:
    """What to set COURSE_MODEL to: the newest active model of the same line that the API lists."""
    try:
        active = [m for m in look.models.list(limit=1000) if getattr(m, "lifecycle", "active") == "active"]
    except anthropic.APIError:
        active = []
    line = next((line for line in models.ALIASES if f"-{line}-" in models.MODEL), "no line")
    same_line = [model.id for model in active if f"-{line}-" in model.id]
    choice = (same_line or [model.id for model in active] or [models.DEFAULT_MODEL])[0]
    return f"Set COURSE_MODEL={choice} and restart the kernel."


def _model_names(url: str, api_key: str | None) -> list[str]:
    """The model names that the server lists, [] where it lists none. Raises where nothing answers."""
    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    headers = {"anthropic-version": "2023-06-01", **key}
    try:
        answer = httpx2.get(f"{url}/v1/models", headers=headers, timeout=LOOK_TIMEOUT)
        return [str(item["id"]) for item in answer.json()["data"]]
    except httpx2.HTTPError as error:
        raise _nothing_answers(url, error) from None
    except (ValueError, LookupError, TypeError):
        return []


def _nothing_answers(url: str, error: Exception) -> anthropic.APIConnectionError:
    advice = "check the address, the network and, behind a proxy, HTTPS_PROXY."
    if _is_loopback(urlsplit(url).hostname or ""):
        advice = "is the server running?"
    return anthropic.APIConnectionError(
        message=f"Nothing answers at {url.rstrip('/')} ({type(error.__cause__ or error).__name__}): {advice}",
        request=httpx2.Request("GET", url),
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keep_loopback_off_the_proxy() -> None:
    """Calls to this machine must not go to a proxy: name loopback in NO_PROXY."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        hosts += [host for host in ("127.0.0.1", "localhost") if host not in hosts]
        os.environ[name] = ",".join(hosts)
