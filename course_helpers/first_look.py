"""The first look at a server: does it answer, does it take the key, has it the model?"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import anthropic
import httpx2

from . import models

TIMEOUT = 10.0
"""Seconds that the look may take."""


def at_live_model(client: anthropic.Anthropic) -> list[str]:
    """Sentences about the chosen model that the Models API makes necessary: deprecated, or gone."""
    look = client.with_options(max_retries=0, timeout=TIMEOUT)
    try:
        model = look.models.retrieve(models.MODEL)
    except anthropic.AuthenticationError as error:
        raise anthropic.AuthenticationError(
            f'The API refused the key ({error.status_code}). connect("live") once more asks for another '
            '(the console makes new ones); connect("practice") needs none. '
            "Nothing changed: calls go where they went before.",
            response=error.response,
            body=error.body,
        ) from None
    except anthropic.NotFoundError:
        return [f"This API does not have {models.MODEL}. {_advice_for(look)}"]
    except anthropic.APIConnectionError as error:
        raise _nothing_answers(str(client.base_url), error) from None
    except anthropic.APIStatusError as error:
        return [f"The Models API answered {error.status_code}, so {models.MODEL} could not be checked."]
    if (model.lifecycle or "active") == "active":  # None where a gateway leaves it out
        return []
    until = f" and stops answering on {model.retires_at:%Y-%m-%d}" if model.retires_at else ""
    return [f"{model.id} is {model.lifecycle}{until}. {_advice_for(look)}"]


def _advice_for(look: anthropic.Anthropic) -> str:
    """What to set COURSE_MODEL to: the newest active model of the same line that the API lists."""
    try:
        active = [m for m in look.models.list(limit=1000) if (m.lifecycle or "active") == "active"]
    except anthropic.APIError:
        active = []
    line = next((line for line in models.ALIASES if f"-{line}-" in models.MODEL), "no line")
    same_line = [model.id for model in active if f"-{line}-" in model.id]
    choice = (same_line or [model.id for model in active] or [models.DEFAULT_MODEL])[0]
    return advice(choice)


def at_server(url: str, api_key: str | None) -> tuple[list[str], str]:
    """The model names that the server lists, and a sentence where calls to it will fail.

    Raises `anthropic.APIConnectionError` where nothing answers.
    """
    from .render import plain

    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    headers = {"anthropic-version": "2023-06-01", **key}
    try:
        answer = httpx2.get(f"{url}/v1/models", headers=headers, timeout=TIMEOUT)
    except httpx2.HTTPError as error:
        raise _nothing_answers(url, error) from None
    if answer.status_code == 401:
        return (
            [],
            f"It {'refuses this key' if api_key else 'wants a key'} (401): pass the right one as api_key=…",
        )
    try:
        return [plain(str(item["id"])) for item in answer.json()["data"]], ""
    except (ValueError, LookupError, TypeError):
        kind = answer.headers.get("content-type", "")
    page = "It answers with a page for people: is this the address of a Messages API?"
    return [], page if "html" in kind else ""


def _nothing_answers(url: str, error: Exception) -> anthropic.APIConnectionError:
    advice = "check the address, the network and, behind a proxy, HTTPS_PROXY."
    if is_loopback(urlsplit(url).hostname or ""):
        advice = "is the server running?"
    return anthropic.APIConnectionError(
        message=f"Nothing answers at {url.rstrip('/')} ({type(error.__cause__ or error).__name__}): {advice}",
        request=httpx2.Request("GET", url),
    )


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def advice(model: str) -> str:
    """How to choose `model` for all lessons, or for one call."""
    return f"Start again with COURSE_MODEL={model}, or pass model={model!r} in each call."
