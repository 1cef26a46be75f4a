"""The first look at a server: does it answer and take the key, has it the model, does it pass calls on?"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import anthropic
import httpx2

from . import models
from .environment import PROXIES, is_loopback

SECONDS = 10.0
"""How long a look may take."""

# Models that are sold and not given away: a server on this machine that lists one passes calls on.
_SOLD = re.compile(
    r"(^|[/.])(claude|gpt-\d|gpt-chat|chatgpt|o\d(-|$)|gemini|grok|muse-|sonar|command-[ar]\b|"
    r"deepseek-(chat|reasoner)|mistral-(large|medium|small)-latest|qwen-(max|plus|turbo)|kimi-latest)",
    re.IGNORECASE,
)
CLOUD = re.compile(r"(^|[-:])cloud$", re.IGNORECASE)  # what Ollama calls the models that run elsewhere

elsewhere: dict[str, list[str]] = {}  # URL of a server that lists its models → those that run elsewhere


def at_live_model(client: anthropic.Anthropic, wanted: str) -> list[str]:
    """Sentences about the model `wanted` that the Models API makes necessary: deprecated, or gone."""
    look = client.with_options(max_retries=0, timeout=SECONDS)
    try:
        model = look.models.retrieve(wanted)
    except anthropic.AuthenticationError as error:
        raise anthropic.AuthenticationError(
            f'The API refused the key ({error.status_code}). connect("live") once more asks for another '
            '(the console makes new ones); connect("practice") needs none. '
            "Nothing changed: calls go where they went before.",
            response=error.response,
            body=error.body,
        ) from None
    except anthropic.NotFoundError:
        return [f"This API does not have {wanted}. {_advice_for(look, wanted)}"]
    except anthropic.APIConnectionError as error:
        raise _nothing_answers(str(client.base_url), error) from None
    except anthropic.APIStatusError as error:
        return [f"The Models API answered {error.status_code}, so {wanted} could not be checked."]
    if (model.lifecycle or "active") == "active":  # None where a gateway leaves it out
        return []
    until = f" and stops answering on {model.retires_at:%Y-%m-%d}" if model.retires_at else ""
    return [f"{model.id} is {model.lifecycle}{until}. {_advice_for(look, wanted)}"]


def _advice_for(look: anthropic.Anthropic, wanted: str) -> str:
    """What to set COURSE_MODEL to: the newest active model of the same line that the API lists."""
    try:
        active = [m.id for m in look.models.list(limit=1000) if (m.lifecycle or "active") == "active"]
    except anthropic.APIError:
        active = []
    line = next((line for line in models.ALIASES if f"-{line}-" in wanted), "no line")
    return advice([*(id for id in active if f"-{line}-" in id), *active, models.DEFAULT_MODEL][0])


def at_server(client: anthropic.Anthropic, with_key: bool, seconds: float | None) -> tuple[list[str], str]:
    """The model names that the server lists, and a sentence where calls to it will fail, else "".

    Raises `anthropic.APIConnectionError` where nothing answers.
    """
    from .render import plain

    url = str(client.base_url).rstrip("/")
    elsewhere.pop(url, None)
    try:
        look = client.with_options(max_retries=0, timeout=seconds or SECONDS)
        answer = look.get("/v1/models", cast_to=httpx2.Response)
        names = [plain(str(item["id"])) for item in answer.json()["data"]]
    except anthropic.AuthenticationError:
        refusal = "refuses this key" if with_key else "wants a key"
        return [], f"It {refusal} (401): pass the right one as api_key=…"
    except anthropic.APIConnectionError as error:
        raise _nothing_answers(url, error) from None
    except anthropic.APIStatusError:
        return [], ""
    except (ValueError, LookupError, TypeError):
        page = "It answers with a page for people: is this the address of a Messages API?"
        return [], page if "html" in answer.headers.get("content-type", "") else ""
    ours = answer.headers.get("request-id", "").startswith("req_practice")  # of another process
    elsewhere[url] = [] if ours else list(filter(runs_elsewhere, names))
    return names, ""


def runs_elsewhere(model: str) -> bool:
    return bool(_SOLD.search(model) or CLOUD.search(model))


def is_same(listed: str, wanted: str) -> bool:
    """Whether Ollama takes one name for the other: case, the tag `latest` and `library/` do not matter."""
    one, other = (name.lower().removeprefix("library/").removesuffix(":latest") for name in (listed, wanted))
    return one == other


def _nothing_answers(url: str, error: BaseException) -> anthropic.APIConnectionError:
    """The error to raise for a failed look: in one sentence, a certificate's fault by its name."""
    import ssl

    url, kind, cause = url.rstrip("/"), type(error.__cause__ or error).__name__, error
    while cause and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    proxies = ", ".join(name for name in os.environ if name.lower() in PROXIES) or "HTTPS_PROXY"
    what_to_do = f"check the address, the network and, behind a proxy, {proxies}."
    if is_loopback(urlsplit(url).hostname or ""):
        what_to_do = "is the server running?"
    words = f"Nothing answers at {url} ({kind}): {what_to_do}"
    if cause:
        words = (
            f"The certificate of {url} could not be verified ({cause.verify_message}): behind a company's "
            "proxy, SSL_CERT_FILE has to name the file that holds its certificate."
        )
    return anthropic.APIConnectionError(message=words, request=httpx2.Request("GET", url))


def advice(model: str) -> str:
    """How to choose `model` for all lessons, or for one call."""
    return f"Start again with COURSE_MODEL={model}, or pass model={model!r} in each call."
