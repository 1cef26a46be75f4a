"""What the reader can take out of a chat: a request in three languages, the conversation in two."""

from __future__ import annotations

import json
import pprint
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..history.records import meter

if TYPE_CHECKING:
    import anthropic

    from ..history import Conversation


def in_three_languages(request: dict[str, Any], client: anthropic.Anthropic) -> dict[str, str]:
    """`request` to `client` as JSON, as a curl command and as Python. The key is named, never shown."""
    url = str(client.base_url).rstrip("/")
    body = json.dumps(request, indent=2, ensure_ascii=False)
    key = "x-api-key: $ANTHROPIC_API_KEY" if client.api_key else "authorization: Bearer $ANTHROPIC_AUTH_TOKEN"
    version = client.default_headers["anthropic-version"]
    headers = ("content-type: application/json", f"anthropic-version: {version}", key)
    curl = [f"curl {shlex.quote(url + '/v1/messages')}", *(f'-H "{header}"' for header in headers)]
    curl.append(f"--data-raw {shlex.quote(body)}")
    arguments = "".join(
        f"    {name}={pprint.pformat(value, width=88, sort_dicts=False)},\n"
        for name, value in request.items()
    )
    python = (
        f"import anthropic\n\nclient = anthropic.Anthropic(base_url={url!r})  # the key: ANTHROPIC_API_KEY\n"
        f"message = client.messages.create(\n{arguments})\n"
        'print("".join(block.text for block in message.content if block.type == "text"))'
    )
    return {"JSON": body, "curl": " \\\n  ".join(curl), "Python": python}


def as_markdown(chat: Conversation) -> str:
    """What `chat` holds, to be read anywhere: questions, answers, what each cost and all together."""
    parts = ["# A chat"]
    if chat.system:
        parts.append(f"**System prompt:** {chat.system}")
    for turn in chat.turns:
        parts += ["## You", turn.user, f"## {turn.model}", turn.assistant, f"*{meter(turn)}*"]
    return "\n\n".join([*parts, "---", f"{len(chat.turns)} turns · {meter(chat.total)}", ""])


def as_json(chat: Conversation) -> str:
    """`chat` as `Conversation.load` reads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.json"
        chat.save(path)
        return path.read_text(encoding="utf-8")
