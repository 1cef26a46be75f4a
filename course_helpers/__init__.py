"""Helpers of the course "Working with LLM APIs": the few names that a lesson imports.

Each name is imported from its module on first use, so `import course_helpers` costs nothing that
`import anthropic` does not.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import connect, reply_text
    from .history import Conversation
    from .models import MODEL
    from .practice_api import practice
    from .pricing import estimate_cost
    from .retries import call_with_retry

__all__ = ["MODEL", "Conversation", "call_with_retry", "connect", "estimate_cost", "practice", "reply_text"]
_MODULES = ("models", "history", "retries", "client", "pricing", "practice_api", "client")


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES[__all__.index(name)]
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
