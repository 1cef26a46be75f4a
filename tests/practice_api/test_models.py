"""The models: their list, and the rules in which they differ."""

from __future__ import annotations

import anthropic
import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS

from course_helpers.models import MODELS
from tests.practice_api.wire import (
    ALL_4,
    ALL_5,
    HAIKU,
    HAIKU_4,
    NEW,
    OLD,
    OPUS,
    OPUS_4,
    SONNET,
    assistant,
    error_message,
    text,
    user,
)

HARD = user("Explain step by step why the sky is blue.")
ADAPTIVE, DISABLED = {"type": "adaptive"}, {"type": "disabled"}
MANUAL, BETWEEN_TOOLS = {"type": "enabled", "budget_tokens": 1024}, {"type": "between_tools"}
ROOM = 2_000
SERVED = [model for model in MODELS.values() if model.lifecycle != "retired" and not model.limited]


# The list


def test_models_are_listed_newest_first_without_the_retired(wire):
    """One page object with the fields that the SDK's types name."""
    page = wire.get("/v1/models").json()
    assert [item["display_name"] for item in page["data"]] == [model.name for model in SERVED]
    assert page["has_more"] is False
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    assert page["data"][0].keys() == anthropic.types.ModelInfo.model_fields.keys()
    assert page["data"][0]["type"] == "model"
    assert page["data"][0]["created_at"] == f"{SERVED[0].released}T00:00:00Z"


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
def test_the_sdk_pages_through_all_models(client, limit):
    """Each model once, whatever the size of the page; a 4.5 model under its dated id."""
    found = [model.id for model in client.models.list(limit=limit)]
    assert found == [model.snapshot or model.id for model in SERVED]


def test_before_id_gives_the_page_just_before(wire):
    """The models right before the one named, not the first ones of all."""
    ids = [item["id"] for item in wire.get("/v1/models").json()["data"]]
    page = wire.get("/v1/models", before_id=ids[4], limit=2).json()
    assert [item["id"] for item in page["data"]] == ids[2:4]
    assert page["has_more"] is True
    assert wire.get("/v1/models", before_id=ids[2], limit=2).json()["has_more"] is False


def test_retired_models_are_listed_on_request(client):
    """`lifecycle` chooses; a deprecated model names its dates."""
    retired = list(client.models.list(lifecycle=["retired"]))
    assert {model.id for model in retired} == {
        m.snapshot or m.id for m in MODELS.values() if m.lifecycle == "retired"
    }
    deprecated = list(client.models.list(lifecycle=["deprecated"]))
    assert {model.id: model.retires_at.date() for model in deprecated} == {
        model.snapshot or model.id: model.retires for model in SERVED if model.lifecycle == "deprecated"
    }


@pytest.mark.parametrize("query", [{"limit": n} for n in ("0", "1001", "-1", "x", "", "1.5", "²")])
def test_a_limit_is_from_1_to_1000(wire, query):
    """Anything else is a 400."""
    assert "limit" in error_message(wire.get("/v1/models", **query))


@pytest.mark.parametrize("query", [{"after_id": "nothing"}, {"before_id": ""}, {"lifecycle": "old"}])
def test_what_the_list_cannot_answer_is_refused(wire, query):
    """An unknown cursor or lifecycle is no page."""
    assert next(iter(query)) in error_message(wire.get("/v1/models", **query))


@pytest.mark.parametrize("name", [*ALL_4, *ALL_5, f"{HAIKU_4}-20251001"])
def test_a_model_is_found_by_id_and_by_dated_id(client, name):
    """What it takes and gives is in the answer."""
    model = client.models.retrieve(name)
    assert (model.max_input_tokens, model.max_tokens) == (
        (200_000, 64_000) if name.startswith(ALL_4) else (1_000_000, 128_000)
    )
    assert model.line == name.split("-")[1]


@pytest.mark.parametrize("name", ["claude-2", "haiku", "CLAUDE-HAIKU-5-5", "claude-haiku-5-5-20261007"])
def test_an_unknown_model_is_a_404_that_names_it(wire, name):
    """The same words whether one asks about the model or for a message."""
    assert error_message(wire.get(f"/v1/models/{name}"), 404) == f"model: {name}"
    assert wire.refused(404, model=name) == f"model: {name}"
    assert error_message(wire.count(model=name), 404) == f"model: {name}"


def test_a_retired_model_is_a_404_like_an_unknown_one(wire):
    """Nothing in the answer tells them apart."""
    assert wire.refused(404, model="claude-3-haiku-20240307") == "model: claude-3-haiku-20240307"


def test_the_deprecated_model_still_answers_and_the_sdk_warns(client):
    """Until its last day."""
    for model in (
        model for model in SERVED if model.lifecycle == "deprecated" and model.id in DEPRECATED_MODELS
    ):
        with pytest.warns(DeprecationWarning, match=model.id):
            assert client.messages.create(model=model.id, max_tokens=50, messages=[user()]).content


# Thinking


@pytest.mark.parametrize("model", ALL_4)
def test_4_5_models_do_not_think_unasked(wire, model):
    """Text only; asked to, they think first and show it."""
    assert [block["type"] for block in wire.ok(model=model, messages=[HARD])["content"]] == ["text"]
    asked = wire.ok(model=model, messages=[HARD], thinking=MANUAL, max_tokens=ROOM)
    assert [block["type"] for block in asked["content"]] == ["thinking", "text"]
    assert asked["content"][0]["thinking"]


@pytest.mark.parametrize("model", ALL_5)
def test_5_5_models_think_about_hard_questions_and_omit_the_text(wire, model):
    """An empty thinking block with a signature, then the text; the tokens are billed as output."""
    reply = wire.ok(model=model, messages=[HARD])
    thought, said = reply["content"]
    assert (thought["type"], thought["thinking"], said["type"]) == ("thinking", "", "text")
    assert len(thought["signature"]) > 40
    usage = reply["usage"]
    assert 0 < usage["output_tokens_details"]["thinking_tokens"] < usage["output_tokens"]


def test_display_shows_the_thinking_and_changes_no_bill(wire):
    """`display: summarized` fills the block; the usage stays."""
    hidden = wire.ok(messages=[HARD])
    shown = wire.ok(messages=[HARD], thinking=ADAPTIVE | {"display": "summarized"})
    assert shown["content"][0]["thinking"]
    assert shown["usage"]["output_tokens"] == hidden["usage"]["output_tokens"]


def test_an_easy_question_gets_no_thought_except_from_opus(wire):
    """Adaptive models skip it; Opus 5.5 cannot."""
    first = {model: wire.ok(model=model)["content"][0]["type"] for model in ALL_5}
    assert first == {HAIKU: "text", SONNET: "text", OPUS: "thinking"}


@pytest.mark.parametrize(
    ("model", "accepted"),
    [
        *((model, [MANUAL, DISABLED]) for model in ALL_4),
        (HAIKU, [ADAPTIVE, DISABLED]),
        (SONNET, [ADAPTIVE, BETWEEN_TOOLS]),
        (OPUS, [ADAPTIVE]),
    ],
)
def test_each_model_takes_its_own_forms_of_thinking(wire, model, accepted):
    """All others are a 400 that names the form."""
    for form in (MANUAL, ADAPTIVE, DISABLED, BETWEEN_TOOLS):
        if form in accepted:
            wire.ok(model=model, thinking=form, max_tokens=ROOM)
        else:
            assert form["type"] in wire.refused(model=model, thinking=form, max_tokens=ROOM)


@pytest.mark.parametrize(("model", "off"), [(HAIKU, DISABLED), (SONNET, BETWEEN_TOOLS), (HAIKU_4, DISABLED)])
def test_thinking_that_is_off_costs_nothing(wire, model, off):
    """No block and no thinking tokens, also for a hard question."""
    reply = wire.ok(model=model, messages=[HARD], thinking=off)
    assert [block["type"] for block in reply["content"]] == ["text"]
    assert reply["usage"]["output_tokens_details"]["thinking_tokens"] == 0


@pytest.mark.parametrize(
    ("effort", "refused"), [("medium", False), ("high", False), ("xhigh", True), ("max", True)]
)
def test_haiku_5_5_cannot_stop_thinking_at_the_highest_efforts(wire, effort, refused):
    """`disabled` goes with the efforts up to high."""
    answer = wire.post(thinking=DISABLED, output_config={"effort": effort})
    assert (answer.status_code == 400) == refused


def test_effort_moves_the_thinking_tokens(wire):
    """Low effort thinks less than high effort; the defaults are those of the models."""

    def thought(model, **fields):
        usage = wire.ok(model=model, messages=[HARD], max_tokens=ROOM, **fields)["usage"]
        return usage["output_tokens_details"]["thinking_tokens"]

    for model, default in ((HAIKU, "medium"), (SONNET, "high"), (OPUS, "medium")):
        by_effort = [thought(model, output_config={"effort": e}) for e in ("low", "medium", "high", "max")]
        assert by_effort == sorted(set(by_effort))
        assert thought(model) == thought(model, output_config={"effort": default})


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"type": "enabled"}, "thinking.enabled.budget_tokens: Field required"),
        ({"type": "enabled", "budget_tokens": 1023}, "greater than or equal to 1024"),
        ({"type": "enabled", "budget_tokens": "1024"}, "thinking.enabled.budget_tokens"),
        ({"type": "disabled", "budget_tokens": 2000}, "thinking.disabled.budget_tokens: Extra inputs"),
        ({"type": "sometimes"}, "thinking"),
        ({}, "thinking"),
    ],
)
def test_malformed_thinking_is_refused(wire, form, words):
    """The message names the field."""
    assert words in wire.refused(model=HAIKU_4, thinking=form, max_tokens=ROOM)


def test_the_thinking_budget_is_below_max_tokens(wire):
    """A budget as large as `max_tokens` leaves no room for text."""
    assert "budget_tokens" in wire.refused(model=HAIKU_4, thinking=MANUAL, max_tokens=1024)
    wire.ok(model=HAIKU_4, thinking=MANUAL, max_tokens=1025)


@pytest.mark.parametrize("model", ALL_5)
def test_a_tight_max_tokens_leaves_only_thinking(wire, model):
    """Thinking counts against `max_tokens`: stopped there, no text, everything billed."""
    reply = wire.ok(model=model, messages=[HARD], max_tokens=5)
    assert [block["type"] for block in reply["content"]] == ["thinking"]
    assert reply["stop_reason"] == "max_tokens"
    assert reply["usage"]["output_tokens"] == 5
    assert reply["usage"]["output_tokens_details"]["thinking_tokens"] == 5


# Prefill, sampling, tools, system turns


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
def test_prefill_is_for_4_5_models(wire, model):
    """They go on from where the assistant's words end; the others refuse."""
    messages = [user(), assistant("The capital")]
    if model in ALL_5:
        assert "prefill" in wire.refused(model=model, messages=messages)
    else:
        [block] = wire.ok(model=model, messages=messages)["content"]
        assert block["text"] == " of France is Paris."


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
@pytest.mark.parametrize("field", [{"temperature": 0.5}, {"top_p": 0.5}, {"top_k": 5}, {"temperature": 0}])
def test_sampling_parameters_by_model_and_version(wire, model, field):
    """4.5 models take them under the old version; under the new one nobody does."""
    [name] = field
    assert name in wire.refused(model=model, version=NEW, **field)
    if model in ALL_4:
        wire.ok(model=model, version=OLD, **field)
    else:
        assert "deprecated for this model" in wire.refused(model=model, version=OLD, **field)


@pytest.mark.parametrize("field", [{"temperature": 1}, {"temperature": 1.0}, {"top_p": 1.0}])
def test_default_sampling_values(wire, field):
    """Default values pass under the old version, and only there."""
    wire.ok(model=HAIKU, version=OLD, **field)
    for model in (HAIKU, HAIKU_4):
        assert next(iter(field)) in wire.refused(model=model, version=NEW, **field)


def test_one_of_temperature_and_top_p(wire):
    """Both together are refused by the 4.5 models."""
    assert "only one" in wire.refused(model=HAIKU_4, version=OLD, temperature=0.5, top_p=0.5)


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": 1.1},
        {"temperature": -1},
        {"temperature": "1"},
        {"temperature": True},
        {"top_p": 2},
        {"top_k": -1},
        {"top_k": 1.5},
    ],
)
def test_sampling_values_out_of_range(wire, field):
    """A 400 that names the field."""
    assert next(iter(field)) in wire.refused(model=HAIKU_4, version=OLD, **field)


TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_forced_tool_use_is_refused_by_opus_and_sonnet_5_5(wire, model, choice):
    """The others obey."""
    if model in (OPUS, SONNET):
        assert "tool_choice" in wire.refused(model=model, tools=[TOOL], tool_choice=choice)
    else:
        reply = wire.ok(model=model, tools=[TOOL], tool_choice=choice)
        assert reply["stop_reason"] == "tool_use"
        assert reply["content"][-1]["name"] == "get_weather"


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
def test_system_turns_are_for_5_5_models(wire, model):
    """A matter of the model, not of the API version."""
    messages = [user(), {"role": "system", "content": "Answer in French."}]
    for version in (OLD, NEW):
        if model in ALL_4:
            assert "system" in wire.refused(model=model, version=version, messages=messages)
        else:
            wire.ok(model=model, version=version, messages=messages)


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("roles", "fine"),
    [
        ("us", True),
        ("usau", True),
        ("uaus", True),
        ("s", False),
        ("su", False),
        ("uss", False),
        ("usu", False),
        ("uasu", False),
        ("uas", False),
    ],
)
def test_where_a_system_turn_may_stand(wire, roles, fine):
    """Right after a user turn, and last or before an assistant turn; never first."""
    messages = [{"u": user(), "s": SYSTEM, "a": assistant("Yes.")}[role] for role in roles]
    assert (wire.post(messages=messages).status_code == 200) == fine


def test_the_model_obeys_a_system_turn_like_a_system_prompt(wire):
    """What it says about the user is known."""
    told = {"role": "system", "content": "The user's name is Ada."}
    [block] = wire.ok(messages=[user("What is my name?"), told])["content"]
    assert block["text"] == "Your name is Ada."


# Limits of size


@pytest.mark.parametrize(("model", "most"), [(m, 64_000) for m in ALL_4] + [(m, 128_000) for m in ALL_5])
def test_the_output_ceiling(wire, model, most):
    """`max_tokens` up to the model's own maximum."""
    wire.ok(model=model, max_tokens=most)
    said = wire.refused(model=model, max_tokens=most + 1)
    assert said.startswith(f"max_tokens: {most + 1} > {most}")
    assert model in said


@pytest.mark.parametrize(("model", "window"), [(HAIKU_4, 200_000), (HAIKU, 1_000_000)])
def test_a_prompt_longer_than_the_context_window_is_refused(wire, model, window):
    """Also on the models that let a reply run into the window's end."""
    long = "word " * window
    said = wire.refused(model=model, messages=[user(long)])
    assert said.startswith("prompt is too long: ")
    assert said.endswith(f" tokens > {window} maximum")
    assert wire.count(model=model, messages=[user(long)]).json()["input_tokens"] > window


def test_a_reply_that_runs_into_the_end_of_the_window(wire):
    """A prompt that fits, but leaves less room than the reply needs: accepted, and stopped there."""
    low, high = 0, 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        tokens = wire.count(model=HAIKU_4, messages=[user(f"{'a ' * middle} capital of France")]).json()
        low, high = (middle, high) if tokens["input_tokens"] <= 199_997 else (low, middle)
    reply = wire.ok(model=HAIKU_4, max_tokens=1_000, messages=[user(f"{'a ' * low} capital of France")])
    assert reply["stop_reason"] == "model_context_window_exceeded"
    assert reply["usage"]["input_tokens"] + reply["usage"]["output_tokens"] == 200_000


def test_the_newer_tokenizer_counts_about_30_percent_more(wire):
    """The same text, recounted."""
    prose = user("It was a bright cold day in April, and the clocks were striking thirteen. " * 40)
    old, new = (wire.count(model=m, messages=[prose]).json()["input_tokens"] for m in (OPUS_4, OPUS))
    assert new / old == pytest.approx(1.3, abs=0.03)


def test_haiku_5_5_system_text_block_and_user_blocks(wire):
    """Content as blocks says the same as content as a string."""
    plain = wire.ok(system="Be brief.", messages=[user("Hello!")])
    blocks = wire.ok(system=[text("Be brief.")], messages=[user([text("Hello!")])])
    assert (plain["content"], plain["usage"]) == (blocks["content"], blocks["usage"])
