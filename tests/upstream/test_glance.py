"""The little that carrying a message over stdio needs to know of it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.upstream.glance import Glance, glance

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"id": 1, "method": "ping"}, Glance("request", 1, "ping")),
        ({"id": "1", "method": "x", "params": {"_meta": {"progressToken": 7}}}, Glance("request", "1", "x", token=7)),
        ({"method": "notifications/x"}, Glance("notification", None, "notifications/x")),
        (
            {"method": "notifications/progress", "params": {"progressToken": "t", "_meta": {"progressToken": 1}}},
            Glance("notification", None, "notifications/progress", token="t"),
        ),
        (
            {"method": "n", "params": {"_meta": {SUBSCRIPTION: 4}}},
            Glance("notification", None, "n", subscription=4),
        ),
        ({"id": 2, "result": {}}, Glance("response", 2)),
        ({"id": 2, "result": {"_meta": {SUBSCRIPTION: 2}}}, Glance("response", 2, subscription=2)),
        ({"id": 2, "error": {"code": -32601}}, Glance("response", 2, error_code=-32601)),
        ({"id": None, "error": {"code": -32700}}, Glance("response", None, error_code=-32700)),
        ({"id": 2, "error": {"code": "x"}}, Glance("response", 2)),
        ({"id": True, "method": "m"}, Glance("notification", None, "m")),
        ({"id": 1.5, "result": 1}, None),
        ({"result": {}}, None),
        ([{"id": 1, "method": "ping"}], None),
        ("text", None),
    ],
)
def test_what_a_message_is(message: object, expected: Glance | None) -> None:
    assert glance(orjson.dumps(message)) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(raw: bytes) -> None:
    glance(raw)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
members = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "method", "params", "result", "error", "_meta", "progressToken"), json)
)


@given(
    members.flatmap(
        lambda inner: st.fixed_dictionaries({}, optional={"params": members, "result": members}).map(inner.__or__)
    )
)
def test_any_shape_is_a_message_or_none(message: dict[str, object]) -> None:
    glance(orjson.dumps(message))
