"""Headers that repeat the body: routing fields, and arguments that a schema marks, agree or are refused."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from mcp.shared import inbound as sdk

from policylayer.wire.fields import Headers, encode_value
from policylayer.wire.message import Message
from policylayer.wire.methods import MODERN
from policylayer.wire.mirrors import Mirror, check_params, check_routing, mirrors, param_fields
from tests.wire.samples import META, NOVEMBER, accepted, body, fields, handshake, modern, refused

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tenant": {"type": "string", "x-mcp-header": "Tenant"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "dry": {"type": "boolean", "x-mcp-header": "Dry-Run"},
        "where": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
        "query": {"type": "string"},
    },
}


def call(arguments: dict[str, Any]) -> Message:
    return accepted(modern("tools/call", {"name": "q", "arguments": arguments}))


def refusal(arguments: dict[str, Any], *pairs: tuple[str, str], schema: object = SCHEMA) -> str | None:
    rejection = check_params(call(arguments), Headers(pairs), schema)
    if rejection is None:
        return None
    assert (rejection.status, rejection.code, rejection.reason, rejection.id) == (400, -32020, "header_mismatch", 1)
    return rejection.message


# --- method and name --------------------------------------------------------------------------------------------------


def send(method: str, params: dict[str, Any], *pairs: tuple[str, str], **members: Any) -> tuple[bytes, Headers]:
    headers = Headers([("MCP-Protocol-Version", MODERN), *pairs])
    return orjson.dumps(body(method, {"_meta": META, **params}, **members)), headers


METHOD = ("Mcp-Method", "tools/call")


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "pairs",
    [
        [METHOD, ("Mcp-Name", "safe")],
        [METHOD],
        [METHOD, ("Mcp-Name", "")],
        [METHOD, ("Mcp-Name", "Danger")],
        [METHOD, ("Mcp-Name", "danger,danger")],
        [METHOD, ("Mcp-Name", "danger"), ("mcp-name", "danger")],
        [METHOD, ("Mcp-Name", "danger"), ("mcp-name", "safe")],
        [METHOD, ("Mcp-Name", encode_value("s\u00e4fe"))],
        [METHOD, ("Mcp-Name", "=?base64?c2FmZQ==?=")],
        [METHOD, ("Mcp-Name", "=?base64?ZGFuZ2Vy?")],
        [METHOD, ("Mcp-Name", "=?base64?ZGFuZ2Vy=?=")],
        [METHOD, ("Mcp-Name", "=?base64?!!?=")],
        [METHOD, ("Mcp-Name", "=?BASE64?ZGFuZ2Vy?=")],
        [METHOD, ("Mcp-Name", "\x00danger")],
    ],
)
def test_mcp_01_the_name_is_that_of_the_body(pairs: list[tuple[str, str]]) -> None:
    rejection = refused(send("tools/call", {"name": "danger"}, *pairs))
    assert (rejection.status, rejection.code, rejection.id) == (400, -32020, 1)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "pairs",
    [
        [("Mcp-Method", "tools/list")],
        [],
        [("Mcp-Method", "TOOLS/CALL")],
        [("Mcp-Method", "=?base64?dG9vbHMvY2FsbA==?=")],
        [METHOD, METHOD],
        [METHOD, ("Mcp-Method", "tools/list")],
        [("Mcp-Method", "tools/call, tools/list")],
    ],
)
def test_mcp_02_the_method_is_that_of_the_body(pairs: list[tuple[str, str]]) -> None:
    rejection = refused(send("tools/call", {"name": "x"}, *pairs, ("Mcp-Name", "x")))
    assert (rejection.status, rejection.code) == (400, -32020)


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "x"}, "  x  "),
        ("tools/call", {"name": "x"}, "=?base64?eA==?="),
        ("tools/call", {"name": "n\u00e4me"}, encode_value("n\u00e4me")),
        ("prompts/get", {"name": "p"}, "p"),
        ("resources/read", {"uri": "file:///a b"}, "file:///a b"),
        ("tasks/get", {"taskId": "t"}, "t"),
        ("tasks/update", {"taskId": "t", "inputResponses": {}}, "t"),
        ("tasks/cancel", {"taskId": "t"}, "t"),
    ],
)
def test_methods_that_have_a_name(method: str, params: dict[str, Any], name: str) -> None:
    assert accepted(send(method, params, ("MCP-METHOD", f"\t{method} "), ("mcp-name", name)))
    assert refused(send(method, params, ("Mcp-Method", method))).code == -32020
    assert refused(send(method, params, ("Mcp-Method", method), ("Mcp-Name", "other"))).code == -32020


def test_methods_that_have_none() -> None:
    # Whatever stands there is neither believed nor forwarded; only two of them are too many.
    assert accepted(send("tools/list", {}, ("Mcp-Method", "tools/list"), ("Mcp-Name", "x")))
    assert refused(send("tools/list", {}, ("Mcp-Method", "tools/list"), *[("Mcp-Name", "x")] * 2)).code == -32020
    assert refused(send("tools/list", {})).code == -32020
    assert refused(send("x/y", {}, ("Mcp-Method", "tools/list"))).code == -32020


def test_notifications_need_no_headers_but_may_not_lie() -> None:
    sent = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    assert accepted((sent, fields(MODERN)))
    assert accepted((sent, fields(MODERN, "notifications/cancelled")))
    assert refused((sent, fields(MODERN, "tools/call"))).code == -32020


def test_handshake_messages_have_no_such_headers() -> None:
    sent, _ = handshake("tools/call", {"name": "danger"})
    assert accepted((sent, fields(NOVEMBER, "tools/list", "safe")))
    assert check_routing(accepted((sent, fields(NOVEMBER))), fields(NOVEMBER, "x", "y")) is None


# --- schemas ----------------------------------------------------------------------------------------------------------


def test_annotated_arguments_are_found() -> None:
    assert set(mirrors(SCHEMA) or ()) == {
        Mirror(("tenant",), "Mcp-Param-Tenant", "string"),
        Mirror(("count",), "Mcp-Param-Count", "integer"),
        Mirror(("dry",), "Mcp-Param-Dry-Run", "boolean"),
        Mirror(("where", "region"), "Mcp-Param-Region", "string"),
    }


@pytest.mark.parametrize("schema", [None, True, [], "x", {}, {"properties": []}, {"properties": {"a": True}}])
def test_schemas_without_annotations(schema: object) -> None:
    assert mirrors(schema) == ()


def annotated(**property: Any) -> dict[str, Any]:
    return {"properties": {"a": {"type": "string", "x-mcp-header": "A", **property}}}


@pytest.mark.parametrize(
    "schema",
    [
        annotated(**{"x-mcp-header": ""}),
        annotated(**{"x-mcp-header": 5}),
        annotated(**{"x-mcp-header": None}),
        annotated(**{"x-mcp-header": "a b"}),
        annotated(**{"x-mcp-header": "a:b"}),
        annotated(**{"x-mcp-header": "a\r\nX: y"}),
        annotated(**{"x-mcp-header": "\u00e9"}),
        annotated(**{"x-mcp-header": "x" * 129}),
        annotated(type="number"),
        annotated(type="object"),
        annotated(type=["string"]),
        annotated(type=None),
        {"x-mcp-header": "Root", "type": "string"},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}},
        {"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}},
        {"properties": {"a": {"prefixItems": [annotated()]}}},
        {"anyOf": [annotated()]},
        {"allOf": [True, annotated()]},
        {"oneOf": [annotated()]},
        {"not": annotated()},
        {"if": annotated()},
        {"then": annotated()},
        {"else": annotated()},
        {"$defs": {"x": annotated()}},
        {"definitions": {"x": annotated()}},
        {"patternProperties": {".*": {"type": "string", "x-mcp-header": "A"}}},
        {"additionalProperties": {"type": "string", "x-mcp-header": "A"}},
        {"dependentSchemas": {"x": annotated()}},
        {"properties": {"a": {"items": [annotated()]}}},
    ],
)
def test_annotations_where_they_may_not_stand(schema: Any) -> None:
    assert mirrors(schema) is None


@pytest.mark.parametrize("key", ["const", "default", "enum", "examples", "$ref", "description"])
def test_data_is_no_schema(key: str) -> None:
    assert mirrors({key: annotated()}) == ()
    assert mirrors({"properties": {"a": {key: [annotated()]}}}) == ()


def test_a_deep_schema_is_walked_without_recursion() -> None:
    schema: dict[str, Any] = annotated()
    for _ in range(5000):
        schema = {"properties": {"a": schema}}
    (mirror,) = mirrors(schema) or ()
    assert len(mirror.path) == 5001


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    ("arguments", "pairs"),
    [
        ({"tenant": "b"}, [("Mcp-Param-Tenant", "a")]),
        ({}, [("Mcp-Param-Tenant", "a")]),
        ({"tenant": None}, [("Mcp-Param-Tenant", "null")]),
        ({"tenant": None}, [("Mcp-Param-Tenant", "")]),
        ({"tenant": "a"}, []),
        ({"tenant": "a"}, [("Mcp-Param-Tenant", "a"), ("mcp-param-tenant", "a")]),
        ({"tenant": "a"}, [("Mcp-Param-Tenant", "a"), ("MCP-PARAM-TENANT", "b")]),
        ({"tenant": "a"}, [("Mcp-Param-Tenant", "A")]),
        ({"tenant": "a"}, [("Mcp-Param-Tenant", "=?base64?YQ?=")]),
        ({"tenant": "\u00e4"}, [("Mcp-Param-Tenant", "\u00e4")]),
        ({"tenant": ["a"]}, [("Mcp-Param-Tenant", "a")]),
        ({"tenant": {"a": 1}}, [("Mcp-Param-Tenant", "a")]),
        ({"where": {"region": "eu"}}, []),
        ({"where": {"region": "eu"}}, [("Mcp-Param-Region", "us")]),
        ({"where": ["eu"]}, [("Mcp-Param-Region", "eu")]),
        ({"where": "eu"}, [("Mcp-Param-Region", "eu")]),
        ({"count": 42}, [("Mcp-Param-Count", "43")]),
        ({"count": 42}, [("Mcp-Param-Count", "42.5")]),
        ({"count": 42}, [("Mcp-Param-Count", "42.")]),
        ({"count": 42}, [("Mcp-Param-Count", "4.2e1")]),
        ({"count": 42}, [("Mcp-Param-Count", "+42")]),
        ({"count": 42}, [("Mcp-Param-Count", "\u0664\u0662")]),
        ({"count": 42}, [("Mcp-Param-Count", "=?base64?2aTZog==?=")]),
        ({"count": 42}, [("Mcp-Param-Count", "0" * 30 + "42")]),
        ({"count": 42}, [("Mcp-Param-Count", "042")]),
        ({"count": 42}, [("Mcp-Param-Count", "042.0")]),
        ({"count": 0}, [("Mcp-Param-Count", "-0")]),
        ({"count": "042"}, [("Mcp-Param-Count", "42")]),
        ({"count": 1}, [("Mcp-Param-Count", "true")]),
        ({"dry": True}, [("Mcp-Param-Dry-Run", "True")]),
        ({"dry": True}, [("Mcp-Param-Dry-Run", "1")]),
        ({"dry": False}, []),
    ],
)
def test_mcp_06_fields_that_disagree(arguments: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    assert refusal(arguments, *pairs) is not None


@pytest.mark.parametrize(
    ("arguments", "pairs"),
    [
        ({}, []),
        ({"tenant": None, "query": "x"}, []),
        ({"tenant": "a"}, [("mcp-param-tenant", " a ")]),
        ({"tenant": "\u00e4"}, [("Mcp-Param-Tenant", encode_value("\u00e4"))]),
        ({"tenant": "a"}, [("Mcp-Param-Tenant", "=?base64?YQ==?=")]),
        ({"tenant": "=?base64?YQ==?="}, [("Mcp-Param-Tenant", encode_value("=?base64?YQ==?="))]),
        ({"tenant": ""}, [("Mcp-Param-Tenant", "")]),
        ({"tenant": 5}, [("Mcp-Param-Tenant", "5")]),
        ({"tenant": 1.5}, [("Mcp-Param-Tenant", "1.5")]),
        ({"tenant": ["a"]}, []),
        ({"count": 42}, [("Mcp-Param-Count", "42")]),
        ({"count": 42}, [("Mcp-Param-Count", "42.0")]),
        ({"count": 42.0}, [("Mcp-Param-Count", "42")]),
        ({"count": -7}, [("Mcp-Param-Count", "-7.000")]),
        ({"count": 9007199254740993}, [("Mcp-Param-Count", "9007199254740993")]),
        ({"dry": False}, [("Mcp-Param-Dry-Run", "false")]),
        ({"where": {"region": "eu"}}, [("Mcp-Param-Region", "eu")]),
        ({"query": "x"}, [("Mcp-Param-Query", "y")]),
    ],
)
def test_fields_that_agree(arguments: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    assert refusal(arguments, *pairs) is None


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("schema", [None, {"anyOf": [annotated()]}, annotated(type="number")])
def test_mcp_06_without_a_schema_to_compare_by_no_such_field_passes(schema: Any) -> None:
    assert refusal({"a": "x"}, ("Mcp-Param-A", "x"), schema=schema) is not None
    assert refusal({"a": "x"}, ("Mcp-Param-Anything", "x"), schema=schema) is not None
    assert refusal({"a": "x"}, schema=schema) is None


def test_only_modern_tool_calls_have_such_fields() -> None:
    headers = Headers([("Mcp-Param-Tenant", "a")])
    for message in (
        accepted(handshake("tools/call", {"name": "x", "arguments": {"tenant": "b"}})),
        accepted(modern("prompts/get", {"name": "x", "arguments": {"tenant": "b"}})),
    ):
        assert check_params(message, headers, SCHEMA) is None


def test_what_is_written_is_what_is_accepted() -> None:
    source = random.Random(3)
    pools: dict[str, list[Any]] = {
        "tenant": [None, "a", " b", "\u4e16", "=?base64?x?=", "", 5, True, "a\nb"],
        "count": [None, 0, -1, 2**53 - 1, 42.0, 1.5],
        "dry": [None, True, False],
        "where": [None, {}, {"region": "eu"}, {"region": None}, "x"],
    }
    found = mirrors(SCHEMA)
    assert found is not None
    for _ in range(300):
        arguments = {name: source.choice(pool) for name, pool in pools.items() if source.random() < 0.8}
        written = param_fields(found, arguments)
        assert refusal(arguments, *written) is None
        # The reference accepts what is written here, and what it writes is accepted here.
        assert sdk.validate_mcp_param_headers(SCHEMA, arguments, dict(written)) is None
        theirs = sdk.mcp_param_headers(sdk.x_mcp_header_map(SCHEMA), arguments)
        assert refusal(arguments, *theirs.items()) is None
        if written:
            assert refusal(arguments, *written[1:]) is not None
