"""`connect`: one line chooses where calls go, and no key goes where it does not belong."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import warnings
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import pytest
from anthropic._data.deprecated_models import DEPRECATED_MODELS

from course_helpers import Conversation, connect, first_look, models, practice, reply_text
from course_helpers import client as module
from course_helpers import environment as environment_module
from course_helpers.client import async_client, costs_nothing, current_client, once, place

SECRET = "sk-ant-api03-the-learners-own-key"
MANAGED = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "COURSE_MODEL")
NEWEST = [models.find_model(line) for line in ("haiku", "sonnet", "opus")]
HELLO = {"model": models.MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}


def model_info(name: str, **fields) -> dict:
    """A model as the Models API lists it."""
    known = {"type": "model", "display_name": name, "created_at": "2026-10-07T00:00:00Z"}
    return {"id": name, "lifecycle": "active", "retires_at": None, "line": "haiku", **known, **fields}


class StandIn:
    """A local server in place of the real API: it lists `models`, takes one key, and keeps what it saw."""

    def __init__(self, key: str | None, context: ssl.SSLContext | None = None) -> None:
        self.models = {model.id: model_info(model.id, line=model.line) for model in NEWEST}
        self.key, self.seen, self.status, self.page = key, [], None, ""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                stand_in.seen.append((self.path, dict(self.headers)))
                status, body = stand_in.answer(self.path.partition("?")[0], self.headers)
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                kind = "text/html" if isinstance(body, str) else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def answer(self, path: str, headers):
        """Status and body."""
        if self.page:
            return 200, self.page
        if self.status:
            return self.status, {"type": "error", "error": {"type": "api_error", "message": "Sorry."}}
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.key and given != self.key:
            error = {"type": "authentication_error", "message": "invalid x-api-key"}
            return 401, {"type": "error", "error": error}
        if path == "/v1/models":
            return 200, {
                "data": [*self.models.values()],
                "has_more": False,
                "first_id": None,
                "last_id": None,
            }
        name = path.removeprefix("/v1/models/")
        if name in self.models:
            return 200, self.models[name]
        return 404, {"type": "error", "error": {"type": "not_found_error", "message": f"model: {name}"}}

    def close(self) -> None:
        """Free the port."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def stand_in():
    """In place of the real API; its key is the learner's."""
    made = StandIn(SECRET)
    yield made
    made.close()


@pytest.fixture
def local():
    """A local model server that asks for no key."""
    made = StandIn(None)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """`connect` as in a new process, and this process's environment as it was afterwards."""
    before = dict(os.environ)
    for name in ("_current", "_live_url", "_model_before"):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(environment_module, "_remembered", None)
    monkeypatch.setattr(environment_module, "_set_aside", {})
    monkeypatch.setattr(first_look, "elsewhere", {})
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def environment() -> dict[str, str]:
    """What the SDK and curl would find now."""
    return {name: os.environ[name] for name in MANAGED if name in os.environ}


# Practice


@pytest.mark.parametrize("to", [[], [None], ["practice"]])
def test_practice_is_the_default_and_costs_nothing(to, capsys):
    """One line says where, which model, and that no money is spent; it names no address."""
    client = connect(*to)
    assert type(client) is anthropic.Anthropic
    assert reply_text(client.messages.create(**HELLO)) == "Hello! What would you like to know?"
    line = f"Practice API · {models.MODEL} · free: no key, no network, no money is spent\n"
    assert capsys.readouterr().out == line
    assert place(client) == "practice"


def test_practice_sets_what_the_sdk_and_curl_read(monkeypatch):
    """So code from the course text runs unchanged, and reaches no other place."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "a-stray-token")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-other: {SECRET}")
    connect()
    assert environment() == {
        "ANTHROPIC_BASE_URL": practice.url,
        "ANTHROPIC_API_KEY": "practice",
        "COURSE_MODEL": models.MODEL,
    }
    assert anthropic.Anthropic().messages.create(**HELLO).content
    assert practice.journal[-1].headers["authorization"] == "Bearer [redacted]"
    curl = (
        'curl -s "$ANTHROPIC_BASE_URL/v1/messages" -H "x-api-key: $ANTHROPIC_API_KEY" '
        '-H \'anthropic-version: 2023-06-01\' -d \'{"model": "\'$COURSE_MODEL\'", "max_tokens": 50, '
        '"messages": [{"role": "user", "content": "Hello!"}]}\''
    )
    done = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["content"]
    assert SECRET not in repr(list(practice.journal))


def test_a_key_in_the_environment_alone_never_goes_live(monkeypatch, capsys):
    """Spending money is a choice."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    assert place(connect()) == "practice"
    assert place(current_client()) == "practice"
    assert "free" in capsys.readouterr().out


def test_an_unknown_course_model_is_said_at_once(monkeypatch, capsys):
    """With the nearest ids and the variable to set."""
    monkeypatch.setattr(models, "MODEL", "claude-haiku-5-6")
    connect()
    said = capsys.readouterr().out
    assert "claude-haiku-5-5" in said
    assert "COURSE_MODEL" in said


def test_the_proxy_is_not_asked_about_this_machine(monkeypatch):
    """Loopback by all its names goes into NO_PROXY beside what was there, once."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com")
    for _ in range(2):
        assert connect().messages.create(**HELLO).content
        assert os.environ["NO_PROXY"] == "example.com,127.0.0.1,localhost,::1,.localhost"


UNREADABLE = (
    "socks://127.0.0.1:1080/",
    "http://proxy:port",
    "ftp://proxy:21",
    "http://[::1",
    "://proxy",
    "http://",
)
PROXY_NAMES = [name for each in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (each, each.lower())]


def test_proxy_variables_that_nobody_can_read(monkeypatch):
    """They stop neither connect nor the SDK's own client nor an async one; live and remote name them."""
    for name, value in itertools.product(PROXY_NAMES, UNREADABLE):
        monkeypatch.setattr(environment_module, "_set_aside", {})
        monkeypatch.setenv(name, value)
        connect()
        assert anthropic.Anthropic().messages.create(**HELLO).content
        assert current_client().messages.create(**HELLO).content
        async_client(current_client())
        for there in ("live", "http://192.0.2.1"):
            with pytest.raises(RuntimeError, match=f"^{name} holds no proxy address that can be used here"):
                connect(there, api_key=SECRET)
    with pytest.raises(RuntimeError, match="port"):
        connect("live", api_key=SECRET)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(anthropic.APIConnectionError, match=f"behind a proxy, .*{name}"):
        connect("live", api_key=SECRET)


@pytest.mark.parametrize("host", ["127.8.9.1", "[::1]", "a.localhost"])
def test_no_name_of_this_machine_goes_to_the_proxy(monkeypatch, host):
    """Not the rest of 127.0.0.0/8 and not IPv6 either: nothing answers there, and the proxy hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with pytest.raises(anthropic.APIConnectionError, match="is the server running"):
            connect(f"http://{host}:{unused.getsockname()[1]}")
        proxy.settimeout(0.01)
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_what_connect_made_is_never_garbage():
    """A pool that an interrupt left locked would else be closed on the practice API's thread, and stop it."""
    client = connect()
    held, client = weakref.ref(client._client), None
    connect()
    gc.collect()
    assert held() is not None


def test_the_sdk_does_not_warn_of_what_the_course_knows(monkeypatch, recwarn):
    """A model that the SDK deprecates tomorrow changes no cell; one unknown to the course still warns."""
    known = next(model for model in models.available() if model.lifecycle == "active")
    for id in (known.id, "claude-of-tomorrow"):
        monkeypatch.setitem(DEPRECATED_MODELS, id, "January 1st, 2030")
    warnings.simplefilter("always")
    client = connect()
    client.messages.create(**HELLO | {"model": known.id})
    assert not recwarn
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**HELLO | {"model": "claude-of-tomorrow"})
    assert len(recwarn) == 1


def test_a_practice_api_that_hangs_is_replaced(monkeypatch, capsys):
    """The setup cell run again leads to one that answers, and says so."""
    connect()
    stuck = threading.Event()
    practice._server._uvicorn.servers[0].get_loop().call_soon_threadsafe(stuck.wait, 60)
    capsys.readouterr()
    try:
        assert connect().messages.create(**HELLO).content
    finally:
        stuck.set()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "The practice API had stopped answering: another one was started."
    assert second.startswith("Practice API")


def test_without_connect_the_current_client_is_practice(capsys):
    """Silently."""
    assert place(current_client()) == "practice"
    assert capsys.readouterr().out == ""


def test_timeouts(capsys):
    """None keeps the SDK's; a number is in seconds."""
    assert connect().timeout == anthropic.Anthropic(api_key="x").timeout
    assert connect(timeout=3).timeout == 3


# Live


def test_live_after_practice_finds_the_learners_own_key(monkeypatch, stand_in, capsys):
    """Back and forth: each connect sets everything for its place."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    for _ in range(2):
        connect()
        assert environment()["ANTHROPIC_API_KEY"] == "practice"
        live = connect("live")
        assert place(live) == "live"
        assert environment() == {
            "ANTHROPIC_BASE_URL": stand_in.url,
            "ANTHROPIC_API_KEY": SECRET,
            "COURSE_MODEL": models.MODEL,
        }
        assert live.api_key == anthropic.Anthropic().api_key == SECRET
    said = capsys.readouterr().out
    assert "every call costs money" in said
    assert SECRET not in said + repr(live)


@pytest.mark.parametrize("end", ["/", "/v1", "/v1/", "/v1/messages"])
def test_live_forgives_the_end_of_the_address(monkeypatch, stand_in, end):
    """A gateway's address as other tools want it: the SDK adds /v1 by itself."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url + end)
    client = connect("live", api_key=SECRET)
    assert place(client) == "live"
    assert os.environ["ANTHROPIC_BASE_URL"] == str(client.base_url).rstrip("/") == stand_in.url
    assert [path for path, _ in stand_in.seen] == [f"/v1/models/{models.MODEL}"]


def test_live_takes_a_token_too(monkeypatch, stand_in):
    """ANTHROPIC_AUTH_TOKEN in place of a key, and it comes back after practice."""
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    connect()
    assert "ANTHROPIC_AUTH_TOKEN" not in os.environ
    live = connect("live")
    assert (live.api_key, live.auth_token) == (None, SECRET)
    assert os.environ["ANTHROPIC_AUTH_TOKEN"] == SECRET
    assert stand_in.seen[-1][1]["Authorization"] == f"Bearer {SECRET}"


def test_live_sends_the_custom_headers(monkeypatch, stand_in):
    """What a company's gateway asks for; practice gets none of it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: a: b\nx-empty")
    connect("live")
    assert {name.lower(): value for name, value in stand_in.seen[-1][1].items()}["x-team"] == "a: b"
    assert connect().messages.create(**HELLO)
    assert "x-team" not in practice.journal[-1].headers


def test_a_key_that_is_passed_is_used_and_kept_in_memory(monkeypatch, stand_in):
    """For the next connect("live") of this process."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    assert connect("live", api_key=SECRET).api_key == SECRET
    connect()
    assert connect("live").api_key == SECRET


def test_a_child_of_a_practice_process_does_not_take_practice_for_the_real_api(monkeypatch):
    """Its environment holds our key and address: not the learner's."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "practice")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="No API key"):
        connect("live")


def test_the_real_address_is_the_default(monkeypatch):
    """Nothing else in the environment: api.anthropic.com, where the look fails without a network."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(anthropic.APIConnectionError) as caught:
        connect("live")
    assert str(caught.value).startswith("Nothing answers at https://api.anthropic.com (")
    assert "HTTPS_PROXY" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"lifecycle": "deprecated", "retires_at": "2027-01-05T00:00:00Z"},
            f"{models.MODEL} is deprecated and stops answering on 2027-01-05. "
            f"Start again with COURSE_MODEL={models.MODEL}-1, or pass model='{models.MODEL}-1' in each call.",
        ),
        (
            {"lifecycle": "deprecated"},
            f"{models.MODEL} is deprecated. Start again with COURSE_MODEL=",
        ),
        (None, f"This API does not have {models.MODEL}. Start again with COURSE_MODEL={models.MODEL}-1,"),
    ],
)
def test_a_deprecated_or_missing_model_is_said_with_what_to_set(monkeypatch, stand_in, capsys, fields, words):
    """One look at the Models API; the newest active model of the same line is named."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    old = stand_in.models.pop(models.MODEL) | (fields or {})
    stand_in.models[f"{models.MODEL}-1"] = model_info(f"{models.MODEL}-1")
    if fields:
        stand_in.models[models.MODEL] = old
    connect("live", api_key=SECRET)
    assert words in capsys.readouterr().out


def test_a_gateway_that_says_nothing_of_lifecycles_needs_no_words(monkeypatch, stand_in, capsys):
    """What it leaves out is no deprecation."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    del stand_in.models[models.MODEL]["lifecycle"]
    connect("live", api_key=SECRET)
    assert capsys.readouterr().out.count("\n") == 1


def test_an_active_model_needs_no_words(monkeypatch, stand_in, capsys):
    """One line, one request."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    connect("live", api_key=SECRET)
    assert capsys.readouterr().out.count("\n") == 1
    assert [path for path, _ in stand_in.seen] == [f"/v1/models/{models.MODEL}"]


def test_a_models_api_out_of_order_does_not_stop_anyone(monkeypatch, stand_in, capsys):
    """It is said, and that is all."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    stand_in.status = 503
    assert place(connect("live", api_key=SECRET)) == "live"
    assert "answered 503" in capsys.readouterr().out


def test_a_refused_key_is_an_error_that_does_not_show_it(monkeypatch, stand_in, capsys):
    """Not in the message, not in the traceback; the place stays the one before."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    connect()
    with pytest.raises(anthropic.AuthenticationError) as caught:
        connect("live", api_key=f"{SECRET}-wrong")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.body)
    assert "The API refused the key (401)" in shown
    assert SECRET not in shown + capsys.readouterr().out
    assert place(current_client()) == "practice"
    assert environment()["ANTHROPIC_API_KEY"] == "practice"


def test_a_refused_key_is_not_tried_again(monkeypatch, stand_in):
    """The next `connect("live")` asks for another, or takes the one that was set meanwhile."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{SECRET}-wrong")
    with pytest.raises(anthropic.AuthenticationError, match="asks for another"):
        connect("live")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(RuntimeError, match="No API key"):
        connect("live")
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    assert connect("live").api_key == SECRET
    connect()
    assert connect("live").api_key == SECRET


def test_blanks_around_a_key_do_no_harm(monkeypatch, stand_in):
    """A pasted newline is no part of it; a blank inside is refused in words, without the key."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", f" {SECRET}\n")
    assert connect("live").api_key == SECRET
    for wrong in (f"{SECRET} {SECRET}", f"{SECRET}é", f"{SECRET}\n{SECRET}"):
        with pytest.raises(ValueError, match="copy it once more") as caught:
            connect("live", api_key=wrong)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_without_a_key_and_without_a_prompt_the_error_says_what_to_do(monkeypatch):
    """No terminal, no notebook."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(RuntimeError, match="set ANTHROPIC_API_KEY") as caught:
        connect("live")
    assert 'connect("practice")' in str(caught.value)


def test_in_a_notebook_that_cannot_ask_the_error_is_the_same(tmp_path):
    """As under nbclient, nbval or papermill."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    source = (
        "from course_helpers import connect\ntry: connect('live')\nexcept RuntimeError as e: print(repr(e))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute(
        cwd=os.getcwd(), env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    said = "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    assert said.startswith("RuntimeError('No API key: set ANTHROPIC_API_KEY")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("typed", [SECRET, ""])
def test_the_key_is_asked_for_without_showing_it(stand_in, typed):
    """At a real terminal; what is typed does not appear, and goes to the API alone."""
    code = (
        "from course_helpers import connect; import os\n"
        "c = connect('live'); print('connected', c.api_key == os.environ['ANTHROPIC_API_KEY'])"
    )
    import pty  # which Windows has not

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["ANTHROPIC_BASE_URL"] = stand_in.url
        os.environ["PYTHON_COLORS"] = "0"  # Python 3.13 paints tracebacks
        os.execv(sys.executable, [sys.executable, "-c", code])
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while b"hidden as you type" not in shown:
            shown += os.read(terminal, 4096)
        time.sleep(0.2)  # getpass turns the echo off after it has asked
        os.write(terminal, typed.encode() + b"\n")
        while more := os.read(terminal, 4096):
            shown += more
    os.waitpid(pid, 0)
    os.close(terminal)
    assert SECRET.encode() not in shown
    if typed:
        assert b"connected True" in shown
        assert stand_in.seen[-1][1]["Authorization"] == f"Bearer {SECRET}"
    else:
        assert b"RuntimeError: No API key: set ANTHROPIC_API_KEY" in shown


# A base URL


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/messages"])
def test_a_server_of_your_own(monkeypatch, local, capsys, end):
    """A trailing /v1 is forgiven; it is said that it costs nothing; no key goes there unasked."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-secret: {SECRET}")
    monkeypatch.setattr(models, "MODEL", "qwen3")
    local.models = {"qwen3": model_info("qwen3")}
    client = connect(local.url + end)
    assert str(client.base_url).rstrip("/") == local.url
    assert place(client) == "local"
    assert capsys.readouterr().out == (
        f"Local server at {local.url} · qwen3 · runs on this machine, costs nothing\n"
    )
    client.models.retrieve("qwen3")
    assert [path for path, _ in local.seen] == ["/v1/models", "/v1/models/qwen3"]
    assert SECRET not in str(local.seen)
    assert environment() == {
        "ANTHROPIC_BASE_URL": local.url,
        "ANTHROPIC_API_KEY": "not-needed",
        "COURSE_MODEL": "qwen3",
    }


@pytest.mark.parametrize(
    ("listed", "model", "free"),
    [
        (["qwen3:8b"], "qwen3:8b", True),
        (["qwen3:8b"], models.MODEL, True),  # llama.cpp answers to any name
        (["openai/gpt-oss-20b", "google/gemma-3-12b", "deepseek-r1:8b"], "deepseek-r1:8b", True),
        (["qwen3:8b", "gpt-oss:120b-cloud"], "qwen3:8b", True),
        (["qwen3:8b", "gpt-oss:120b-cloud"], "gpt-oss:120b-cloud", False),
        (["glm-4.6:cloud"], "glm-4.6:cloud", False),
        ([models.MODEL], models.MODEL, False),
        (["my-alias", "anthropic/claude-opus-5-5"], "my-alias", False),
        (["my-alias", "gpt-6-luna"], "my-alias", False),
        (["my-alias", "gemini-4-argon"], "my-alias", False),
        (None, models.MODEL, False),
        (None, "qwen3:8b", True),
    ],
)
def test_a_server_here_that_may_pass_calls_on(monkeypatch, local, capsys, listed, model, free):
    """It is neither announced nor booked as costing nothing, and nobody promises that the text stays here."""
    monkeypatch.setattr(models, "MODEL", model)
    local.models = {name: model_info(name) for name in listed or ()}
    local.status = 404 if listed is None else None
    client = connect(local.url)
    said = capsys.readouterr().out.splitlines()[0]
    assert costs_nothing(client, model) is free
    assert ("may pass calls on" in said) is not free
    assert ("costs nothing" in said) is (free and not any(name.endswith("cloud") for name in listed or ()))
    assert (Conversation(client, model=model)._rates(model) is None) is free


@pytest.mark.parametrize(
    "name", ["llama3.2", "Llama3.2", "library/llama3.2", "llama3.2:latest", "LLAMA3.2:Latest"]
)
def test_a_model_by_another_of_its_names(monkeypatch, local, capsys, name):
    """Ollama lists the tag and takes names without it, and in any case: no advice is due."""
    monkeypatch.setattr(models, "MODEL", name)
    local.models = {"llama3.2:latest": model_info("llama3.2:latest")}
    connect(local.url)
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setattr(models, "MODEL", "llama3.2:1b")
    connect(local.url)
    assert "Its models: llama3.2:latest" in capsys.readouterr().out


def test_a_key_goes_there_when_it_is_given(stand_in):
    """And only then."""
    client = connect(stand_in.url, api_key=SECRET)
    client.models.retrieve(models.MODEL)
    assert all(headers["Authorization"] == f"Bearer {SECRET}" for _, headers in stand_in.seen)


def test_a_server_that_has_other_models_says_which(local, capsys):
    """With the two ways to choose one."""
    local.models = {name: model_info(name) for name in ("qwen3:8b", "smollm2")}
    connect(local.url)
    said = capsys.readouterr().out
    assert "Its models: qwen3:8b, smollm2. Start again with COURSE_MODEL=qwen3:8b, or pass model=" in said


def test_a_server_that_wants_a_key_says_so_at_once(stand_in, capsys):
    """A 401 of the list of models will be one of each call."""
    connect(stand_in.url)
    assert "It wants a key (401): pass the right one as api_key=…" in capsys.readouterr().out
    connect(stand_in.url, api_key="not-this-one")
    assert "It refuses this key (401)" in capsys.readouterr().out


def test_a_page_for_people_is_no_api(local, capsys):
    """A web server's address is doubted at once, and what it sends is no Message."""
    local.page = "<html><h1>Welcome</h1></html>"
    connect(local.url)
    assert "a page for people: is this the address of a Messages API?" in capsys.readouterr().out
    with pytest.raises(TypeError, match="sent a page, not a Message"):
        reply_text("<html>")


def test_headers_of_one_place_stay_there(monkeypatch, stand_in, local):
    """What ANTHROPIC_CUSTOM_HEADERS holds is for the live API, whichever copy of a client makes the call."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"X-Team: {SECRET}")
    elsewhere = connect(local.url)
    live = connect("live", api_key=SECRET)
    for client in (once(elsewhere), async_client(elsewhere), once(async_client(elsewhere))):
        assert "X-Team" not in client.default_headers
    for client in (live, once(live), async_client(live), once(async_client(live))):
        assert client.default_headers["X-Team"] == SECRET


def test_the_practice_api_of_another_process(practice_elsewhere, capsys):
    """By its address and its key. It lists models that are sold, and sells none."""
    client = connect(practice_elsewhere, api_key="practice")
    assert place(client) == "local"
    assert costs_nothing(client)
    assert client.messages.create(**HELLO).content
    assert capsys.readouterr().out.endswith("runs on this machine, costs nothing\n")


@pytest.fixture
def practice_elsewhere():
    """The URL of a practice API that is not this process's own."""
    from course_helpers.practice_api import Practice

    other = Practice()
    yield other.url
    other.stop()


def test_a_dead_address_is_explained_in_one_sentence():
    """At once, without a chain of causes; the place stays the one before."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    connect()
    with pytest.raises(anthropic.APIConnectionError) as caught:
        connect(url)
    assert str(caught.value) == f"Nothing answers at {url} (ConnectError): is the server running?"
    shown = "".join(traceback.format_exception(caught.value))
    assert "During handling" not in shown
    assert "direct cause" not in shown
    assert place(current_client()) == "practice"


@pytest.mark.parametrize(
    "to", ["", "Live", "127.0.0.1:11434", "ftp://x", "http://", "localhost", 5, b"live", "http:///v1"]
)
def test_what_is_no_place_is_refused(to):
    """With an example of each kind."""
    with pytest.raises(ValueError, match=re.escape('"practice", "live" or a base URL such as')):
        connect(to)


@pytest.mark.parametrize("to", [None, "live"])
@pytest.mark.parametrize(
    ("file", "wrong"), [("/not/there.pem", "is not there"), (__file__, "holds no certificate")]
)
def test_a_certificate_file_that_is_none_is_named(monkeypatch, to, file, wrong):
    """Python's own error names no file and no variable."""
    monkeypatch.setenv("SSL_CERT_FILE", file)
    with pytest.raises(RuntimeError, match=rf"SSL_CERT_FILE names {re.escape(file)}, which {wrong}"):
        connect(to, api_key=None if to is None else SECRET)


def test_a_certificate_that_nobody_vouches_for(monkeypatch, tmp_path):
    """Said in one sentence with the variable that mends it, for live and any other server."""
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout k.pem -out c.pem"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    server = StandIn(SECRET, context)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    for to in ("live", server.url):
        with pytest.raises(anthropic.APIConnectionError, match=r"^The certificate of .*SSL_CERT_FILE"):
            connect(to, api_key=SECRET)
    server.close()


def test_local_takes_the_first_that_answers(monkeypatch, local, capsys):
    """And its first model that chats here, which MODEL then names everywhere; connect() takes it back."""
    local.models = {
        name: model_info(name) for name in ("nomic-embed-text:latest", "glm-4.6:cloud", "qwen3:8b")
    }
    monkeypatch.setattr(sys.modules["__main__"], "MODEL", models.MODEL, raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        servers = {"Ollama": f"http://127.0.0.1:{unused.getsockname()[1]}", "LM Studio": local.url}
        monkeypatch.setattr(module, "LOCAL_SERVERS", servers)
        own, client = models.MODEL, connect("local")
    said = f"LM Studio at {local.url} · qwen3:8b · runs on this machine, but glm-4.6:cloud would not\n"
    assert capsys.readouterr().out == said
    assert place(client) == "local"
    assert costs_nothing(client, "qwen3:8b")
    assert models.MODEL == sys.modules["__main__"].MODEL == os.environ["COURSE_MODEL"] == "qwen3:8b"
    connect()
    assert models.MODEL == sys.modules["__main__"].MODEL == os.environ["COURSE_MODEL"] == own


def test_local_with_a_model_of_ones_choice(monkeypatch, local, capsys):
    """COURSE_MODEL, where it is listed; COURSE_PLACE makes it the default."""
    local.models = {name: model_info(name) for name in ("qwen3:8b", "llama3.2:latest")}
    monkeypatch.setattr(module, "LOCAL_SERVERS", {"Ollama": local.url})
    monkeypatch.setattr(models, "MODEL", "llama3.2")
    monkeypatch.setenv("COURSE_PLACE", "local")
    assert place(connect()) == "local"
    assert capsys.readouterr().out == (
        f"Ollama at {local.url} · llama3.2 · what you type stays on this machine, and costs nothing\n"
    )
    assert place(connect("practice")) == "practice"


@pytest.mark.parametrize("running", [False, True])
def test_no_local_model_is_one_sentence_with_two_ways(monkeypatch, local, running):
    """Where none runs, and where one runs without a model."""
    local.models = {}
    monkeypatch.setattr(module, "LOCAL_SERVERS", {"Ollama": local.url} if running else {})
    with pytest.raises(anthropic.APIConnectionError, match=r"`ollama pull .*`make local`") as caught:
        connect("local")
    assert ("Ollama runs, but lists no model." in str(caught.value)) is running


def test_an_address_without_its_scheme_is_completed():
    """In the error, ready to be copied."""
    with pytest.raises(ValueError, match='Did you mean "http://localhost:11434"'):
        connect("localhost:11434")


def test_a_key_inside_the_url_is_refused_and_not_shown():
    """It would be printed otherwise."""
    with pytest.raises(ValueError, match="api_key=") as caught:
        connect(f"http://me:{SECRET}@127.0.0.1:1")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://exa mple", "http://[::1", "http://\x00"])
def test_a_malformed_url_is_an_error_of_the_usual_kinds(url):
    """Refused like what is no URL at all, or explained like a dead address."""
    with pytest.raises((ValueError, anthropic.APIConnectionError), match=r"connect takes|Nothing answers"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.anthropic.com", "live"),
        ("http://localhost:8080", "local"),
        ("http://127.8.9.1", "local"),
        ("http://[::1]:8080", "local"),
        ("http://my.localhost", "local"),
        ("http://192.168.0.5", "remote"),
        ("https://127.0.0.1.example.com", "remote"),
    ],
)
def test_places(url, kind):
    """What costs money and what does not."""
    assert place(anthropic.Anthropic(base_url=url, api_key="x")) == kind
    assert place(anthropic.AsyncAnthropic(base_url=url, api_key="x")) == kind


def test_the_async_twin_goes_to_the_same_place(stand_in, monkeypatch):
    """Same address, key, timeout, retries and headers."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stand_in.url)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: blue")
    twin = async_client(connect("live", api_key=SECRET, timeout=7).with_options(max_retries=5))
    assert (twin.api_key, twin.timeout, twin.max_retries) == (SECRET, 7, 5)
    assert str(twin.base_url).rstrip("/") == stand_in.url
    assert twin.default_headers["x-team"] == "blue"


# reply_text


def test_reply_text_joins_text_and_nothing_else():
    """Thinking first, tools between, nothing at all."""
    with practice.shape("thinking_first"):
        assert reply_text(connect().messages.create(**HELLO)) == "Hello! What would you like to know?"
    for shape in ("thinking_only", "refusal", "empty"):
        with practice.shape(shape):
            assert reply_text(connect().messages.create(**HELLO)) == ""


def test_importing_touches_nothing():
    """No server, no thread, no variable, before the first connect."""
    code = (
        "import os, threading; before = dict(os.environ); import course_helpers.client;"
        "assert dict(os.environ) == before; assert threading.active_count() == 1;"
        "import sys; assert 'starlette' not in sys.modules and 'uvicorn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
