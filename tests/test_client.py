"""`connect`: one line chooses where calls go, and no key goes where it does not belong."""

from __future__ import annotations

import gc
import itertools
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from types import SimpleNamespace

import anthropic
import pytest
from anthropic._data.deprecated_models import DEPRECATED_MODELS

import course_helpers
from course_helpers import Conversation, connect, environment, models, practice
from course_helpers import client as module
from course_helpers.client import async_client, costs_nothing, current_client, once, place
from tests.scripted_server import ScriptedServer, answer, failure

SECRET = "sk-ant-api03-the-learners-own-key"
HELLO = {"model": models.MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}
STAYS = "what you type stays on this machine, and costs nothing"
UNREADABLE = ("socks://127.0.0.1:1080/", "http://p:port", "ftp://p:21", "http://[::1", "://p")
PROXIES = [name for each in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (each, each.lower())]


def listing(*names: str, key: str | None = None):
    """The step of a server that lists the models `names`, and may want a `key`."""

    def step(request):
        given = request.headers.get("x-api-key") or request.headers.get("authorization", "")
        if key and given.removeprefix("Bearer ") != key:
            return failure(401, "authentication_error")
        return answer(200, {"data": [{"id": name} for name in names], "has_more": False})

    return step


@pytest.fixture
def local():
    """A local model server that asks for no key."""
    with ScriptedServer(listing(models.MODEL)) as server:
        yield server


@pytest.fixture
def live(local, monkeypatch):
    """In place of the real API; its key is the learner's."""
    local.play(listing(models.MODEL, key=SECRET))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", local.url)
    return local


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """`connect` as in a new process."""
    new = {"_current": None, "_stands_for": {}, "_live_urls": {module.LIVE_URL}, "_passes_on": {}}
    for name, value in new.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(models, "MODEL", models.MODEL)
    monkeypatch.setattr(course_helpers, "MODEL", models.MODEL)
    environment.remember.cache_clear()


@pytest.fixture
def nobody():
    """An address of this machine where nothing answers."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def shown(error: BaseException) -> str:
    """Everything that a traceback shows."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_practice_sets_what_the_sdk_and_curl_read(monkeypatch, capsys):
    """A key in the environment alone never goes live: code of the course text reaches no other place."""
    for name in environment.KEYS:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-other: {SECRET}")
    assert place(current_client()) == "practice"
    assert capsys.readouterr().out == ""
    client = connect(None)
    assert (type(client), client.timeout) == (anthropic.Anthropic, anthropic.Anthropic(api_key="x").timeout)
    assert connect("practice", timeout=3).timeout == current_client().timeout == 3
    here = {"ANTHROPIC_BASE_URL": practice.url, "ANTHROPIC_API_KEY": "practice"}
    assert environment.managed() == here | {"COURSE_MODEL": models.MODEL}
    assert anthropic.Anthropic().messages.create(**HELLO).content
    assert practice.journal[-1].headers["authorization"] == "Bearer [redacted]"
    assert SECRET not in repr(list(practice.journal))


def test_a_practice_api_that_hangs_is_replaced(capsys):
    """The setup cell run again leads to one that answers, and says so. What connect made is never garbage."""
    held, stuck = weakref.ref(connect()._client), threading.Event()
    practice._server.loop.call_soon_threadsafe(stuck.wait, 60)
    capsys.readouterr()
    try:
        assert connect().messages.create(**HELLO).content
    finally:
        stuck.set()
    said = "The practice API had stopped answering: another one was started.\nPractice API"
    assert capsys.readouterr().out.startswith(said)
    gc.collect()
    assert held() is not None  # else its pool would be closed on the practice API's thread, and may stop it


def test_the_sdk_does_not_warn_of_what_the_course_knows(monkeypatch, recwarn, live):
    """A model that the SDK deprecates tomorrow changes no cell; live it still warns."""
    monkeypatch.setitem(DEPRECATED_MODELS, models.MODEL, "January 1st, 2030")
    warnings.simplefilter("always")
    connect().messages.create(**HELLO)
    assert not recwarn
    connect("live", api_key=SECRET).messages.create(**HELLO)
    assert [str(each.message).split("'")[1] for each in recwarn] == [models.MODEL]


def test_proxy_variables_that_nobody_can_read(monkeypatch):
    """They stop neither connect nor the SDK's own client nor an async one; live and remote name them."""
    for name, value in zip(itertools.cycle(PROXIES), UNREADABLE, strict=False):
        environment.remember.cache_clear()
        monkeypatch.setenv(name, value)
        connect()
        assert anthropic.Anthropic().messages.create(**HELLO).content
        async_client(current_client())
        for there in ("live", "http://192.0.2.1"):
            with pytest.raises(RuntimeError, match=f"^{name} holds no proxy address that can be used here"):
                connect(there, api_key=SECRET)
    environment.remember.cache_clear()
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", UNREADABLE[0])
    with pytest.raises(RuntimeError, match=r"^HTTP_PROXY holds"):  # it alone: the other one stays
        connect("live", api_key=SECRET)
    environment.remember.cache_clear()
    with pytest.raises(anthropic.APIConnectionError, match=r"anthropic.com .*behind a proxy, HTTPS_PROXY"):
        connect("live", api_key=SECRET)


def test_no_name_of_this_machine_goes_to_the_proxy(monkeypatch, nobody):
    """Not the rest of 127.0.0.0/8 and not IPv6 either: nothing answers there, and the proxy hears nothing."""
    monkeypatch.setenv("NO_PROXY", "example.com")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for host in ("127.8.9.1", "[::1]", "a.localhost"):
            with pytest.raises(anthropic.APIConnectionError, match="is the server running"):
                connect(nobody.replace("127.0.0.1", host))
        assert connect().messages.create(**HELLO).content
        proxy.settimeout(0.01)
        with pytest.raises(TimeoutError):
            proxy.accept()
    assert os.environ["NO_PROXY"].startswith("example.com,127.0.0.1,localhost,::1,.localhost")


def test_certificates(monkeypatch, tmp_path):
    """A file that is none is named, for practice too; one that nobody vouches for brings the variable."""
    for file in ("/not/there.pem", __file__):
        monkeypatch.setenv("SSL_CERT_FILE", file)
        for to in (None, "live"):
            with pytest.raises(RuntimeError, match=f"SSL_CERT_FILE names {re.escape(file)}, which is"):
                connect(to, api_key=SECRET)
    monkeypatch.delenv("SSL_CERT_FILE")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout k.pem -out c.pem"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    unknown = r"certificate is not trusted.* SSL_CERT_FILE"
    with ScriptedServer(tls=context) as server, pytest.raises(anthropic.APIConnectionError, match=unknown):
        connect(server.url, api_key=SECRET)


# Live


def test_live_after_practice_finds_the_learners_own_key(monkeypatch, live, capsys):
    """Back and forth: each connect sets everything for its place. Ends of address and key are forgiven."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{SECRET}\n")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{live.url}/v1/")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Team: a: b\nx-empty")
    for _ in range(2):
        connect().messages.create(**HELLO)
        assert "x-team" not in practice.journal[-1].headers
        client = connect("live")
        found = environment.managed()
        assert (place(client), found["ANTHROPIC_BASE_URL"]) == ("live", live.url)
        assert client.api_key == anthropic.Anthropic().api_key == found["ANTHROPIC_API_KEY"] == SECRET
        assert live.requests[-1].headers["x-team"] == "a: b"
    said = capsys.readouterr().out
    assert "every call costs money" in said
    assert SECRET not in said + repr(client)
    assert len(live.requests) == 2
    foreign = connect(live.url, api_key=SECRET)
    for other in (foreign, once(foreign), async_client(foreign), once(async_client(foreign))):
        assert "X-Team" not in other.default_headers
    for other in (client, once(client), async_client(client), once(async_client(client))):
        assert other.default_headers["X-Team"] == "a: b"


def test_a_token_or_a_key_that_is_passed(monkeypatch, live):
    """Both come back after practice; blanks around a key do no harm, others are refused and not shown."""
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", SECRET)
    connect()
    assert "ANTHROPIC_AUTH_TOKEN" not in os.environ
    client = connect("live")
    assert (client.api_key, client.auth_token, os.environ["ANTHROPIC_AUTH_TOKEN"]) == (None, SECRET, SECRET)
    assert live.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert connect("live", api_key=f" {SECRET}\n").api_key == SECRET
    connect()
    live.play(answer(503))  # it is busy, or lists no models: that is no reason to stay away
    assert connect("live").api_key == SECRET
    environment.remember.cache_clear()
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{SECRET} {SECRET}")
    for wrong in (f"{SECRET}é", None):
        with pytest.raises(ValueError, match="copy it once more") as caught:
            connect("live", api_key=wrong)
        assert SECRET not in shown(caught.value)


def test_a_refused_key_is_not_shown_nor_tried_again(monkeypatch, live, capsys):
    """The place stays the one before; the next `connect("live")` asks for another, where one can type."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET * 2)
    connect()
    with pytest.raises(anthropic.AuthenticationError, match=r"\(401\).*asks for another") as caught:
        connect("live")
    assert SECRET not in shown(caught.value) + str(caught.value.body) + capsys.readouterr().out
    assert place(current_client()) == "practice"
    assert os.environ["ANTHROPIC_API_KEY"] == "practice"

    def nobody_types(prompt):
        raise RuntimeError("raw_input was called, but this frontend does not support input requests.")

    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(environment, "getpass", nobody_types)
    kernel = SimpleNamespace(kernel=1, register_magic_function=lambda *_, **__: None)
    for modules in ({}, {"IPython": SimpleNamespace(get_ipython=lambda: kernel)}):
        monkeypatch.setattr(sys, "modules", sys.modules | modules)
        with pytest.raises(RuntimeError, match=r'No API key: set ANTHROPIC_API_KEY .*connect\("practice"\)'):
            connect("live")
        # The next is a child of a process connected to practice: that key and address are not the learner's.
        environment.remember.cache_clear()
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(environment, "getpass", f"{SECRET} {{}}".format)
    with pytest.raises(ValueError, match="copy it once more"):
        connect("live")
    assert "ANTHROPIC_API_KEY" not in environment.remember()  # else it would never be asked for again
    environment.remember()["ANTHROPIC_BASE_URL"] = live.url
    monkeypatch.setattr(environment, "getpass", lambda prompt: SECRET)
    assert connect("live").api_key == SECRET


# A base URL, and a model of this machine


@pytest.mark.parametrize("end", ["", "/v1/", "/v1/messages"])
def test_a_server_of_your_own(monkeypatch, local, capsys, end):
    """A trailing /v1 is forgiven; it is said that it costs nothing; no key goes there unasked."""
    for name in environment.KEYS:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-secret: {SECRET}")
    monkeypatch.setattr(models, "MODEL", "qwen3")
    local.play(listing("qwen3"))
    client = connect(local.url + end)
    assert (place(client), str(client.base_url)) == ("local", local.url)
    line = f"Local server at {local.url} · qwen3 · runs on this machine, costs nothing\n"
    assert capsys.readouterr().out == line
    assert SECRET not in str(local.requests)
    here = {"ANTHROPIC_BASE_URL": local.url, "ANTHROPIC_API_KEY": "not-needed", "COURSE_MODEL": "qwen3"}
    assert environment.managed() == here
    connect(local.url, api_key=SECRET)
    assert local.requests[-1].headers["authorization"] == f"Bearer {SECRET}"


SOLD = """anthropic/claude-opus-5-5 gpt-6-luna gemini-4-argon command-r command-a-03-2025 kimi-latest
    mistral-large-latest mistral/mistral-small-latest qwen-max qwen-plus qwen-turbo muse-spark-1.3 sonar
    deepseek-chat deepseek/deepseek-reasoner gpt-chat-latest"""
# What a server lists, the model of the course, and whether that is free and another one advised.
LISTED = [
    ("qwen3:8b", models.MODEL, True, True),  # llama.cpp answers to any name
    ("openai/gpt-oss-20b google/gemma-3-12b deepseek-r1:8b", "deepseek-r1:8b", True, False),
    ("qwen3:8b gpt-oss:120b-cloud", "qwen3:8b", True, False),  # Ollama names what runs elsewhere
    ("qwen3:8b gpt-oss:120b-cloud", "gpt-oss:120b-cloud", False, False),
    ("glm-4.6:cloud", "glm-4.6:cloud", False, False),
    (models.MODEL, models.MODEL, False, False),
    *((f"my-alias {sold}", "my-alias", False, False) for sold in SOLD.split()),
    (None, models.MODEL, False, False),
    (None, "qwen3:8b", True, False),
    ("llama3.2:latest smollm2", "library/LLAMA3.2", True, False),
    ("llama3.2:latest smollm2", "llama3.2:1b", True, True),
]


@pytest.mark.parametrize(("listed", "model", "free", "advised"), LISTED)
def test_a_server_on_this_machine(monkeypatch, local, capsys, listed, model, free, advised):
    """What may pass calls on is neither announced nor booked as free; a name is taken as Ollama takes it."""
    monkeypatch.setattr(models, "MODEL", model)
    local.play(listing(*listed.split()) if listed else answer(404))
    client = connect(local.url)
    said, *advice = capsys.readouterr().out.splitlines()
    assert costs_nothing(client, model) is ("costs nothing" in said) is free
    assert (Conversation(client, model=model).server().rates is None) is free
    assert ("may pass calls on" in said) is not free
    assert ("runs on this machine" in said) is (free and "cloud" not in f"{listed}")
    assert "stays on this machine" not in said
    told = f"Its models: {', '.join((listed or '').split())}. Start again with COURSE_MODEL="
    assert [line.startswith(told) for line in advice] == [True] * advised
    assert advised or not listed or models.MODEL in listed.split()


def test_what_a_server_cannot_do_is_said_at_once(live, nobody, capsys):
    """It wants a key, it is a page for people, nothing answers there; then the place stays the one before."""
    for key in (None, "not-this-one"):
        with pytest.raises(anthropic.AuthenticationError, match=r"\(401\): pass the right one as api_key=…"):
            connect(live.url, api_key=key)
    live.play(answer(200, "<html><h1>Welcome</h1></html>"))
    connect()
    with pytest.raises(ValueError, match="a page for people: is a Messages API there"):
        connect(live.url, api_key=SECRET)
    with pytest.raises(anthropic.APIConnectionError) as caught:
        connect(nobody)
    assert str(caught.value) == f"Nothing answers at {nobody} (ConnectError): is the server running?"
    assert not re.search("During handling|direct cause", shown(caught.value))
    assert place(current_client()) == "practice"


WRONG = ("", "Live", "127.0.0.1:11434", "ftp://x", "http://", 5, "http:///v1", "http://[::1", "http://\x00")


def test_what_is_no_place_is_refused():
    """With an example of each kind; a key inside the address is not shown."""
    for to in WRONG:
        with pytest.raises(ValueError, match=re.escape('"practice", "live" or a base URL such as')):
            connect(to)
    with pytest.raises(ValueError, match="api_key=") as caught:
        connect(f"http://me:{SECRET}@127.0.0.1:1")
    assert SECRET not in str(caught.value)


PLACES = {
    "live": ["https://api.anthropic.com"],
    "local": ["http://localhost:8080", "http://127.8.9.1", "http://[::1]:8080"],
    "remote": ["http://192.168.0.5", "https://127.0.0.1.example.com"],
}


def test_places():
    """What costs money and what does not; the async twin goes where its client goes."""
    for kind, url in ((kind, url) for kind, urls in PLACES.items() for url in urls):
        client = anthropic.Anthropic(base_url=url, api_key="x", timeout=7, max_retries=5)
        twin = async_client(client)
        assert place(client) == place(twin) == kind
        assert (twin.api_key, twin.timeout, twin.max_retries, twin.base_url) == ("x", 7, 5, client.base_url)


def test_local_takes_the_first_that_answers(monkeypatch, local, nobody, capsys):
    """And its first model that chats here, which MODEL then names everywhere; connect() takes it back."""
    local.play(listing("nomic-embed-text", "glm-4.6:cloud", "qwen3:8b"))
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "MODEL", models.MODEL, raising=False)
    monkeypatch.setattr(module, "LOCAL_SERVERS", {"Ollama": port(nobody), "LM Studio": port(local.url)})
    own, cloud = models.MODEL, "but what you type to its cloud models leaves this machine, and may cost money"
    with ScriptedServer(listing("x", key=SECRET)) as keyed:  # that one is passed over
        monkeypatch.setenv("COURSE_LOCAL_URL", keyed.url)
        client = connect("local")
    said = f"LM Studio at {local.url} · qwen3:8b · costs nothing, {cloud}\n"
    assert (capsys.readouterr().out, len(keyed.requests)) == (said, 1)
    assert (place(client), costs_nothing(client, "qwen3:8b")) == ("local", True)
    assert models.MODEL == main.MODEL == os.environ["COURSE_MODEL"] == Conversation().model == "qwen3:8b"
    connect()
    assert models.MODEL == main.MODEL == os.environ["COURSE_MODEL"] == own


@pytest.mark.parametrize("by_url", [False, True])
def test_local_with_a_model_of_ones_choice(monkeypatch, local, nobody, capsys, by_url):
    """COURSE_MODEL, where it is listed; COURSE_LOCAL_URL comes first; COURSE_PLACE makes it the default."""
    local.play(listing("qwen3:8b", "llama3.2:latest"))
    monkeypatch.setattr(module, "LOCAL_SERVERS", {"Ollama": port(nobody if by_url else local.url)})
    monkeypatch.setattr(models, "MODEL", "llama3.2")
    monkeypatch.setenv("COURSE_PLACE", "local")
    monkeypatch.setenv("COURSE_LOCAL_URL", local.url if by_url else "")
    assert place(connect()) == "local"
    name = "Local server" if by_url else "Ollama"
    said = f"{name} at {local.url} · llama3.2:latest · {STAYS}\n"
    assert capsys.readouterr().out == said
    assert place(connect("practice")) == "practice"
    local.play(listing())
    for servers in ({"Ollama": port(local.url)}, {}):  # it runs and lists no model; none runs
        monkeypatch.setattr(module, "LOCAL_SERVERS", servers)
        with pytest.raises(anthropic.APIConnectionError, match=r"^There is no model .*`ollama .*`make local"):
            connect()


def test_importing_touches_nothing():
    """No server, no thread, no variable, before the first connect; nor is anything heavy loaded."""
    code = """import os, sys, threading
before = dict(os.environ)
import course_helpers.client, course_helpers.learning, course_helpers.pricing
assert (dict(os.environ), threading.active_count()) == (before, 1)
heavy = {'starlette', 'uvicorn', 'genai_prices', 'pandas', 'numpy', 'ipywidgets'}
assert not heavy & sys.modules.keys()"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
