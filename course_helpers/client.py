"""One line chooses where calls go: the practice API, the real API, or a server of your own.

`connect` returns a plain `anthropic.Anthropic`: what you type here is what you type at work.
"""

from __future__ import annotations

import copy
import os
import re
import sys
import warnings
from contextlib import suppress
from functools import partial
from typing import Literal

import anthropic
import httpx2

from . import curl, environment, models
from .environment import is_loopback
from .formatting import plain
from .practice_api import PRACTICE_KEY, practice

LIVE_URL = "https://api.anthropic.com"
# On which port they listen unless told otherwise, in the order in which `connect("local")` asks.
LOCAL_SERVERS = {"Ollama": 11434, "LM Studio": 1234, "llama.cpp": 8080}
SECONDS = 5.0  # how long a first look at a server may take
# Models that are sold and not given away: a server on this machine that lists one may pass any call on.
_SOLD = re.compile(
    r"(?i)(^|[/.])(claude|gpt-(\d|chat)|chatgpt|o\d(-|$)|gemini|grok|muse-|sonar|command-[ar]\b|kimi-latest|"
    r"deepseek-(chat|reasoner)|mistral-\w+-latest|qwen-(max|plus|turbo))"
)
# What Ollama calls those that run elsewhere; the others run here.
_CLOUD = re.compile("(?i)[-:]cloud$")
AnyClient = anthropic.Anthropic | anthropic.AsyncAnthropic
Place = tuple[anthropic.Anthropic, str]  # a client, and the model that goes with it

_current: anthropic.Anthropic | None = None
_stands_for: dict[str, str] = {}  # the model that connect has put in place → models.MODEL as it was before
_live_urls = {LIVE_URL}  # and the learner's own, once they have gone live
_passes_on: dict[str, bool] = {}  # base URL of a server that lists its models → is one of them _SOLD?
# A client that is garbage closes its pool on whichever thread collects it. Were that the practice API's, and
# the pool's lock held by a call that was interrupted, the practice API would wait for ever.
_kept: list[anthropic.Anthropic] = []


def connect(
    to: str | None = None, *, api_key: str | None = None, timeout: float | None = None
) -> anthropic.Anthropic:
    """An SDK client for `to`: None or "practice" (free), "live" (costs money), "local", or a base URL.

    "local" is the first of COURSE_LOCAL_URL, Ollama, LM Studio and llama.cpp that answers; MODEL becomes the
    first model that it lists, or COURSE_MODEL. None is "local" where COURSE_PLACE says so, else "practice".
    Prints where calls go, which model, whether money is spent. Sets ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY and
    COURSE_MODEL in this process, so that `anthropic.Anthropic()` and a `%%curl` cell reach the same place.
    `timeout` is in seconds. Raises ValueError for another `to`, RuntimeError for the environment or no key,
    `anthropic.APIConnectionError` where nothing answers, `anthropic.AuthenticationError` for a refused key.
    """
    environment.mend()
    if to is None:
        to = "local" if os.environ.get("COURSE_PLACE") == "local" else "practice"
    # The lessons show models that go: live the SDK says so, elsewhere it would change what a cell shows.
    told = "default" if to == "live" else "ignore"
    warnings.filterwarnings(told, "The model '.*' is deprecated", DeprecationWarning)
    places = {"practice": _practice, "live": _live, "local": _local}
    make = places.get(str(to)) or partial(_server, url=_base(to))
    before = environment.managed()
    try:
        client, model = make(environment.clean(api_key), _stands_for.get(models.MODEL, models.MODEL))
    except BaseException as error:
        environment.set_to(before)
        raise error.with_traceback(None) from None  # without the SDK's frames, which fill a screen
    client = client if timeout is None else client.with_options(timeout=timeout)
    _settle(client, model)
    curl.offer()
    return client


def reply_text(message: anthropic.types.Message) -> str:
    """The text of `message`: its text blocks joined, whatever comes first; "" if there are none."""
    return "".join(block.text for block in message.content or () if block.type == "text")


def current_client() -> anthropic.Anthropic:
    """The client of the last `connect`, else one for the practice API."""
    if _current is None:
        environment.mend()
        _settle(_new_client(practice.start(), ANTHROPIC_API_KEY=PRACTICE_KEY), models.MODEL)
    return _current


def async_client(client: anthropic.Anthropic) -> anthropic.AsyncAnthropic:
    """A new asynchronous client for the same place and key. It belongs to one event loop."""
    same = {name: getattr(client, name) for name in ("base_url", "api_key", "timeout", "max_retries")}
    twin = anthropic.AsyncAnthropic(**same, auth_token=None if client.api_key else client.auth_token)
    twin._custom_headers = client._custom_headers  # else they are those that the environment has now
    if sys.platform == "emscripten":  # the SDK would ask in a thread, which a browser tab has not
        twin._platform = anthropic._base_client.get_platform()
    return twin


def once(client: AnyClient) -> AnyClient:
    """`client` without the SDK's own retries. Its `with_options` would read ANTHROPIC_CUSTOM_HEADERS anew."""
    alone = copy.copy(client)
    alone.max_retries = 0
    vars(alone).pop("messages", None)  # which send through their client: they are made anew on first use
    return alone


def place(client: AnyClient) -> Literal["practice", "live", "local", "remote"]:
    """Where `client` sends its calls. "local" is another server on this machine: see `costs_nothing`."""
    url = str(client.base_url).rstrip("/")
    if practice.serves(url):
        return "practice"
    if url in _live_urls:
        return "live"
    return "local" if is_loopback(client.base_url.host) else "remote"


def costs_nothing(client: AnyClient, model: str) -> bool:
    """Whether `client` leads to a server on this machine that answers calls to `model` itself."""
    # Of a server that connect has not looked at, or that has no list, the model's name alone is known.
    passes_on = _passes_on.get(str(client.base_url).rstrip("/"), bool(_SOLD.search(model)))
    return place(client) == "local" and not passes_on and not _CLOUD.search(model)


def final_cause(error: BaseException) -> str:
    """What is wrong, in a sentence, where a connection error is one that no waiting mends; else ""."""
    cause = error.__cause__
    if cause is None or not isinstance(error, anthropic.APIConnectionError) or hasattr(error, "final"):
        return ""
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return "The server's certificate is not trusted: of a network's own, SSL_CERT_FILE names the file."
    if "client has been closed" in str(cause):
        return "The client is closed: run the setup cell again, or call connect(), for another."
    if isinstance(cause, httpx2.LocalProtocolError):  # its own words hold the header: perhaps a key
        return "The request has a header that HTTP does not allow: a line break, perhaps, in a key."
    passing = isinstance(cause, httpx2.TransportError | OSError)
    if passing and not isinstance(cause, httpx2.UnsupportedProtocol):
        return ""
    return f"Nothing could be sent ({type(cause).__name__}): mend the address, or run the setup cell again."


def _practice(api_key: str | None, model: str) -> Place:
    before = practice.replaced
    client = _new_client(practice.start(), ANTHROPIC_API_KEY=api_key or PRACTICE_KEY)
    if practice.replaced > before:
        print("The practice API had stopped answering: another one was started.")
    print(f"Practice API · {model} · free: no key, no network, no money is spent")
    return client, model


def _live(api_key: str | None, model: str) -> Place:
    own = environment.remember()  # and what is changed in it is what the next connect("live") finds
    url = _base(own.get("ANTHROPIC_BASE_URL", LIVE_URL))
    _live_urls.add(url)
    keys = {name: environment.clean(own[name]) for name in environment.KEYS if name in own}
    if api_key or not keys:
        keys["ANTHROPIC_API_KEY"] = api_key or environment.ask_for_key()
    own |= keys
    try:
        client, _ = _visit(url, **own)
    except anthropic.AuthenticationError:
        for name in environment.KEYS:
            own.pop(name, None)
        raise
    print(f"Live API at {client.base_url.host} · {model} · every call costs money")
    return client, model


def _local(api_key: str | None, model: str) -> Place:
    urls = {"Local server": os.environ.get("COURSE_LOCAL_URL", "")}
    urls |= {name: f"http://127.0.0.1:{port}" for name, port in LOCAL_SERVERS.items()}
    for name, url in urls.items():
        with suppress(LookupError, ValueError, anthropic.APIConnectionError, anthropic.AuthenticationError):
            return _server(api_key, model, _base(url), name)
    said = "There is no model on this machine: `ollama pull llama3.2` brings one to Ollama, and `make local` "
    said += "in the folder of the course a very small one with its own server."
    raise anthropic.APIConnectionError(message=said, request=httpx2.Request("GET", "http://127.0.0.1"))


def _server(api_key: str | None, model: str, url: str, name: str = "") -> Place:
    """The server at `url`. Where it has a `name`, as for "local", the first model that it lists will do."""
    # Local servers ignore the key, but the SDK insists on one. The learner's own never goes along unasked.
    client, names = _visit(url, ANTHROPIC_API_KEY=api_key or "not-needed")
    if name and not names:
        raise LookupError(f"{name} runs, but lists no model.")
    if same := {_plain_name(each): each for each in names}.get(_plain_name(model)):
        model = same
    elif names and name:  # the first that runs here and can chat
        model = min(names, key=lambda each: bool(_CLOUD.search(each)) + ("embed" in each))
    kind, money = name or "Local server", "runs on this machine, costs nothing"
    if not is_loopback(client.base_url.host):
        kind, money = "Server", "whoever runs it may charge for calls"
    elif not costs_nothing(client, model):
        money = "may pass calls on: what you type can leave this machine, and cost money"
    elif any(map(_CLOUD.search, names)):
        money = "costs nothing, but what you type to its cloud models leaves this machine, and may cost money"
    elif name:
        money = "what you type stays on this machine, and costs nothing"
    print(f"{kind} at {url} · {model} · {money}")
    if names and model not in names:
        print(f"Its models: {', '.join(names[:8])}. Start again with COURSE_MODEL=… to take another.")
    return client, model


def _plain_name(model: str) -> str:
    """What Ollama makes of a name: case, the tag `latest` and `library/` do not matter."""
    return model.lower().removeprefix("library/").removesuffix(":latest")


def _visit(url: str, **variables: str) -> tuple[anthropic.Anthropic, list[str]]:
    """`_new_client`, and the models that its server lists, if it lists any. What stops it is an error."""
    here = is_loopback(httpx2.URL(url).host)
    environment.mend(httpx2.URL(url).host)
    client = _new_client(url, **variables)
    _passes_on.pop(url, None)
    try:
        look = client.with_options(max_retries=0, timeout=SECONDS)
        answer = look.get("/v1/models?limit=1000", cast_to=httpx2.Response)
        listed = [plain(str(model["id"])) for model in answer.json()["data"]]
    except anthropic.AuthenticationError as error:
        said = "The key is refused (401): pass the right one as api_key=…; connect('live') asks for another. "
        said += "Nothing changed: calls go where they went before."
        error.args = (said,)
        raise
    except (anthropic.APIStatusError, LookupError, TypeError):
        return client, []
    except ValueError:
        raise ValueError(f"{url} answers with a page for people: is a Messages API there?") from None
    except anthropic.APIConnectionError as error:
        hint = "is the server running?" if here else "check address, network and, behind a proxy, HTTPS_PROXY"
        cause = type(error.__cause__).__name__
        error.args = (f"Nothing answers at {url} ({cause}): {final_cause(error) or hint}",)
        raise
    ours = answer.headers.get("request-id", "").startswith("req_practice")  # of another process
    _passes_on[url] = any(map(_SOLD.search, listed)) and not ours
    return client, listed


def _base(url: str) -> str:
    """The base URL that the SDK wants: without /v1. Raises ValueError for what is no URL."""
    url = str(url).strip()
    with suppress(httpx2.InvalidURL):
        parts = httpx2.URL(url)
        if parts.userinfo:
            raise ValueError("Pass the key as api_key=…: in the URL it would be shown.")
        if parts.scheme in ("http", "https") and parts.host:
            return re.sub(r"/v1(/messages)?/*$", "", url.rstrip("/")).rstrip("/")
    places = '"local", "practice", "live" or a base URL such as "http://127.0.0.1:11434"'
    raise ValueError(f"connect takes {places}, not {url!r}.")


def _new_client(url: str, **variables: str) -> anthropic.Anthropic:
    """What `anthropic.Anthropic()` makes of an environment with these. It is never garbage."""
    environment.set_to(variables | {"ANTHROPIC_BASE_URL": url})
    _kept.append(anthropic.Anthropic())
    return _kept[-1]


def _settle(client: anthropic.Anthropic, model: str) -> None:
    """Make `client` the current one, and `model` the one of the lessons."""
    global _current, _stands_for
    _current, _stands_for = client, {model: _stands_for.get(models.MODEL, models.MODEL)}
    for name in ("course_helpers", "__main__"):  # the MODEL that lessons import, before they connect
        names = vars(sys.modules.get(name, models))
        if names.get("MODEL") == models.MODEL:
            names["MODEL"] = model
    models.MODEL = os.environ["COURSE_MODEL"] = model
