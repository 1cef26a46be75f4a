"""Helpers of the course "Working with LLM APIs": the few names that a lesson imports.

What is large (pandas, Matplotlib, the price data, the practice API's server) is imported where it is used, so
`import course_helpers` costs little more than `import anthropic`.
"""

from .client import connect, reply_text
from .history import Conversation
from .models import MODEL
from .practice_api import practice
from .pricing import estimate_cost
from .retries import call_with_retry

__all__ = ["MODEL", "Conversation", "call_with_retry", "connect", "estimate_cost", "practice", "reply_text"]
