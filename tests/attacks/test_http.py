"""The catalogue's HTTP section, the requests themselves: methods, encodings, Host and Origin, trusted headers."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.attacks.messages import LATEST, call, headers, message
from tests.attacks.rig import Case, Rig
from tests.support.raw_http import request

pytestmark = pytest.mark.shows("proxy.5")

BODY = call()
DANGER = call(b'"danger"')

# --- encodings, Accept, methods ---------------------------------------------------------------------------------------


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data)


ENCODED = {
    "gzip": ("gzip", _gzip(BODY)),
    "deflate": ("deflate", zlib.compress(BODY)),
    "br": ("br", BODY),
    "zstd": ("zstd", BODY),
    "list": ("identity,gzip", BODY),
    "plain": ("gzip", BODY),
    "bomb": ("gzip", _gzip(b" " * (100 << 20))),
    "odd": ("x-gzip", BODY),
}


@pytest.mark.parametrize(("coding", "body"), ENCODED.values(), ids=[f"HTTP-09-{name}" for name in ENCODED])
def test_encoded_bodies(rig: Rig, coding: str, body: bytes) -> None:
    with rig.case() as case:
        answer = case.post(body, headers(case.agent.token, content_encoding=coding))
        case.rejected(answer, -32600, "content_encoding", status=415)
        case.nothing_sent()


def test_http_09_identity_is_no_encoding(rig: Rig) -> None:
    with rig.case() as case:
        case.executed(case.post(BODY, headers(case.agent.token, content_encoding="identity")))


def test_http_09_two_codings(rig: Rig) -> None:
    with rig.case() as case:
        given = [*headers(case.agent.token), ("content-encoding", "identity"), ("content-encoding", "gzip")]
        case.rejected(case.post(BODY, given), -32600, "content_encoding", status=415)
        case.nothing_sent()


ACCEPTS = {
    "missing": (None, 200),
    "any": ("*/*", 200),
    "type": ("application/*", 200),
    "json": ("application/json", 200),
    "q0": ("application/json;q=0", 406),
    "text": ("text/plain", 406),
    "stream-only": ("text/event-stream", 406),
    "empty": ("", 406),
}


@pytest.mark.parametrize(("accept", "status"), ACCEPTS.values(), ids=[f"HTTP-11-{name}" for name in ACCEPTS])
def test_accept_never_changes_the_decision(rig: Rig, accept: str | None, status: int) -> None:
    with rig.case() as case:
        allowed = case.post(BODY, headers(case.agent.token, accept=accept))
        forbidden = case.post(DANGER, headers(case.agent.token, accept=accept))
        if status == 200:
            case.executed(allowed)
            case.denied(forbidden)
        else:
            case.rejected(allowed, -32600, "accept", status=406)
            case.rejected(forbidden, -32600, "accept", status=406)
            case.nothing_sent()


@pytest.mark.parametrize(
    "verb", ["PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "get", "POSTT"], ids=lambda v: f"HTTP-12-{v}"
)
def test_other_methods(rig: Rig, verb: str) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        wire.send(request(verb, "/mcp/rec", headers(case.agent.token), BODY))
        answer = case.saw(wire.response(head=verb == "HEAD"))
        assert answer.status in (400, 405), answer
        assert answer.status == 400 or answer.header("allow") == "GET, POST, DELETE"
        case.nothing_sent()


def test_http_12_connect(rig: Rig) -> None:
    with rig.case() as case:
        case.closed(b"CONNECT rec:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, 405)


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"], ids=lambda n: f"HTTP-12-{n}"
)
def test_method_overrides_do_nothing(rig: Rig, name: str) -> None:
    with rig.case() as case:
        case.executed(
            case.raw(request("POST", "/mcp/rec?_method=DELETE", [*headers(case.agent.token), (name, "DELETE")], BODY))
        )
        assert name.lower() not in {key.lower() for key, _ in rig.rec.calls[-1].headers}


def test_http_12_get_with_a_body(rig: Rig) -> None:
    with rig.case() as case:
        answer = case.raw(request("GET", "/mcp/rec", headers(case.agent.token), DANGER))
        assert answer.status == 405, answer
        assert rig.rec.received[-1].body == b""


# --- sessions, Host, Origin -------------------------------------------------------------------------------------------


def open_session(rig: Rig, case: Case, token: str, version: str = LATEST, server: str = "rec") -> str:
    """A handshake session of its own."""
    params = b'"protocolVersion":"%b","capabilities":{},"clientInfo":{"name":"t","version":"1"}' % version.encode()
    given = headers(token, mcp_protocol_version=None)
    answer = case.post(message("initialize", params), given, server=server)
    assert answer.status == 200, answer
    found = answer.header("mcp-session-id")
    assert found is not None
    return found


def test_http_14_anothers_session_cannot_be_ended(rig: Rig) -> None:
    with rig.case() as case:
        other = rig.agent("b")
        session = open_session(rig, case, other.token)
        answer = case.raw(
            request("DELETE", "/mcp/rec", headers(case.agent.token, mcp_session_id=session), length=False)
        )
        unknown = case.raw(request("DELETE", "/mcp/rec", headers(case.agent.token, mcp_session_id="x"), length=False))
        case.rejected(answer, -32600, "session", status=404)
        assert answer.body == unknown.body
        assert not [one for one in rig.rec.received if one.verb == "DELETE"]
        case.executed(case.post(BODY, headers(other.token, mcp_session_id=session)))


HOSTS = {
    "HTTP-16-path": ("a/b?c", (400, 421)),
    "HTTP-16-userinfo": ("a@127.0.0.1", (400, 421)),
    "HTTP-16-empty": ("", (400,)),
    "HTTP-16-list": ("127.0.0.1, evil.example", (400, 421)),
    "HTTP-16-dot": ("127.0.0.1.", (421,)),
    "HTTP-16-case": ("LOCALHOST.evil.example", (421,)),
    "HTTP-16-decimal": ("2130706433", (421,)),
    "HTTP-17-evil": ("evil.example", (421,)),
    "HTTP-17-evil-port": ("evil.example:8080", (421,)),
    "HTTP-17-prefix": ("localhost.evil.com", (421,)),
    "HTTP-17-nul": ("localhost\x00.evil.com", (400,)),
}


@pytest.mark.parametrize(("host", "statuses"), HOSTS.values(), ids=HOSTS.keys())
@pytest.mark.parametrize("path", ["/mcp/rec", "/api/v1/decisions"])
def test_foreign_hosts(rig: Rig, host: str, statuses: tuple[int, ...], path: str) -> None:
    with rig.case() as case:
        answer = case.raw(request("POST", path, headers(case.agent.token, host=host), BODY))
        assert answer.status in statuses, answer
        assert b"evil" not in answer.body
        case.nothing_sent()


def test_http_16_two_hosts(rig: Rig) -> None:
    with rig.case() as case:
        case.closed(case.head("Host: evil.example", "Content-Length: 0"))


NAMES = ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL")


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"HTTP-16-{name}")
def test_nothing_is_built_from_what_a_request_says_of_its_host(rig: Rig, name: str) -> None:
    with rig.case() as case:
        answer = case.post(BODY, [*headers(None), (name, "host=evil.example")])
        case.unauthenticated(answer)
        assert "evil" not in repr(answer)
        assert rig.proxy.url in (answer.header("www-authenticate") or "")


ORIGINS = {
    "HTTP-17-evil": "http://evil.example",
    "HTTP-19-prefix": "http://localhost:80.evil.com",
    "HTTP-19-suffix": "http://localhost.evil.com:80",
    "HTTP-19-userinfo": "http://localhost:80@evil.com",
    "HTTP-19-null": "null",
    "HTTP-19-file": "file://",
    "HTTP-19-star": "*",
    "HTTP-19-list": "http://127.0.0.1 http://evil.example",
    "HTTP-19-scheme": "chrome-extension://abc",
    "HTTP-19-path": "http://127.0.0.1/x",
}


@pytest.mark.parametrize("origin", ORIGINS.values(), ids=ORIGINS.keys())
def test_foreign_origins(rig: Rig, origin: str) -> None:
    with rig.case() as case:
        case.rejected(case.post(BODY, headers(case.agent.token, origin=origin)), -32600, "origin", status=403)
        case.nothing_sent()


def test_http_26_preflights_are_not_answered(rig: Rig) -> None:
    with rig.case() as case:
        for path in ("/mcp/rec", "/api/v1/decisions"):
            given = [
                *headers(None, origin="http://evil.example"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization"),
            ]
            answer = case.raw(request("OPTIONS", path, given))
            assert answer.status in (403, 405), answer
            assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


# --- trusted headers, floods, upgrades, credentials -------------------------------------------------------------------

TRUSTED = {
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-User": "agent:admin",
    "X-Forwarded-Email": "admin@example.com",
    "X-Authenticated-User": "admin",
    "X-Remote-User": "admin",
    "X-MCP-Principal": "agent:admin",
    "X-Policylayer-Principal": "agent:admin",
    "X-Request-Id": "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e",
    "X-Api-Key": "other",
    "Cookie": "session=admin",
    "Forwarded": "for=10.0.0.1",
    "X-Real-IP": "10.0.0.1",
    "X-Client-Cert": "CN=admin",
}


@pytest.mark.parametrize("name", TRUSTED, ids=lambda name: f"HTTP-21-{name}")
def test_headers_are_no_identity(rig: Rig, name: str) -> None:
    with rig.case() as case:
        case.unauthenticated(case.post(BODY, [*headers(None), (name, TRUSTED[name])]))
        row = case.executed(case.post(BODY, [*headers(case.agent.token), (name, TRUSTED[name])]))
        assert row["principal"] == case.agent.principal
        assert row["ip"] == case.agent.source
        assert name.lower() not in {key.lower() for key, _ in rig.rec.calls[-1].headers}


def test_http_21_a_traceparent_is_only_passed_on(rig: Rig) -> None:
    with rig.case() as case:
        other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        row = case.executed(case.post(BODY, headers(case.agent.token, traceparent=other)))
        assert rig.rec.calls[-1].header("traceparent") == other
        assert "0af7651916cd43dd" not in repr(row)


FLOODS = {
    "one-big": [("X-Big", "x" * 200_000)],
    "many": [(f"X-{n}", "x") for n in range(10_000)],
    "session": [("Mcp-Session-Id", "x" * 65_536)],
    "sum": [(f"X-{n}", "x" * 1000) for n in range(90)],
    "host": [("Host", "x" * 60_000)],
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=[f"HTTP-22-{name}" for name in FLOODS])
def test_header_floods(rig: Rig, flood: list[tuple[str, str]]) -> None:
    with rig.case() as case:
        answer = case.raw(request("POST", "/mcp/rec", [*headers(case.agent.token), *flood], BODY))
        assert answer.status in (400, 431), answer
        case.nothing_sent()


def test_http_22_a_long_target(rig: Rig) -> None:
    with rig.case() as case:
        assert case.raw(request("POST", "/mcp/" + "x" * 70_000, headers(case.agent.token), BODY)).status in (
            400,
            414,
            431,
        )


UPGRADES = {
    "h2c": [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
    "websocket": [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ],
    "tls": [("Connection", "Upgrade"), ("Upgrade", "TLS/1.2")],
}


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=[f"HTTP-24-{name}" for name in UPGRADES])
@pytest.mark.parametrize("verb", ["POST", "GET"])
def test_nothing_is_upgraded(rig: Rig, upgrade: list[tuple[str, str]], verb: str) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        wire.send(request(verb, "/mcp/rec", [*headers(case.agent.token), *upgrade], BODY if verb == "POST" else b""))
        answer = case.saw(wire.response())
        assert answer.status in (200, 405, 426), answer
        if verb == "POST":
            case.executed(answer)
            assert not {"upgrade", "http2-settings"} & {name.lower() for name, _ in rig.rec.calls[-1].headers}
        # What follows is HTTP/1.1 still: no tunnel.
        wire.send(request("POST", "/mcp/rec", headers(case.agent.token, name="danger"), DANGER))
        case.denied(case.saw(wire.response()))


AMBIGUOUS = {
    "two-bearers": lambda a, b: [("authorization", f"Bearer {a}"), ("authorization", f"Bearer {b}")],
    "same-twice": lambda a, b: [("authorization", f"Bearer {a}"), ("authorization", f"Bearer {a}")],
    "comma": lambda a, b: [("authorization", f"Bearer {a}, Bearer {b}")],
    "comma-basic": lambda a, b: [("authorization", f"Bearer {a},Basic eDp5")],
    "mixed": lambda a, b: [("authorization", f"Bearer {a}"), ("authorization", "Basic eDp5")],
}


@pytest.mark.parametrize("made", AMBIGUOUS.values(), ids=[f"HTTP-27-{name}" for name in AMBIGUOUS])
def test_two_credentials(rig: Rig, made) -> None:  # type: ignore[no-untyped-def]
    with rig.case() as case:
        given = [*headers(None), *made(case.agent.token, rig.good.token)]
        case.rejected(case.post(BODY, given), -32600, "credentials")
        case.nothing_sent()


@pytest.mark.parametrize("name", ["X-Api-Key", "Proxy-Authorization", "X-Authorization"], ids=lambda n: f"HTTP-27-{n}")
def test_other_places_of_credentials_are_not_read(rig: Rig, name: str) -> None:
    with rig.case() as case:
        other = rig.agent("b")
        case.unauthenticated(case.post(BODY, [*headers(None), (name, f"Bearer {other.token}")]))
        row = case.executed(case.post(BODY, [*headers(case.agent.token), (name, f"Bearer {other.token}")]))
        assert row["principal"] == case.agent.principal
