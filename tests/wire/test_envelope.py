"""The JSON-RPC envelope: exactly one request, notification or response, with an id that every reader keeps."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.wire.envelope import Envelope, is_id, open_envelope
from policylayer.wire.limits import DEFAULT
from policylayer.wire.rejection import Rejection


def opened(value: Any, strict: bool = True) -> Envelope | Rejection:
    return open_envelope(value, DEFAULT, strict)


def reason(value: Any, strict: bool = True) -> str | None:
    envelope = opened(value, strict)
    return envelope.reason if isinstance(envelope, Rejection) else None


def request(**members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "ping", **members}


def test_the_three_kinds() -> None:
    assert opened(request(params={"a": 1})) == Envelope("request", 1, "ping", {"a": 1})
    assert opened(request()) == Envelope("request", 1, "ping", {})
    assert opened(request(params=None)) == Envelope("request", 1, "ping", {})
    assert opened({"jsonrpc": "2.0", "method": "x"}) == Envelope("notification", None, "x", {})
    assert opened({"jsonrpc": "2.0", "id": 1, "result": {}}) == Envelope("response", 1, None, {}, result={})
    error = {"code": 1, "message": "m"}
    assert opened({"jsonrpc": "2.0", "id": 1, "error": error}) == Envelope("response", 1, None, {}, error=error)
    # An error without an id answers a request whose id could not be read.
    assert opened({"jsonrpc": "2.0", "error": error}) == Envelope("response", None, None, {}, error=error)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("value", [[], [request()], [[request()]], [request()] * 1000])
def test_json_11_batches(value: Any) -> None:
    assert reason(value) == "batch"
    assert reason(value, strict=False) == "batch"


@pytest.mark.parametrize("value", [None, 1, 1.5, "x", True])
def test_not_an_object(value: Any) -> None:
    assert reason(value) == "envelope"


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("jsonrpc", ["1.0", "2.00", "2", "", 2.0, 2, None, ["2.0"]])
def test_json_31_other_versions_of_jsonrpc(jsonrpc: Any) -> None:
    assert reason(request(jsonrpc=jsonrpc)) == "jsonrpc"
    without = request()
    del without["jsonrpc"]
    assert reason(without) == "jsonrpc"


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "id", [None, True, False, 1.5, 1.0, {}, [], "", 2**63, 2**53, -(2**53), "x" * 257, "\u00e9" * 129, "x" * 1_000_000]
)
def test_json_27_malformed_ids(id: Any) -> None:
    assert not is_id(id, DEFAULT)
    rejection = opened(request(id=id))
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.id) == ("id", None)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "name",
    [
        *("Method", "METHOD", "Params", "ID", "Id", "JSONRPC", "JsonRpc", "Result", "ERROR"),
        *("method\x00", "method\u200b", "\ufeffmethod", "met\u00adhod", "method ", " id", "id\n"),
        *("\uff4dethod", "re\u017fult", "\u1d50ethod", "param\u017f"),
    ],
)
def test_json_07_members_that_look_like_the_protocols(name: str) -> None:
    for strict in (True, False):
        assert reason({**request(), name: "tools/call"}, strict) == "folded_member"
        assert reason({"jsonrpc": "2.0", "id": 1, name: "ping"}, strict) == "folded_member"


@pytest.mark.shows("proxy.5")
def test_json_09_unknown_members() -> None:
    assert reason(request(extra=1)) == "unknown_member"
    assert reason({**request(), "": 1}) == "unknown_member"
    assert reason(request(result={})) == "request_and_response"
    assert reason(request(error={"code": 1, "message": ""})) == "request_and_response"
    assert reason({"jsonrpc": "2.0", "method": "x", "result": {}}) == "request_and_response"


def test_servers_may_add_members() -> None:
    assert reason({"jsonrpc": "2.0", "id": 1, "result": {}, "extra": 1}, strict=False) is None


@pytest.mark.parametrize("method", [None, 5, "", [], {}, " ping", "ping ", "p\x00ing", "ping\u200b", "x" * 129, True])
def test_methods_that_are_no_names(method: Any) -> None:
    assert reason(request(method=method)) == "method"


@pytest.mark.parametrize("params", [[], [1], "x", 5, True, 1.5])
def test_params_are_an_object(params: Any) -> None:
    assert reason(request(params=params)) == "params"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"jsonrpc": "2.0"}, "envelope"),
        ({"jsonrpc": "2.0", "id": 1}, "envelope"),
        ({"jsonrpc": "2.0", "id": 1, "params": {}}, "envelope"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}, "params": {}}, "envelope"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": ""}}, "envelope"),
        ({"jsonrpc": "2.0", "result": {}}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "result": []}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "result": None}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": None}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": "x"}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"message": ""}}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1.5, "message": ""}}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": ""}}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": None}}, "response"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "", "Code": 2}}, "response"),
    ],
)
def test_responses_that_are_none(value: Any, why: str) -> None:
    assert reason(value) == why


def test_errors_may_carry_more() -> None:
    assert reason({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "", "data": 1, "hint": 2}}) is None
