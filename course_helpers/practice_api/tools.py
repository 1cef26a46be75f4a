"""Tools: which one the practice model calls, with what input, and what it makes of the result.

The rule: a forced tool is called. Else the one whose name and description share most words with the
last question, the first of several; where no word is shared, none. Short words, common ones and a
plural s do not count. The input is an instance of the tool's schema, with the question's numbers and
proper names where they fit. Once results are there, the answer quotes them.
"""

from __future__ import annotations

import re
from typing import Any

from .instances import instance
from .schemas import CreateMessage, CustomTool, Message

_COMMON = """about and any are can could current does for from get give given has have how into its let
look make more need please question return show tell that the their them there thi use used user want
what when where which who will with would you your"""


def call(request: CreateMessage, messages: list[Message]) -> dict[str, Any] | None:
    """Name and input of the tool that is called in answer to `messages`, if one is."""
    choice = request.tool_choice
    wanted = choice.name if choice and choice.type == "tool" else None
    tools = [tool for tool in request.tools if isinstance(tool, CustomTool) and wanted in (None, tool.name)]
    last = next(message for message in reversed(messages) if message.role != "system")
    if not tools or (choice and choice.type == "none") or last.role == "assistant":
        return None
    question = "\n".join(block.text for block in last.content if block.type == "text")
    asked = _words(question)
    shared = [len(asked & _words(f"{tool.name} {tool.description or ''}")) for tool in tools]
    chosen = tools[shared.index(max(shared))]
    forced = choice and choice.type in ("any", "tool")
    if not forced and not any(shared):
        return None
    return {"name": chosen.name, "input": instance(chosen.input_schema, question)}


def answer(results: list[Any]) -> str:
    """What the model says once the results of its calls (blocks of type tool_result) are there."""
    said = []
    for result in results:
        parts = [part.text if part.type == "text" else part.type for part in result.content or ()]
        failed = "The tool failed" if result.is_error else "The tool answered"
        said.append(f"{failed}: {' '.join(parts)[:500]}")
    return "\n".join(said)


def _words(text: str) -> set[str]:
    """The words of `text` that say something, in lower case; of `getWeather` and `get_weather` alike."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)
    words = {word.lower().removesuffix("s") for word in re.findall(r"[^\W\d]{3,}", apart)}
    return words.difference(_COMMON.split())
