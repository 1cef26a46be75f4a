"""Helpers of the course "Working with LLM APIs": the few names that a lesson imports.

Each name is imported from its module on first use, so `import course_helpers` costs nothing that
`import anthropic` does not.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

_HOMES = {
    "MODEL": "models",
    "Conversation": "history",
    "call_with_retry": "retries",
    "connect": "client",
    "estimate_cost": "pricing",
    "practice": "practice_api",
    "reply_text": "client",
}

__all__ = ["MODEL", "Conversation", "call_with_retry", "connect", "estimate_cost", "practice", "reply_text"]

if TYPE_CHECKING:
    from .client import connect, reply_text
    from .history import Conversation
    from .models import MODEL
    from .practice_api import practice
    from .pricing import estimate_cost
    from .retries import call_with_retry


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
