"""The command-line chatbot: whole transcripts, over a pipe and at a terminal."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import pexpect
import pytest

from course_helpers import chatbot, models, practice
from course_helpers.history import Conversation

CHAT = [sys.executable, "-m", "course_helpers.chatbot"]

SESSION = """\
My name is Sam.

!MODEL Sonnet
What is my name?
!modl haiku
!window x
!window 0
!window 1
What is the capital of France?
What is my name?
undo
!Reset
!window OFF
HELP
What is my name?
!QUIT
never read
"""
ANSWERS = """\
Noted: your name is Sam.
Your name is Sam.
The capital of France is Paris.
I don't know your name: none of the messages I was sent says so.
I don't know your name: none of the messages I was sent says so.
"""
METERS = f"""\
[This turn: 24 tokens in · 11 out · $0.0000079]
[Session: 1 turn · 24 tokens in · 11 out · $0.0000079]
[Model: claude-sonnet-5-5]
[This turn: 43 tokens in · 8 out · $0.000166]
[Session: 2 turns · 67 tokens in · 19 out · $0.000174]
[There is no !modl. help lists the commands.]
[!window takes a number of finished exchanges, or off, not x.]
[Window: the new question is sent alone]
[Window: the last 1 finished exchange and the new question are sent]
[This turn: 44 tokens in · 12 out · $0.000208]
[Session: 3 turns · 111 tokens in · 31 out · $0.000382]
[This turn: 48 tokens in · 22 out · $0.000316]
[Session: 4 turns · 159 tokens in · 53 out · $0.000698]
[Taken back: What is my name?]
[History cleared. What was spent stays counted.]
[Window: the whole history is sent]
{chatbot.HELP}
[This turn: 24 tokens in · 22 out · $0.000268]
[Session: 5 calls, 1 turn in the history · 183 tokens in · 75 out · $0.000966]
[Session complete: 5 calls, 1 turn in the history · 183 tokens in · 75 out · $0.000966]
"""


@pytest.fixture
def here(monkeypatch, capsys):
    """The chatbot's `main` in this process: fed with text, it gives its status, stdout and stderr."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    model = models.MODEL

    def run(text: str, *options: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        try:
            status = chatbot.main([str(option) for option in options])
        except SystemExit as left:
            status = left.code
        models.MODEL = model
        return status, *capsys.readouterr()

    yield run
    practice.reset()


def test_a_session_over_a_pipe(here):
    """Answers alone on stdout, all else on stderr; what only looks like a command is a question."""
    status, out, err = here(SESSION)
    assert (status, out) == (0, ANSWERS)
    assert err.partition("\n")[2] == METERS
    questions = ["save the whales", "reset my password", "model", "quit smoking"]
    here("\n".join(questions))
    assert [entry.body["messages"][-1]["content"] for entry in practice.journal[-4:]] == questions
    assert practice.journal[-1].body["system"] == chatbot.DEFAULT_SYSTEM
    reader, writer = os.pipe()
    os.close(reader)  # whoever read the answers has gone
    run = subprocess.run(CHAT, input=SESSION, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (run.returncode, "Session complete" in run.stderr, "pipe" in run.stderr) == (1, True, False)


def at_terminal(term: str, steps: list[tuple[str, str]], *options: object) -> tuple[int, str]:
    """The chatbot at a terminal: of each step, what to wait for and what to type then; "" closes it."""
    env, shown = os.environ | {"TERM": term}, io.StringIO()
    child = pexpect.spawn(CHAT[0], [*CHAT[1:], *map(str, options)], env=env, encoding="utf-8", timeout=30)
    child.logfile_read = shown
    for words, typed in steps:
        child.expect_exact(words)
        child.send(typed) if typed else child.kill(signal.SIGHUP)
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, shown.getvalue().replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pty there")
def test_at_a_terminal(tmp_path):
    """A paste is one message, also while an answer comes, and its lines are no commands; Ctrl-C stops an
    answer; a terminal that is closed ends the session as quit would. A dumb one is used line by line; a
    person is asked for the system prompt, and sees where the answer begins."""
    paste = "\x1b[200~{}\x1b[201~".format  # a terminal says where a paste begins and ends, if it was asked to
    steps = [
        ("You:", paste("reset\nquit\n!save /nowhere") + "\r"),
        ("Assistant: ", paste("undo\nreset")),
        ("You:", "\x1b\rHello!\r"),  # Alt-Enter
        ("[Session: 2 turns", "Explain recursion with a short code example.\r"),
        ("Assistant: Recursion", "\x03"),
        ("[Stopped.", "typed"),
        ("You:", " on"),
        ("on", ""),
    ]
    path = tmp_path / "chat.json"
    status, shown = at_terminal("xterm", steps, "--system", "x", "--save", path)
    assert (status, "Traceback" in shown) == (128 + signal.SIGHUP, False)
    asked = [turn.user for turn in Conversation.load(path).turns]
    assert asked == ["reset\nquit\n!save /nowhere", "undo\nreset\nHello!"]
    steps = [("default):", "Be kind.\n"), ("You:", "My name is Sam.\n"), ("[Session", "quit\n")]
    status, shown = at_terminal("dumb", steps)
    assert (status, "[System prompt: Be kind.]" in shown) == (0, True)
    assert "\n\nAssistant: Noted: your name is Sam.\n[This turn: " in shown


def test_files(here, tmp_path):
    """A saved session goes on where it stood and is saved back; nothing of anybody else's is written over."""
    path, other, precious, copy = (tmp_path / f"{name}.json" for name in "abcd")
    _, out, err = here("My name is Sam.\n", "--save", path, "--system", "Be kind.", "--max-tokens", 99)
    assert (out, err.splitlines()[-1]) == ("Noted: your name is Sam.\n", f"[Saved to {path}]")
    _, out, err = here("What is my name?\n", "--load", path, "--model", "opus")
    assert (out, f"[Loaded {path}: 1 turn]" in err) == ("Your name is Sam.\n", True)
    assert err.startswith(f"Practice API · {models.ALIASES['opus']} · ")
    loaded = Conversation.load(path)
    assert [call.model for call in loaded.calls] == [models.MODEL, models.ALIASES["opus"]]
    assert (loaded.system, loaded.max_tokens, len(loaded.turns)) == ("Be kind.", 99, 2)
    here("Hello!\n", "--load", path, "--save", other)
    assert [len(Conversation.load(file).turns) for file in (path, other)] == [2, 3]
    precious.write_text(json.dumps({"history": [{"role": "user", "content": "Hi"}], "cost": 0.1}))
    status, _, err = here("Hello!\n", "--save", precious)
    assert (status, f"{precious} is there already" in err) == (2, True)
    _, _, err = here(f"Hello!\n!save {precious}\n!save {copy}\n!save\n")
    assert (err.count("there already"), err.count(f"[Saved to {copy}]")) == (1, 3)
    assert "cost" in precious.read_text()


BAD_OPTIONS = {
    "--save /no/such/folder/chat.json --base-url http://127.0.0.1:9": "folder is missing or not writable",
    "--model gpt-none": "Unknown model 'gpt-none'. Known models: ",
    "--last-turns -1": "turns is a whole number from 0, not -1.",
    f"--load {__file__}": "it is not JSON",
    "--base-url http://127.0.0.1:9": "Nothing answers at http://127.0.0.1:9",
    "--live": "No API key: set ANTHROPIC_API_KEY",
}


def test_options_that_make_no_sense(here):
    """One line says what is wrong; the status is 2."""
    for options, words in BAD_OPTIONS.items():
        status, out, err = here("Hello!\n", *options.split())
        assert (status, out, "Traceback" in err) == (2, "", False), options
        assert words in err, options


def test_faults_and_budget(here):
    """A wait is shown, an error is one line, keeps the session, and over a pipe shows in the exit status."""
    with practice.fail_next(429, times=2, retry_after=0.01):
        status, out, err = here("What is the capital of France?\n")
    assert (status, out) == (0, "The capital of France is Paris.\n")
    assert err.count("Rate limited. Waiting 0.0s, as the server asks, before retry") == 2
    with practice.fail_next(400):
        status, out, err = here("Hello!\nHello!\n")
    assert (status, out.count("\n")) == (1, 1)
    assert "[400 invalid_request_error: The practice API was told to refuse this request. Not retried" in err
    with practice.shape("refusal"):
        status, out, err = here("Hello!\nstats\n")
    assert (status, out, "Nothing was kept" in err) == (0, "", True)
    assert "[Calls: 1, 1 of them brought no answer]" in err
    status, out, err = here(
        "!model gpt-5\nHello!\nHello!\nstats\n", "--budget", "0.00052", "--model", "haiku"
    )
    assert (status, out.count("\n")) == (1, 1)
    assert "[Unknown model 'gpt-5'. Known models: " in err
    assert "[Nothing was sent: the call could cost" in err
    assert "Raise budget_usd, lower max_tokens or" in err
    assert "[Budget: $0.00052, $0.000511 of it left]" in err
