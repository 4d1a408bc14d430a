"""Which fields travel on, and which never do, whatever the sender or a setting says."""

from __future__ import annotations

import pytest

from policylayer.wire.headers import ACCEPT, Headers, forwardable, outgoing
from policylayer.wire.methods import MODERN
from tests.wire.samples import NOVEMBER, accepted, handshake, modern

CREDENTIALS = {
    "Authorization": "Bearer CANARY",
    "Cookie": "s=CANARY",
    "Proxy-Authorization": "Basic CANARY",
    "X-API-Key": "CANARY",
    "X-Auth-Token": "CANARY",
}
IDENTITIES = {
    "Forwarded": "for=CANARY",
    "X-Forwarded-For": "CANARY",
    "X-Forwarded-Host": "CANARY",
    "X-Forwarded-User": "CANARY",
    "X-Real-IP": "CANARY",
    "X-Authenticated-User": "CANARY",
    "X-MCP-Principal": "CANARY",
    "X-Client-Cert": "CANARY",
    "Via": "CANARY",
}
TRANSPORT = {
    "Host": "CANARY",
    "Content-Length": "12",
    "Transfer-Encoding": "chunked",
    "Connection": "keep-alive, Mcp-Name, X-Custom, User-Agent",
    "Keep-Alive": "CANARY",
    "TE": "CANARY",
    "Trailer": "CANARY",
    "Upgrade": "CANARY",
    "Expect": "CANARY",
    "Accept-Encoding": "gzip",
    "Content-Encoding": "CANARY",
    "Origin": "https://CANARY",
    "X-HTTP-Method-Override": "CANARY",
    "X-Method-Override": "CANARY",
    "Sec-Fetch-Mode": "CANARY",
    "Mcp-Session-Id": "CANARY",
    "Mcp-Param-Tenant": "CANARY",
    "Mcp-Name": "CANARY",
    "Mcp-Method": "CANARY",
    "Mcp-Anything": "CANARY",
    "X-Custom": "CANARY",
    "Content-Type": "application/json; charset=CANARY",
}
END_TO_END = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": NOVEMBER,
    "Last-Event-ID": "17",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
    "tracestate": "a=b",
    "baggage": "k=v",
}


@pytest.mark.shows("proxy.5")
def test_mcp_07_what_travels_on() -> None:
    inbound = Headers({**CREDENTIALS, **IDENTITIES, **TRANSPORT, **END_TO_END, "User-Agent": "x"}.items())
    sent = outgoing(accepted(handshake("tools/call", {"name": "x"})), inbound)
    assert "CANARY" not in str(sent)
    # User-Agent is missing because `Connection` named it.
    assert dict(sent) == {"Content-Type": "application/json", **END_TO_END}


def test_modern_routing_fields_are_written_from_the_body() -> None:
    inbound = Headers({**TRANSPORT, "MCP-Protocol-Version": MODERN}.items())
    schema = {"properties": {"tenant": {"type": "string", "x-mcp-header": "Tenant"}}}
    message = accepted(modern("tools/call", {"name": "n\u00e4me", "arguments": {"tenant": "b"}}))
    assert outgoing(message, inbound, schema) == [
        ("Content-Type", "application/json"),
        ACCEPT,
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "=?base64?bsOkbWU=?="),
        ("Mcp-Param-Tenant", "b"),
    ]
    assert ("Mcp-Param-Tenant", "b") not in outgoing(message, inbound)
    assert ("Mcp-Param-Tenant", "b") not in outgoing(message, inbound, {"anyOf": [schema]})


def test_only_methods_with_a_name_have_one() -> None:
    sent = outgoing(accepted(modern("tools/list")), Headers())
    assert sent == [("Content-Type", "application/json"), ACCEPT, ("Mcp-Method", "tools/list")]
    sent = outgoing(accepted(modern("resources/read", {"uri": "file:///a"})), Headers())
    assert ("Mcp-Name", "file:///a") in sent


def test_values_that_another_parser_could_split_are_dropped() -> None:
    inbound = Headers(
        [
            ("accept-language", "a\r\nX: y"),
            ("user-agent", "caf\u00e9"),
            ("baggage", "x" * 8193),
            ("tracestate", "a\x00"),
        ]
    )
    assert forwardable(inbound) == []


def test_the_protocols_own_fields_are_not_hop_by_hop() -> None:
    inbound = Headers(
        [("Connection", "accept, MCP-Protocol-Version , close"), ("Accept", "a"), ("mcp-protocol-version", NOVEMBER)]
    )
    assert forwardable(inbound) == [("MCP-Protocol-Version", NOVEMBER)]
    assert ACCEPT in outgoing(accepted(handshake("tools/list")), inbound)


@pytest.mark.parametrize("accept", [None, "application/json", "*/*", "application/json;q=0.1"])
def test_a_server_is_always_told_what_the_protocol_wants_it_told(accept: str | None) -> None:
    inbound = Headers([("accept", accept)] if accept else [])
    for message in (accepted(modern("tools/list")), accepted(handshake("tools/list"))):
        said = [field for field in outgoing(message, inbound) if field[0].lower() == "accept"]
        assert said == [("Accept", "application/json, text/event-stream")]
