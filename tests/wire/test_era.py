"""Which era a message is of, where headers and body must agree."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.wire import era
from policylayer.wire.fields import Headers
from policylayer.wire.methods import ASSUMED, HANDSHAKE, MODERN
from policylayer.wire.rejection import Rejection
from tests.wire.samples import CAPABILITIES, META, VERSION, accepted, body, fields, refused


def request(meta: dict[str, Any] | None, *versions: str) -> tuple[bytes, Headers]:
    params = {"name": "x"} if meta is None else {"name": "x", "_meta": meta}
    pairs = [("mcp-protocol-version", version) for version in versions]
    headers = Headers([*pairs, ("Mcp-Method", "tools/call"), ("Mcp-Name", "x")])
    return orjson.dumps(body("tools/call", params)), headers


def code(sent: tuple[bytes, Headers]) -> tuple[int, int]:
    rejection = refused(sent)
    assert rejection.id == 1
    return rejection.status, rejection.code


@pytest.mark.parametrize("version", HANDSHAKE)
def test_handshake_revisions(version: str) -> None:
    message = accepted(request(None, version))
    assert (message.era, message.protocol) == ("handshake", version)
    assert accepted(request({"x": 1, CAPABILITIES: {}}, f" {version}\t")).protocol == version


def test_without_a_header() -> None:
    assert accepted(request(None)).protocol == ASSUMED


def test_modern() -> None:
    message = accepted(request(META, MODERN))
    assert (message.era, message.protocol) == ("modern", MODERN)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    ("meta", "versions", "expected"),
    [
        (META, ["2025-11-25"], -32020),
        (META, [], -32020),
        (META, ["2025-03-26"], -32020),
        (META, ["2099-01-01"], -32020),
        (None, [MODERN], -32602),
        ({}, [MODERN], -32602),
        ({VERSION: MODERN}, [MODERN], -32602),
        ({CAPABILITIES: {}}, [MODERN], -32602),
        ({VERSION: MODERN, CAPABILITIES: []}, [MODERN], -32602),
        ({VERSION: MODERN, CAPABILITIES: None}, [MODERN], -32602),
        ({**META, VERSION: "2025-11-25"}, [MODERN], -32020),
        ({**META, VERSION: 20260728}, [MODERN], -32020),
        ({**META, VERSION: None}, [MODERN], -32020),
        ({**META, VERSION: None}, [], -32020),
        ({**META, VERSION: "2026-07-28 "}, [MODERN], -32020),
        (META, [MODERN, MODERN], -32020),
        (META, [MODERN, "2025-11-25"], -32020),
        (None, ["2025-11-25", MODERN], -32020),
        (None, ["2025-11-25, 2026-07-28"], -32600),
        (META, ["2026-07-28, 2026-07-28"], -32020),
        (META, ["2026-07-28,"], -32020),
        (None, ["2099-01-01"], -32600),
        (None, [""], -32600),
        (None, ["2024-10-07"], -32600),
        (None, ["\u00b2025-11-25"], -32600),
        ({**META, VERSION: "2025-11-25"}, ["2025-11-25"], -32022),
        ({**META, VERSION: "2099-01-01"}, ["2099-01-01"], -32022),
        ({**META, VERSION: ""}, [""], -32022),
    ],
)
def test_mcp_04_era_confusion(meta: dict[str, Any] | None, versions: list[str], expected: int) -> None:
    assert code(request(meta, *versions)) == (400, expected)


def test_an_unsupported_version_is_told_what_is_spoken() -> None:
    rejection = refused(request({**META, VERSION: "v999.0.0"}, "v999.0.0"))
    assert rejection.data == {"supported": [MODERN], "requested": "v999.0.0"}
    long = refused(request({**META, VERSION: "v" * 1000}, "v" * 1000))
    assert long.data == {"supported": [MODERN], "requested": "v" * 64}


def test_modern_notifications_need_not_say_their_version_twice() -> None:
    said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert accepted((orjson.dumps(said), fields(MODERN))).era == "modern"
    said["params"] = {"requestId": 1, "_meta": {VERSION: MODERN}}
    assert accepted((orjson.dumps(said), fields(MODERN))).era == "modern"
    said["params"] = {"requestId": 1, "_meta": {VERSION: "2025-11-25"}}
    assert refused((orjson.dumps(said), fields(MODERN))).code == -32020


def test_requests_without_a_body() -> None:
    assert era.version_of(Headers()) == ASSUMED
    assert era.version_of(fields(MODERN)) == MODERN
    assert era.version_of(fields("2024-11-05")) == "2024-11-05"
    unknown = era.version_of(fields("1.0"))
    assert isinstance(unknown, Rejection)
    assert unknown.status == 400
    twice = era.version_of(Headers([("mcp-protocol-version", MODERN)] * 2))
    assert isinstance(twice, Rejection)
    assert twice.code == -32020
