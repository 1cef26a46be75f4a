"""The practice API for any other program: `python -m course_helpers.practice_api --port 8787`."""

from __future__ import annotations

import argparse
import ast
import inspect
import signal
import sys
import threading
from typing import Any

from ..models import DEFAULT_MODEL
from . import CONTROLS, PRACTICE_KEY, Practice
from .faults import Faults

USAGE = """\
Practice API at {url}, on this machine only, free of charge. Its key is {key}. Stop it with Ctrl-C.

The SDK, in another terminal:
  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={key} python my_program.py

curl:
  curl {url}/v1/messages \\
    -H "x-api-key: {key}" -H "anthropic-version: 2023-06-01" -H "content-type: application/json" \\
    -d '{{"model": "{model}", "max_tokens": 100, "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Faults: {faults}"""


def arguments(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """What `529 times=3` says: positional and named arguments."""
    named = dict(word.split("=", 1) for word in words if "=" in word)
    return [_value(word) for word in words if "=" not in word], {k: _value(v) for k, v in named.items()}


def _value(word: str) -> Any:
    """A number, True, False or None where `word` reads like one, else the word itself."""
    try:
        return ast.literal_eval(word.capitalize() if word in ("true", "false") else word)
    except (ValueError, SyntaxError):
        return word


def parser() -> argparse.ArgumentParser:
    """The command line: one option for each control of the fault lab, with the control's own arguments."""
    made = argparse.ArgumentParser(
        prog="python -m course_helpers.practice_api",
        usage="%(prog)s [--port PORT] [--CONTROL VALUE NAME=VALUE ...]",
        description="The course's practice API, for any program that speaks the Messages API.",
        epilog="Options take the arguments of the Python controls: --fail-next 529 times=3 --pace 40",
    )
    made.add_argument("--port", type=int, default=8787, help="port on loopback (default 8787; 0: a free one)")
    for name in CONTROLS:
        control = getattr(Faults, name)
        takes = [p.name for p in list(inspect.signature(control).parameters.values())[1:]]
        made.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="+",
            action="append",
            default=[],
            metavar="VALUE",
            help=f"{control.__doc__.splitlines()[0]} ({', '.join(takes)})",
        )
    return made


def main(argv: list[str] | None = None) -> str | None:
    """Serve until Ctrl-C or SIGTERM; one sentence where that cannot be."""
    made = parser()
    options = vars(made.parse_args(argv))
    server = Practice()
    for name in CONTROLS:
        for words in options[name]:
            given, named = arguments(words)
            try:
                getattr(server, name)(*given, **named)
            except (TypeError, ValueError) as error:
                made.error(f"--{name.replace('_', '-')}: {str(error).removeprefix('Faults.')}")
    for how in (signal.SIGINT, signal.SIGTERM):  # also where a script's `&` has Ctrl-C ignored
        signal.signal(how, signal.default_int_handler)
    try:
        url = server.start(options["port"])
        words = {"url": url, "key": PRACTICE_KEY, "model": DEFAULT_MODEL, "faults": server.api.faults}
        print(USAGE.format(**words), flush=True)
        while not threading.Event().wait(3600):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "there is no such port"
        return f"Port {options['port']} cannot be used ({reason}): choose another with --port."
    except ValueError as error:  # a mistake in replies.toml
        return str(error)
    except KeyboardInterrupt:
        print("\nThe practice API has stopped.")
    finally:
        server.stop()
    return None


if __name__ == "__main__":
    sys.exit(main())
