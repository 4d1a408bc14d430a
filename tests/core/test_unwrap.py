"""What a meta-tool's arguments say is called: read as a call of its own would be, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.call import Call, Unwrap
from policylayer.core.unwrap import DEEPEST, MOST, Layer, field_of, path_of, rewrapped, unwrapped

ONE = Unwrap("call_tool", ("args", "tool_name"), ("args", "arguments"))
TEXT = Unwrap("call_text", ("args", "name"), ("args", "params"), as_json=True)
BATCH = Unwrap("batch", ("item", "tool"), ("item", "with", "arguments"), ("args", "calls"))
MAP = Unwrap("map", ("args", "tool"), ("item",), ("args", "inputs"))
FLAT = Unwrap("flat", ("args", "tool"), ("args",))
METAS = (ONE, TEXT, BATCH, MAP, FLAT)


def call(tool: str, arguments: Any, **more: Any) -> Call:
    return Call("hub", "tools/call", tool, arguments, b"d", b"d", "2025-11-25", **more)


def opened(called: str, /, **arguments: Any) -> Layer:
    layer = unwrapped(call(called, arguments), METAS)
    assert layer is not None
    return layer


def calls(layer: Layer) -> list[tuple[str | None, Any]]:
    """The calls inside, each with its arguments."""
    assert all(each.fault is None for each in layer.all())
    return [(each.call.target, dict(each.call.arguments)) for each in layer.all()][1:]


def faults(layer: Layer) -> tuple[set[str], set[str], list[str]]:
    """Fields missing, fields wrong, and what there is too much of, over all layers."""
    found = [each.fault for each in layer.all() if each.fault is not None]
    assert found, "it could be read"
    missing = {field for fault in found for field in fault.missing}
    wrong = {field for fault in found for field in fault.wrong}
    return missing, wrong, [fault.too_much for fault in found if fault.too_much]


# --- what is inside ---------------------------------------------------------------------------------------------------


def test_another_tool_and_another_method_hold_no_calls() -> None:
    assert unwrapped(call("other", {"tool_name": "x"}), METAS) is None
    assert unwrapped(Call("hub", "prompts/get", "call_tool", {"tool_name": "x"}, b"", b"", ""), METAS) is None
    assert unwrapped(call("call_tool", {"tool_name": "x"}), ()) is None


@pytest.mark.parametrize("arguments", [{}, {"arguments": None}, {"arguments": {}}])
def test_absent_null_and_empty_arguments_are_the_same(arguments: Any) -> None:
    assert calls(opened("call_tool", tool_name="x", **arguments)) == [("x", {})]


def test_an_inner_call_is_one_of_the_same_server_and_round() -> None:
    layer = unwrapped(call("call_tool", {"tool_name": "x", "arguments": {"a": 1}}, input={"q": {"a": 2}}), METAS)
    assert layer is not None
    (inner,) = layer.inside
    assert (inner.call.server, inner.call.method, inner.call.target) == ("hub", "tools/call", "x")
    assert (inner.call.input, inner.call.protocol, inner.call.digest) == ({"q": {"a": 2}}, "2025-11-25", b"")
    assert (inner.at, inner.keys, inner.plain) == (("args", "arguments"), {"tool_name"}, True)


def test_arguments_as_json_are_read_from_their_text() -> None:
    layer = opened("call_text", name="x", params=' {"a": [1, 2.5]} ')
    assert calls(layer) == [("x", {"a": [1, 2.5]})]
    assert not layer.inside[0].plain
    assert calls(opened("call_text", name="x")) == [("x", {})]


def test_each_element_of_a_list_is_a_call() -> None:
    layer = opened("batch", calls=[{"tool": "a", "with": {"arguments": {"n": 1}}}, {"tool": "b"}])
    assert calls(layer) == [("a", {"n": 1}), ("b", {})]
    assert [each.at for each in layer.inside] == [("args", "calls", n, "with", "arguments") for n in (0, 1)]
    assert {each.keys for each in layer.inside} == {frozenset({"calls"})}
    assert calls(opened("map", tool="a", inputs=[{"n": 1}, {"n": 2}])) == [("a", {"n": 1}), ("a", {"n": 2})]


def test_calls_within_calls_are_found_to_a_depth() -> None:
    arguments: dict[str, Any] = {"tool_name": "x", "arguments": {"n": 1}}
    for depth in range(1, DEEPEST + 3):
        layer = opened("call_tool", **arguments)
        if depth <= DEEPEST:
            assert [target for target, _ in calls(layer)] == ["call_tool"] * (depth - 1) + ["x"]
        else:
            assert faults(layer) == (set(), set(), ["calls within calls"])
        arguments = {"tool_name": "call_tool", "arguments": arguments}


def test_what_holds_itself_comes_to_an_end() -> None:
    assert faults(opened("flat", tool="flat"))[2] == ["calls within calls"]


def test_through_texts_and_lists() -> None:
    inner = {"tool": "call_text", "with": {"arguments": {"name": "x", "params": '{"tool_name": "no meta"}'}}}
    layer = opened("call_text", name="batch", params=json.dumps({"calls": [inner]}))
    assert calls(layer)[-1] == ("x", {"tool_name": "no meta"})
    innermost = list(layer.all())[-1]
    assert field_of(innermost.at) == "args.params.calls[].with.arguments.params"
    assert path_of(innermost.at) == "args.params.calls.0.with.arguments.params"
    assert innermost.keys == {"name", "params"}


def test_there_are_no_more_calls_in_one_than_may_be() -> None:
    many = [{"tool": "a"}] * MOST
    assert len(calls(opened("batch", calls=many))) == MOST
    assert faults(opened("batch", calls=[*many, {"tool": "a"}]))[2] == ["calls in one"]
    nested = [{"tool": "batch", "with": {"arguments": {"calls": many[:20]}}} for _ in range(20)]
    layer = opened("batch", calls=nested)
    assert faults(layer)[2][0] == "calls in one"
    assert len(list(layer.all())) <= MOST + 1


# --- what cannot be read ----------------------------------------------------------------------------------------------

BAD_NAMES = ["", " x", "x ", "a\nb", "a\x00", "a\u200b", "a\u3164", "x" * 129, "\u202ex", 5, True, ["x"], {"n": "x"}]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_would_be_refused_in_a_message_is_none(name: Any) -> None:
    assert faults(opened("call_tool", tool_name=name, arguments={})) == (set(), {"args.tool_name"}, [])


@pytest.mark.parametrize("arguments", [{}, {"tool_name": None}, {"name": "x"}])
def test_without_a_name_it_is_not_known_what_is_called(arguments: Any) -> None:
    assert faults(opened("call_tool", **arguments)) == ({"args.tool_name"}, set(), [])


@pytest.mark.parametrize("arguments", [[], "x", '{"a": 1}', 5, True])
def test_arguments_that_are_no_object_are_none(arguments: Any) -> None:
    assert faults(opened("call_tool", tool_name="x", arguments=arguments)) == (set(), {"args.arguments"}, [])


BAD_TEXTS = [
    {"a": 1},
    5,
    "",
    "null",
    "[]",
    '"x"',
    "{",
    "{'a': 1}",
    '{"a": 1, "a": 2}',
    '{"a": 1, "\\u0061": 2}',
    '{"a": NaN}',
    '{"a": 100.00000000000000001}',
    '{"a": 99999999999999999999}',
    '{"a": "\\ud800"}',
    '\ufeff{"a": 1}',
    '{"a": 1} {}',
    '{"a": ' + "[" * 63 + "]" * 63 + "}",
    '{"a": "\ud800"}',
]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_text_that_a_message_could_not_hold_is_none(text: Any) -> None:
    assert faults(opened("call_text", name="x", params=text)) == (set(), {"args.params"}, [])


def test_a_text_may_nest_as_deep_as_arguments_of_a_message() -> None:
    deep = '{"a": ' + "[" * 61 + "]" * 61 + "}"
    assert calls(opened("call_text", name="x", params=deep))[0][0] == "x"


@pytest.mark.parametrize(
    "sibling", ["Tool_Name", "TOOL_NAME", "tool_name ", "tool\u200b_name", "\uff54ool_name", "tool_name\x00z"]
)
def test_a_member_that_another_reader_takes_for_the_name_spoils_it(sibling: str) -> None:
    layer = opened("call_tool", **{"tool_name": "safe", sibling: "danger"})
    assert faults(layer) == (set(), {"args.tool_name"}, [])


def test_the_same_of_arguments_lists_and_what_leads_to_them() -> None:
    assert faults(opened("call_tool", tool_name="x", arguments={}, Arguments={}))[1] == {"args.arguments"}
    assert faults(opened("batch", calls=[{"tool": "a"}], Calls=[]))[1] == {"args.calls"}
    one = {"tool": "a", "with": {"arguments": {}}, "With": {}}
    assert faults(opened("batch", calls=[one]))[1] == {"args.calls[].with.arguments"}
    assert calls(opened("call_tool", tool_name="x", arguments={"A": 1, "a": 2})) == [("x", {"A": 1, "a": 2})]


@pytest.mark.parametrize(("value", "missing"), [(None, True), ([], True), ({}, False), ("x", False), (5, False)])
def test_a_list_that_is_none_holds_no_calls(value: Any, missing: bool) -> None:
    expected = ({"args.calls"}, set(), []) if missing else (set(), {"args.calls"}, [])
    assert faults(opened("batch", calls=value)) == expected


def test_every_fault_is_told_and_hides_what_was_not_read() -> None:
    layer = opened("batch", calls=[{"tool": "a"}, {"tool": 5, "with": 5}, {}, "x"])
    assert faults(layer) == (
        {"args.calls[].tool"},
        {"args.calls[].tool", "args.calls[].with.arguments"},
        [],
    )
    assert layer.fault is not None
    hidden = {path_of(place) for place in layer.fault.hidden}
    assert hidden == {"args.calls.1", "args.calls.2", "args.calls.3"}
    assert [each.call.target for each in layer.inside] == ["a"]


def test_odd_keys_are_quoted() -> None:
    meta = Unwrap("m", ("args", "a b"), ("args", "c.d"))
    layer = unwrapped(call("m", {"a b": "x", "c.d": 5}), (meta,))
    assert layer is not None
    assert faults(layer)[1] == {'args."c.d"'}


# --- all of them ------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["call_tool", "batch", "x"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["tool_name", "arguments", "calls", "tool", "with", "name", "params"]), below)
    ),
    max_leaves=12,
)


@given(st.sampled_from([meta.tool for meta in METAS]), st.dictionaries(st.text(max_size=9), VALUES), VALUES)
def test_whatever_it_is_it_is_read_or_a_fault(tool: str, arguments: dict[str, Any], more: Any) -> None:
    arguments |= more if isinstance(more, dict) else {}
    layer = unwrapped(call(tool, arguments), METAS)
    assert layer is not None
    layers = list(layer.all())
    assert len(layers) <= MOST + 1
    for each in layers:
        # Of a meta-tool's call something is inside, or it is a fault; of any other nothing is.
        assert (each.meta is not None) == bool(each.inside or each.fault is not None)
        assert (each.meta is None) or each.meta.tool == each.call.target


@st.composite
def nested(draw: st.DrawFn, left: int = DEEPEST) -> tuple[str, dict[str, Any]]:
    """A call that can be read."""
    kind = draw(st.sampled_from(["x", "call_tool", "call_text", "batch"])) if left else "x"
    if kind == "x":
        return "x", draw(st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9), max_size=2))
    if kind == "batch":
        inside = [draw(nested(left - 1)) for _ in range(draw(st.integers(1, 2)))]
        return kind, {"calls": [{"tool": tool, "with": {"arguments": given}} for tool, given in inside]}
    tool, given_ = draw(nested(left - 1))
    if kind == "call_tool":
        return kind, {"tool_name": tool, "arguments": given_}
    return kind, {"name": tool, "params": json.dumps(given_)}


@given(nested(), st.data())
def test_other_arguments_can_be_put_back_where_they_were(made: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    layer = unwrapped(call(*made), METAS)
    if layer is None:
        return
    layers = list(layer.all())
    chosen = data.draw(st.integers(0, len(layers) - 1))
    if layers[chosen].meta is not None:
        return
    again = unwrapped(call(made[0], rewrapped(layer, layers[chosen], {"new": [1]})), METAS)
    assert again is not None
    for number, (before, after) in enumerate(zip(layers, again.all(), strict=True)):
        assert before.call.target == after.call.target
        if before.meta is None:
            assert after.call.arguments == ({"new": [1]} if number == chosen else before.call.arguments)
