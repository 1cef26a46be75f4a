"""The command-line chatbot: `course-chat`, or `python -m course_helpers.chatbot`.

Answers go to stdout, everything else (prompts, meters, waits, errors) to stderr, so that
`course-chat < questions.txt > answers.txt` writes the answers alone.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import signal
import sys
from pathlib import Path

import anthropic

from . import models, render
from .client import connect, place
from .formatting import count, dollars
from .history import Conversation, Total, last_turns
from .history.records import meter
from .models import UnknownModelError
from .practice_api import practice
from .terminal import check_target, in_one_line, read, say, show_wait

DEFAULT_SYSTEM = "You are a helpful assistant. Be concise."

HELP = """\
help            these lines
stats           model, turns, tokens and cost of the session
reset           forget the history (what was spent stays counted)
undo            take back the last turn
!model haiku    go on with another model: haiku, sonnet, opus or an id
!window 5       send the last 5 turns only; !window off sends all
!save chat.json write the session to a file, for --load
quit            end; so do Ctrl-D, and Ctrl-C at the prompt
Ctrl-C stops an answer that is coming."""


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
        bot = Chatbot(_conversation(options), options)
    except (anthropic.APIError, RuntimeError, ValueError, LookupError, OSError) as error:
        say(f"course-chat: {in_one_line(error)}")
        return 2
    except KeyboardInterrupt:
        say("")
        return 130
    return bot.run()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="course-chat",
        description="Chat with a model: by default the practice API, which is free and needs no key.",
        epilog=f"In the chat:\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--live", action="store_true", help="the real API, with your key: every call costs money"
    )
    place.add_argument("--base-url", metavar="URL", help="another server that speaks the Messages API")
    parser.add_argument("--model", help=f"an id, or haiku, sonnet, opus (default: {models.MODEL})")
    parser.add_argument("--system", metavar="TEXT", help="the system prompt (default: you are asked for one)")
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="most tokens of an answer (default: 1024)"
    )
    parser.add_argument("--budget", type=float, metavar="USD", help="never spend more than this")
    parser.add_argument("--last-turns", type=int, metavar="N", help="send the last N turns only")
    parser.add_argument("--save", type=Path, metavar="PATH", help="write the session to this file at the end")
    parser.add_argument("--load", type=Path, metavar="PATH", help="go on with a session that was saved")
    return parser.parse_args(arguments)


def _conversation(options: argparse.Namespace) -> Conversation:
    """The conversation that the options describe. Asks for a system prompt where nothing gives one."""
    check_target(options.save, {options.load})
    keep = None if options.last_turns is None else last_turns(options.last_turns)
    if options.model:  # the model that `connect` names and looks for
        models.MODEL = models.model_id(options.model)
    if not options.base_url:
        _check_model(models.MODEL, "live" if options.live else "practice")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            client = connect("live" if options.live else options.base_url)
    except RuntimeError as error:
        if not str(error).startswith("No API key"):
            raise
        raise RuntimeError(
            "No API key: set ANTHROPIC_API_KEY, or leave out --live and chat for free."
        ) from None
    if sys.stdout.isatty() and place(client) == "practice":
        practice.pace(40)  # as a real model would: there is time to press Ctrl-C
    if options.load:
        chat = Conversation.load(options.load, client, keep)
        say(f"[Loaded {options.load}: {count(len(chat.turns), 'turn')}]")
    else:
        chat = Conversation(client, model=options.model or models.MODEL, system=DEFAULT_SYSTEM, keep=keep)
        if options.system is None and sys.stdin.isatty():
            chat.system = read("System prompt (Enter for the default): ").strip() or DEFAULT_SYSTEM
    given = {"model": options.model, "system": options.system, "budget_usd": options.budget}
    given["max_tokens"] = options.max_tokens
    for name, value in given.items():
        if value is not None:
            setattr(chat, name, value)
    chat.on_wait = show_wait
    return chat


def _check_model(name: str, where: str) -> None:
    """Raises UnknownModelError for what practice or live does not serve. Live may have more Claude models."""
    only_ours = where == "practice" or (where == "live" and not name.startswith("claude-"))
    if only_ours and models.find_model(name).lifecycle == "retired":
        raise UnknownModelError(f"{name} is retired and answers no more: choose another model.")


class Chatbot:
    """A session at the terminal, or over a pipe."""

    def __init__(self, chat: Conversation, options: argparse.Namespace) -> None:
        self.chat, self.path = chat, options.save
        self.ours = {options.save, options.load}
        """The files that may be written over: what they hold is of this session."""
        self.failed = False
        self.commands = {
            "help": lambda _: say(HELP),
            "stats": lambda _: self.stats(),
            "reset": lambda _: self.reset(),
            "undo": lambda _: self.undo(),
            "model": self.model,
            "window": self.window,
            "save": self.save,
        }

    def run(self) -> int:
        """Question and answer until the end; the exit status."""
        if sys.stdin.isatty():
            say(f"[System prompt: {self.chat.system}]\nType help for the commands, quit to end.")
        try:
            with contextlib.suppress(EOFError, KeyboardInterrupt):
                while self.take(read("\nYou: ").strip()):
                    pass
        except BrokenPipeError:  # whoever read the answers has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.failed = True
        finally:
            self.end()
        return 1 if self.failed and not sys.stdin.isatty() else 0

    def take(self, line: str) -> bool:
        """Do what `line` says; False if it ends the session."""
        name, _, argument = line.removeprefix("!").partition(" ")
        name = name.lower()
        if name in ("quit", "exit") and not argument:
            return False
        if name in self.commands and (line.startswith("!") or (not argument and name not in TAKE_ARGUMENTS)):
            try:
                self.commands[name](argument.strip())
            except (ValueError, LookupError, OSError) as error:
                say(f"[{in_one_line(error)}]")
        elif line.startswith("!"):
            near = difflib.get_close_matches(name, self.commands, n=1)
            hint = f"Did you mean !{near[0]}?" if near else "help lists the commands."
            say(f"[There is no !{name}. {hint}]")
        elif line:
            self.answer(line)
        return True

    def answer(self, text: str) -> None:
        """Stream the answer to `text`, then what it cost."""
        known, shown, exact = len(self.chat.calls), False, not sys.stdout.isatty()
        try:
            with self.chat.stream(text) as pieces:
                for piece in pieces:
                    if not shown and not exact:
                        say("\nAssistant: ", end="")
                    shown = True
                    sys.stdout.write(piece if exact else render.plain(piece))
                    sys.stdout.flush()
            note = pieces.reply.note
        except KeyboardInterrupt:
            if not shown and sys.stdin.isatty():
                say("")  # below the ^C
            note = "Stopped. The answer is not kept; what it is known to have cost is counted."
        except (anthropic.APIError, ValueError, LookupError, RuntimeError) as error:
            note = in_one_line(error)
            self.failed = True
        if shown:
            print(flush=True)
        if note:
            say(f"[{note}]")
        self.meters(Total().plus(self.chat.calls[known:]))

    def meters(self, turn: Total) -> None:
        """What the turn and the session took."""
        if turn.calls:
            say(f"[This turn: {meter(turn)}]")
        say(f"[Session: {self.session()}]")

    def session(self) -> str:
        """Turns, tokens and dollars so far; calls too, where not each of them is a turn of the history."""
        turns, total = count(len(self.chat.turns), "turn"), self.chat.total
        if total.calls != len(self.chat.turns):
            turns = f"{count(total.calls, 'call')}, {turns} in the history"
        return f"{turns} · {meter(total)}"

    def stats(self) -> None:
        """The session so far."""
        chat, lost = self.chat, sum(call.kind == "lost" for call in self.chat.calls)
        say(f"[Model: {chat.model} · at most {count(chat.max_tokens, 'token')} an answer]")
        say(f"[Session: {self.session()}]")
        say(f"[Calls: {chat.total.calls:,}" + (f", {lost:,} of them brought no answer]" if lost else "]"))
        if chat.budget_usd is not None:
            left = max(0.0, chat.budget_usd - chat.total.cost_usd)
            say(f"[Budget: {dollars(chat.budget_usd)}, {dollars(left)} of it left]")
        say(f"[Window: {self.sent()}]")

    def sent(self) -> str:
        """What of the history goes with each question."""
        if self.chat.keep is None:
            return "the whole history is sent"
        return f"the last {count(self.chat.keep.turns, 'turn')} and the new question are sent"

    def reset(self) -> None:
        self.chat.reset()
        say("[History cleared. What was spent stays counted.]")

    def undo(self) -> None:
        turn = self.chat.undo()
        say(f"[Taken back: {turn.user}]" if turn else "[There is no turn to take back.]")

    def model(self, name: str) -> None:
        """Go on with the model `name`; say which it is."""
        if name:
            _check_model(name, place(self.chat.client))
            self.chat.model = name
        say(f"[Model: {self.chat.model}{_retiring(self.chat.model)}]")

    def window(self, turns: str) -> None:
        """Send the last `turns` turns, or all."""
        if turns.lower() in ("off", "all"):
            self.chat.keep = None
        elif turns.isdecimal():
            self.chat.keep = last_turns(int(turns))
        elif turns:
            raise ValueError(f"!window takes a number of turns or off, not {turns}.")
        say(f"[Window: {self.sent()}]")

    def save(self, path: str = "") -> None:
        """Write the session to `path`, by default the one of --save."""
        target = Path(path).expanduser() if path else self.path
        if target is None:
            raise ValueError("Say where: !save chat.json")
        check_target(target, self.ours)
        self.chat.save(target)
        self.ours.add(target)
        self.path = self.path or target
        say(f"[Saved to {target}]")

    def end(self) -> None:
        """The summary, and the file if one is wanted."""
        if sys.stdin.isatty():
            say("")
        say(f"[Session complete: {self.session()}]")
        if self.path is not None:
            try:
                self.save()
            except OSError as error:
                self.failed = True
                say(f"[Not saved: {in_one_line(error)}]")


TAKE_ARGUMENTS = {"model", "window", "save"}
"""Commands that are only ever meant with a `!`: "save" alone may well be a question."""


def _retiring(id: str) -> str:
    try:
        model = models.find_model(id)
    except UnknownModelError:
        return ""
    return f", {model.lifecycle}, retires {model.retires:%Y-%m-%d}" if model.retires else ""


if __name__ == "__main__":
    sys.exit(main())
