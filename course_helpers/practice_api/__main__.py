"""The practice API for any other program: `python -m course_helpers.practice_api --port 8787`."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from ..models import DEFAULT_MODEL
from . import PRACTICE_KEY, Practice

USAGE = """Practice API at {url}, on this machine only, free of charge. Its key is {key}. Stop it with Ctrl-C.

The SDK, in another terminal:
  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={key} python my_program.py

curl:
  curl {url}/v1/messages \\
    -H "x-api-key: {key}" -H "anthropic-version: 2023-06-01" -H "content-type: application/json" \\
    -d '{{"model": "{model}", "max_tokens": 100, "messages": [{{"role": "user", "content": "Hello!"}}]}}'
"""


def main(argv: list[str] | None = None) -> str | None:
    """Serve until Ctrl-C or SIGTERM; one sentence where that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m course_helpers.practice_api", description=__doc__)
    parser.add_argument("--port", type=int, default=8787, help="port on this machine (8787; 0: a free one)")
    options = parser.parse_args(argv)
    server = Practice()
    for how in (signal.SIGINT, signal.SIGTERM):  # also where a script's `&` has Ctrl-C ignored
        signal.signal(how, signal.default_int_handler)
    try:
        url = server.start(options.port)
        print(USAGE.format(url=url, key=PRACTICE_KEY, model=DEFAULT_MODEL), flush=True)
        while True:
            time.sleep(3600)
    except (OSError, OverflowError) as error:
        return f"Port {options.port} cannot be used ({error}): choose another with --port."
    except ValueError as error:  # a mistake in replies.toml
        return str(error)
    except KeyboardInterrupt:
        print("\nThe practice API has stopped.")
    finally:
        server.stop()
    return None


if __name__ == "__main__":
    sys.exit(main())
