"""Helpers of the course "Working with LLM APIs": the few names that a lesson imports.

What is large (pandas, Matplotlib, the price data, the practice API's server) is imported where it is used, so
`import course_helpers` costs little more than `import anthropic`.
"""

from typing import TYPE_CHECKING, Any

from .client import connect, reply_text
from .models import MODEL
from .practice_api import practice
from .pricing import estimate_cost
from .retries import call_with_retry

if TYPE_CHECKING:
    from .history import Conversation

__all__ = ["MODEL", "Conversation", "call_with_retry", "connect", "estimate_cost", "practice", "reply_text"]


def __getattr__(name: str) -> Any:
    if name != "Conversation":  # which takes half the time of all these imports
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .history import Conversation

    return Conversation
