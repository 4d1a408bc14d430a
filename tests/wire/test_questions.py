"""What servers ask is judged as every client reads it: no member is almost another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policylayer.wire.questions import disguised, folded, folded_entry

SAMPLING: dict[str, Any] = {
    "messages": [
        {
            "role": "user",
            "content": {"type": "text", "text": "hi", "annotations": {"audience": ["user"], "priority": 1}},
        },
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {"Name": 1, "name": 2}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "toolUseId": "1", "content": [], "structuredContent": {"URL": 1}}],
        },
    ],
    "maxTokens": 10,
    "systemPrompt": "x",
    "modelPreferences": {"hints": [{"name": "m"}], "costPriority": 1},
    "metadata": {"MaxTokens": 1, "maxtokens": 2},
    "tools": [{"name": "t", "inputSchema": {"type": "object", "properties": {"Name": {"type": "string"}, "name": {}}}}],
    "toolChoice": {"mode": "auto"},
    "_meta": {"Mode": 1, "x/y": {"Text": 1}},
}
FORM: dict[str, Any] = {
    "mode": "form",
    "message": "who?",
    "requestedSchema": {
        "type": "object",
        "properties": {
            "Type": {"type": "string", "format": "email", "default": "x"},
            "type": {"enum": ["Mode", "mode"]},
        },
        "required": ["Type"],
    },
}


@pytest.mark.parametrize("params", [SAMPLING, FORM, {}, {"mode": "url", "url": "https://x", "elicitationId": "1"}])
def test_what_servers_ask_in_good_form(params: dict[str, Any]) -> None:
    assert not disguised(params)


PLACES: list[tuple[str | int, ...]] = [
    (),
    ("messages", 0),
    ("messages", 0, "content"),
    ("messages", 0, "content", "annotations"),
    ("messages", 1, "content", 0),
    ("modelPreferences",),
    ("modelPreferences", "hints", 0),
    ("tools", 0),
    ("tools", 0, "inputSchema"),
    ("tools", 0, "inputSchema", "properties", "Name"),
]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "name",
    ["MaxTokens", "Messages", "URL", "\uff4dode", "Text", " type", "role\u200b"],
)
def test_a_member_that_some_reader_takes_for_another(place: tuple[str | int, ...], name: str) -> None:
    def with_it(value: Any, steps: tuple[str | int, ...]) -> Any:
        if not steps:
            return {**value, name: 1}
        if isinstance(value, list):
            return [with_it(each, steps[1:]) if at == steps[0] else each for at, each in enumerate(value)]
        return {key: with_it(each, steps[1:]) if key == steps[0] else each for key, each in value.items()}

    assert disguised(with_it(SAMPLING, place))


NAMES = st.sampled_from(["mode", "Mode", "url", "URL", "text", "TEXT", "x", "X", "other", "properties", "_meta"])
values = st.recursive(
    st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
PROTOCOLS = ("mode", "url", "text")


def carelessly(value: Any) -> Any:
    """As a reader has it that goes by names in any case, and knows three."""
    if isinstance(value, list):
        return [carelessly(each) for each in value]
    if not isinstance(value, dict):
        return value
    read = {}
    for name, inner in value.items():
        if name == "_meta":
            continue
        if name == "properties" and isinstance(inner, dict):
            read[name] = {key: carelessly(each) for key, each in inner.items()}
        else:
            read[name.lower() if name.lower() in PROTOCOLS else name] = carelessly(inner)
    return read


def exactly(value: Any) -> Any:
    """As the specification has it."""
    if isinstance(value, list):
        return [exactly(each) for each in value]
    if not isinstance(value, dict):
        return value
    read = {}
    for name, inner in value.items():
        if name == "properties" and isinstance(inner, dict):
            # Of which any may be called `_meta`.
            read[name] = {key: exactly(each) for key, each in inner.items()}
        elif name != "_meta":
            read[name] = exactly(inner)
    return read


@pytest.mark.shows("proxy.5")
@given(st.dictionaries(NAMES, values, max_size=5))
@example({"properties": {"mode": 0, "_meta": 0}})
def test_what_is_not_disguised_reads_the_same_to_all(params: dict[str, Any]) -> None:
    if not disguised(params):
        assert carelessly(params) == exactly(params)


def test_two_names_of_the_servers_own_are_not_alike_either() -> None:
    assert not folded({"theirs": 1, "mode": 2})
    assert folded({"theirs": 1, "Theirs": 2})
    assert not folded({})


def test_entries() -> None:
    assert not folded_entry(["method", "params", "theirs"])
    for name in ("Method", "METHOD", "param\u017f", "params ", "\uff4dethod"):
        assert folded_entry(["method", "params", name])
