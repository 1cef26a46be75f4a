"""The command-line chatbot: `course-chat`, or `python -m course_helpers.chatbot`.

Answers go to stdout, everything else (prompts, meters, waits, errors) to stderr, so that
`course-chat < questions.txt > answers.txt` writes the answers alone. Over a pipe each line is a message;
at a terminal a message may have several lines, typed or pasted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import anthropic
from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import create_output
from prompt_toolkit.utils import is_dumb_terminal

from . import models
from .client import connect, place
from .formatting import count, dollars, in_one_line, plain
from .history import Conversation, Total, last_turns
from .practice_api import practice

DEFAULT_SYSTEM = "You are a helpful assistant. Be concise."

HELP = """\
help            these lines
stats           model, turns, tokens and cost of the session
reset           forget the history (what was spent stays counted)
undo            take back the last turn
!model haiku    go on with another model: haiku, sonnet, opus or an id
!window 5       send the last 5 finished exchanges and the new question; !window off sends all
!save chat.json write the session to a file, for --load
quit            end; so do Ctrl-D, and Ctrl-C at the prompt
Ctrl-C stops an answer that is coming. At a terminal, Alt-Enter makes a new line, and what is pasted is
one message; what has several lines is never a command. Over a pipe, each line is a message."""

# Commands that are meant without a `!` too: "save" alone may well be a question.
BARE = {"help", "stats", "reset", "undo", "quit", "exit"}


def main(arguments: list[str] | None = None) -> int:
    """Run the chatbot; the exit status."""
    options = _options(arguments)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a replaced stream may not have it
            stream.reconfigure(errors="replace")
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal ends the session too, and saves it
        with contextlib.suppress(AttributeError, ValueError):
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    try:
        return Chatbot(options).run()
    except (anthropic.APIError, RuntimeError, ValueError, LookupError, OSError) as error:
        say(f"course-chat: {in_one_line(error)}")
        return 2
    except KeyboardInterrupt:
        return 130


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("course-chat", description="Chat with a model: by default for free.")
    where, add = parser.add_mutually_exclusive_group(), parser.add_argument
    where.add_argument("--live", action="store_true", help="the real API: every call costs money")
    where.add_argument("--base-url", metavar="URL", help="a server that speaks the Messages API, or local")
    add("--model", help=f"an id, or haiku, sonnet, opus (default: {models.MODEL})")
    add("--system", metavar="TEXT", help="the system prompt (default: you are asked for one)")
    add("--max-tokens", type=int, metavar="N", help="most tokens of an answer (default: 1024)")
    add("--budget", type=float, metavar="USD", dest="budget_usd", help="never spend more than this")
    add("--last-turns", type=int, metavar="N", help="send the last N finished exchanges and the new question")
    add("--save", type=Path, metavar="PATH", help="write the session to this file at the end")
    add("--load", type=Path, metavar="PATH", help="go on with a saved session, and save it back")
    return parser.parse_args(arguments)


def _reader() -> Callable[[str], str]:
    """What asks for the next message. At a terminal Enter sends, Alt-Enter makes a new line, and what is
    pasted is one message; at a dumb one, which cannot move its cursor, and over a pipe each line is one."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return lambda _: input()  # a prompt is for people
    if is_dumb_terminal():
        return lambda prompt: show(prompt, sys.stderr) or input()
    # Not asked where its cursor is: a terminal that does not answer would get a warning in place of a prompt.
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
    output, keys = create_output(sys.stderr), KeyBindings()
    # What is pasted while an answer comes is one message too: only the program's end turns this off.
    output.disable_bracketed_paste = lambda: None
    atexit.register(sys.stderr.write, "\x1b[?2004l")
    keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
    return PromptSession(output=output, key_bindings=keys).prompt


def show(text: str, stream: TextIO) -> None:
    """Write `text` at once: over a pipe to the letter, at a terminal with what hides in it made visible."""
    stream.write(plain(text) if stream.isatty() else text)
    stream.flush()


def say(text: str) -> None:
    """Print `text` to stderr."""
    show(f"{text}\n", sys.stderr)


class Chatbot:
    """A session at the terminal, or over a pipe: what the options describe."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.read, self.failed, self.path = _reader(), False, options.save or options.load
        self.ours = {options.load and options.load.resolve()}  # files that hold nothing but this session
        if options.save and not os.access(options.save.absolute().parent, os.W_OK):
            raise PermissionError(f"{options.save} cannot be written: its folder is missing or not writable.")
        if options.model:  # the model that `connect` names and looks for
            models.MODEL = models.model_id(options.model)
        with contextlib.redirect_stdout(sys.stderr):
            client = connect("live" if options.live else options.base_url)
        if sys.stdout.isatty() and place(client) == "practice":
            practice.pace(40)  # as a real model would: there is time to press Ctrl-C
        keep = None if options.last_turns is None else last_turns(options.last_turns)
        if options.load:
            self.chat = Conversation.load(options.load, client, keep)
            say(f"[Loaded {options.load}: {count(len(self.chat.turns), 'turn')}]")
        else:
            self.chat = Conversation(client, system=DEFAULT_SYSTEM, keep=keep)
            if options.system is None and sys.stdin.isatty():
                asked = self.read("System prompt (Enter for the default): ")
                options.system = asked.strip() or DEFAULT_SYSTEM
        for name in ("model", "system", "budget_usd", "max_tokens"):
            if (value := getattr(options, name)) is not None:
                setattr(self.chat, name, value)
        self.chat.on_wait = lambda wait: say(str(wait))
        if options.save:  # the last that may fail, since it leaves a file
            self.claim(options.save)

    def run(self) -> int:
        """Question and answer until the end; the exit status."""
        if sys.stdin.isatty():
            say(f"[System prompt: {self.chat.system}]\nType help for the commands, quit to end.")
        try:
            while True:
                if message := self.read("\nYou: ").strip():
                    self.take(message)
        except (EOFError, KeyboardInterrupt):
            pass
        except BrokenPipeError:  # whoever read the answers has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.failed = True
        finally:
            say(f"[Session complete: {self.session()}]")
            if self.path:
                self.take("!save")
        return 1 if self.failed and not sys.stdin.isatty() else 0

    def take(self, message: str) -> None:
        """Answer `message`, or do what it says. What has several lines is no command."""
        if "\n" in message or not (message.startswith("!") or message.lower() in BARE):
            return self.answer(message)
        name, _, argument = message.removeprefix("!").partition(" ")
        if (name := name.lower()) in ("quit", "exit"):
            raise EOFError
        try:
            if name not in COMMANDS:
                raise LookupError(f"There is no !{name}. help lists the commands.")
            COMMANDS[name](self, argument.strip())
        except (ValueError, LookupError, OSError) as error:
            say(f"[{in_one_line(error)}]")
            self.failed |= isinstance(error, OSError)  # something was not saved

    def answer(self, text: str) -> None:
        """Stream the answer to `text`, then what it cost."""
        known, shown, note = len(self.chat.calls), 0, ""
        try:
            with self.chat.stream(text) as pieces:
                for shown, piece in enumerate(pieces, 1):
                    if shown == 1 and sys.stdout.isatty():
                        show("\nAssistant: ", sys.stderr)
                    show(piece, sys.stdout)
            note = pieces.reply.note
        except KeyboardInterrupt:
            note = "Stopped. The answer is not kept; what it is known to have cost is counted."
        except (anthropic.APIError, ValueError, LookupError, RuntimeError) as error:
            note, self.failed = in_one_line(error), True
        if shown:
            show("\n", sys.stdout)
        if note:
            say(f"[{note}]")
        if calls := self.chat.calls[known:]:
            say(f"[This turn: {Total.of(calls)}]")
        say(f"[Session: {self.session()}]")

    def session(self) -> str:
        """Turns, tokens and dollars so far; calls too, where not each of them is a turn of the history."""
        turns, total = count(len(self.chat.turns), "turn"), self.chat.total
        if total.calls != len(self.chat.turns):
            turns = f"{count(total.calls, 'call')}, {turns} in the history"
        return f"{turns} · {total}"

    def stats(self, _: str) -> None:
        """The session so far."""
        chat, lost = self.chat, sum(call.kind == "lost" for call in self.chat.calls)
        say(f"[Model: {chat.model} · at most {count(chat.max_tokens, 'token')} an answer]")
        say(f"[Session: {self.session()}]")
        say(f"[Calls: {chat.total.calls:,}" + (f", {lost:,} of them brought no answer]" if lost else "]"))
        if chat.budget_usd is not None:
            left = max(0.0, chat.budget_usd - chat.total.cost_usd)
            say(f"[Budget: {dollars(chat.budget_usd)}, {dollars(left)} of it left]")
        self.window("")

    def reset(self, _: str) -> None:
        self.chat.reset()
        say("[History cleared. What was spent stays counted.]")

    def undo(self, _: str) -> None:
        turn = self.chat.undo()
        say(f"[Taken back: {turn.user}]" if turn else "[There is no turn to take back.]")

    def model(self, name: str) -> None:
        """Go on with the model `name`, if there is one; say which it is."""
        self.chat.model = name or self.chat.model
        say(f"[Model: {self.chat.model}]")

    def window(self, turns: str) -> None:
        """Send the last `turns` finished exchanges and the new question, or all; say what is sent."""
        if turns.lower() in ("off", "all"):
            self.chat.keep = None
        elif turns.isdecimal():
            self.chat.keep = last_turns(int(turns))
        elif turns:
            raise ValueError(f"!window takes a number of finished exchanges, or off, not {turns}.")
        number = getattr(self.chat.keep, "turns", None)
        last = f"the last {count(number or 0, 'finished exchange')} and the new question are sent"
        sent = {None: "the whole history is sent", 0: "the new question is sent alone"}.get(number, last)
        say(f"[Window: {sent}]")

    def save(self, path: str = "") -> None:
        """Write the session to `path`, by default where it goes at the end."""
        target = Path(path).expanduser() if path else self.path
        if target is None:
            raise ValueError("Say where: !save chat.json")
        self.claim(target)
        self.chat.save(target)
        self.path = self.path or target
        say(f"[Saved to {target}]")

    def claim(self, path: Path) -> None:
        """Make `path` ours. Raises OSError where it cannot be written, or holds something already."""
        if path.resolve() not in self.ours:
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                advice = f"choose another, or go on with it: --load {path}"
                raise FileExistsError(f"{path} is there already: {advice}") from None
            self.ours.add(path.resolve())


COMMANDS = {name: getattr(Chatbot, name) for name in ("stats", "reset", "undo", "model", "window", "save")}
COMMANDS["help"] = lambda *_: say(HELP)


if __name__ == "__main__":
    sys.exit(main())
