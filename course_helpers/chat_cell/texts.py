"""What the chat says in words: what is so, what went wrong, what it cost; and what can be taken out of it."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import anthropic

from .. import models
from ..client import place
from ..formatting import count, dollars, in_one_line, plain, share, short
from ..history import Call, Conversation, StreamInterrupted
from ..history.strategies import chosen
from ..history.turn import Server
from ..retries import SPEND_CAP
from ..wire import Steps, advance

STARTERS = (  # what an empty chat offers to ask
    "What is a token?",
    "Why does each turn of a chat cost more than the one before?",
    "What does a first API call look like in Python?",
)

STAND_IN = "A chat with a language model: run this cell to open it."
"""What stands in place of the chat where no widget can: nbval, `jupyter execute`, a reopened notebook."""

_CHILD = ".jp-OutputArea-child"
HIDDEN_STAND_IN = f"""<div class="course-chat-closed">{STAND_IN}</div><style>
{_CHILD}:has(.course-chat-closed):has(+ {_CHILD} .course-chat) {{ display: none; }}
{_CHILD}:has(.course-chat-closed) + {_CHILD}:not(:has(.course-chat)) {{ display: none; }}
</style>"""
"""Shown before the widget and hidden as soon as that lives: a dead one would only say "model not found"."""

STOPPED = "Stopped. What had come stays here; it may be billed, but is not part of the conversation."
STOPPED_EARLY = "Stopped before anything came. Nothing is kept; what was sent may still be billed."

_AT = {"practice": "practice: free", "live": "live", "local": "on this machine", "remote": "elsewhere"}
_MEANING = {
    StreamInterrupted: "The reply broke off. Nothing was kept: Retry asks again.",
    anthropic.APITimeoutError: "The server did not answer in time. Check the network, then Retry.",
    "Connection error.": "No connection. Check the network (or the local server), then Retry.",
    SPEND_CAP: "The spend limit of this account is reached. Waiting does not help: raise it in the console.",
    401: 'The API refused the key. Check it and connect again; connect("practice") needs none.',
    404: "There is no such model here. Choose another one above, then Retry.",
    413: "The conversation is too large to send. Clear it, or keep fewer turns.",
    429: "Too many requests or tokens in the last minute. Wait a moment, then Retry.",
    anthropic.InternalServerError: "The API failed. This is not your mistake. Wait a moment, then Retry.",
    anthropic.APIStatusError: "The API refused the request.",
    **dict.fromkeys((anthropic.APIError, LookupError, ValueError, RuntimeError), ""),  # sentences already
}
"""What errors mean for the reader of a chat and what to do: by error code, status, words or class."""


def explain(error: BaseException) -> str:
    """What `error` means for the reader; on a second line what was said, and what was tried."""
    told = (getattr(error, name, None) for name in ("error_code", "status_code", "message"))
    known = (_MEANING[name] for name in (*told, *type(error).__mro__) if name in _MEANING)
    meaning = next(known, f"Something unexpected went wrong: {type(error).__name__}.")
    return f"{meaning}\n{short(in_one_line(error), 400)}".strip()


def session(chat: Conversation) -> str:
    """One line on all of `chat`: what it holds, what it cost and where that is paid."""
    budget = "" if chat.budget_usd is None else f" of a budget of {dollars(chat.budget_usd)}"
    return f"{count(len(chat.turns), 'turn')} · {chat.total}{budget} ({_AT[place(chat.client)]})"


def bill(call: Call) -> str:
    """One line on one call: tokens and cost, times, and attempts where there were several."""
    first = "" if call.first_token_seconds is None else f"first piece {call.first_token_seconds:.2f} s · "
    tried = f" · {count(call.attempts, 'attempt')}" if call.attempts > 1 else ""
    named = {"summary": "Summary of older turns: ", "lost": "Not kept: "}.get(call.kind, "")
    if call.kind == "lost" and call.stop_reason is None:  # the server never came to its last count
        named += "at least "
    return f"{named}{call} · {first}{call.seconds:.2f} s in all{tried}"


class _Unasked(Server):
    """A server that is not asked: what is counted is an estimate, and what is asked gets no answer."""

    def ask(self, messages: list[dict[str, Any]]) -> Steps[None]:
        yield from ()


def forecast(chat: Conversation, text: str, last: Any = None) -> dict[str, Any]:
    """One line on a turn that was not sent yet, and which share of the context window it would take.

    Its tokens are an estimate, as wrong as it was for the `last` exchange of which that is known.
    """
    server = _Unasked(**vars(chat.server()) | {"uncounted": True})
    unsent = Conversation(chat.client, model=chat.model, system=chat.system)  # all that a strategy asks of it
    unsent._ledger.now = chat._ledger.now
    unsent.server, unsent.ask = (lambda: server), (lambda messages: "")
    messages = [*chat.messages, {"role": "user", "content": text}]
    messages = advance(chosen(chat.keep, unsent, messages, server))
    sent = unsent.count(messages)
    if last is not None:
        sent = round(sent * last.turn.prompt_tokens / unsent.count(last.request["messages"])) or 1
    least = server.rates.cost({"input_tokens": sent, "output_tokens": 1}) if server.rates else 0.0
    most = server.worst(server.request(messages), sent)
    window = getattr(models.MODELS.get(chat.model), "context_window", None)
    full = f" · context window {share(sent, window)} full" if window else ""
    cost = f"{dollars(least)} at least, {dollars(most)} at most{full}"
    return {"forecast": f"This turn: ≈ {count(sent, 'token')} in · {cost}", "share": window and sent / window}


def model_options(chat: Conversation) -> list[tuple[str, str]]:
    """Label and id of each model to choose from; on another's server, only the one in use is known."""
    served = models.available() if place(chat.client) in ("practice", "live") else []
    dates = {model.id: f" (retires {model.retires})" if model.retires else "" for model in served}
    dates.setdefault(chat.model, "")
    return [(plain(name) + going, name) for name, going in dates.items()]


def in_three_languages(request: dict[str, Any], client: anthropic.Anthropic) -> dict[str, str]:
    """`request` to `client` as JSON, as a curl command and as Python. The key is named, never shown."""
    url, body = str(client.base_url).rstrip("/"), json.dumps(request, indent=2, ensure_ascii=False)
    key = "x-api-key: $ANTHROPIC_API_KEY" if client.api_key else "authorization: Bearer $ANTHROPIC_AUTH_TOKEN"
    version = f"anthropic-version: {client.default_headers['anthropic-version']}"
    headers = [f'-H "{header}"' for header in ("content-type: application/json", version, key)]
    curl = [f"curl {shlex.quote(url + '/v1/messages')}", *headers, f"--data-raw {shlex.quote(body)}"]
    arguments = "".join(f"    {name}={value!r},\n" for name, value in request.items())
    python = (
        f"import anthropic\n\nclient = anthropic.Anthropic(base_url={url!r})  # the key: ANTHROPIC_API_KEY\n"
        f"message = client.messages.create(\n{arguments})\n"
        'print("".join(block.text for block in message.content if block.type == "text"))'
    )
    return {"JSON": body, "curl": " \\\n  ".join(curl), "Python": python}


def as_markdown(chat: Conversation) -> str:
    """What `chat` holds, to be read anywhere: questions, answers, what each cost and all together."""
    parts = ["# A chat", *([f"**System prompt:** {chat.system}"] if chat.system else [])]
    for turn in chat.turns:
        parts += ["## You", turn.user, f"## {turn.model}", turn.assistant, f"*{turn}*"]
    return "\n\n".join([*parts, "---", f"{len(chat.turns)} turns · {chat.total}", ""])


def as_json(chat: Conversation) -> str:
    """`chat` as `Conversation.load` reads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.json"
        chat.save(path)
        return path.read_text(encoding="utf-8")
