"""The environment of this process: what the SDK reads there, what would stop it, what the learner had set."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from getpass import getpass

import httpx2

from .practice_api import PRACTICE_KEY

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
# What the SDK reads, and so what connect must set for its place. Custom headers can carry a key too.
MANAGED = (*KEYS, "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS", "COURSE_MODEL")
PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def managed() -> dict[str, str]:
    """The managed variables as they are."""
    return {name: os.environ[name] for name in MANAGED if os.environ.get(name)}


def set_to(variables: Mapping[str, str]) -> None:
    """Make the managed variables those of `variables`, and no others."""
    for name in MANAGED:
        os.environ.pop(name, None)
    os.environ.update({name: variables[name] for name in MANAGED if name in variables})


@cache
def remember() -> dict[str, str]:
    """The managed variables as they were before the first connect, and what `mend` has set aside."""
    found = managed()
    if found.get("ANTHROPIC_API_KEY") == PRACTICE_KEY:
        # A process that was connected to practice started this one: its address is not the learner's.
        del found["ANTHROPIC_API_KEY"]
        found.pop("ANTHROPIC_BASE_URL", None)
    return found


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by any of its names."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return f".{host}".endswith(".localhost")


def mend(host: str = "localhost") -> None:
    """Let every client of this process be made and reach this machine, whatever stands in the environment.

    A proxy variable that makes no client is set aside, and loopback goes into NO_PROXY, `host` too.
    Raises RuntimeError where those set aside may name the way to `host`, and for certificates that are none.
    """
    own = remember()
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        proxy = os.environ[name] if "://" in os.environ[name] else f"http://{os.environ[name]}"
        try:
            httpx2.Client(proxy=proxy, verify=False).close()
        except Exception:  # each part of an address has an error of its own
            own[name] = os.environ.pop(name)
    aside = [name for name in own if name.lower() in PROXIES]
    if aside and not is_loopback(host):
        said = "holds no proxy address that can be used here: correct or unset it, and start again."
        raise RuntimeError(f"{' or '.join(aside)} {said}")
    for name in ("NO_PROXY", "no_proxy"):
        named = [entry for entry in os.environ.get(name, "").split(",") if entry.strip()]
        here = ["127.0.0.1", "localhost", "::1", ".localhost", *filter(is_loopback, [host])]
        os.environ[name] = ",".join(dict.fromkeys([*named, *here]))
    for name in filter(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")):
        try:
            httpx2.create_ssl_context()
        except OSError:  # of which ssl's own errors are a kind
            said = f"{name} names {os.environ[name]}, which is not there or holds no certificate"
            raise RuntimeError(f"{said}: correct it, or unset it.") from None


def clean(key: str | None) -> str | None:
    """`key` as it goes into a header. Raises ValueError, without the key, where it cannot be one."""
    key = key and key.strip()
    if key and not re.fullmatch(r"[!-~]+", key):
        raise ValueError("The key holds a blank or another character that no key has: copy it once more.")
    return key


def ask_for_key() -> str:
    """The key typed at a hidden prompt. It stays in this process's memory only."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    key, can_ask = "", getattr(shell, "kernel", None) or (sys.stdin and sys.stdin.isatty())
    with suppress(EOFError, RuntimeError):  # ipykernel raises a RuntimeError where nobody can type
        key = getpass("Anthropic API key (hidden as you type): ") if can_ask else ""
    if not key.strip():
        ways = 'pass api_key=…, or go on for free with connect("practice")'
        raise RuntimeError(f"No API key: set ANTHROPIC_API_KEY and start again, {ways}.")
    return clean(key)
