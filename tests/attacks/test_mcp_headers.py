"""The catalogue's MCP section, headers: against the body, between the eras, and on the way out."""

from __future__ import annotations

import base64
import json

import pytest

from tests.attacks.messages import ERAS, LATEST, MODERN, Era, call, headers
from tests.attacks.rig import SECRET, Case, Rig
from tests.support.raw_http import Response

pytestmark = pytest.mark.shows("proxy.5")

HEADER_MISMATCH = -32020


def wrapped(text: str) -> str:
    return "=?base64?" + base64.b64encode(text.encode()).decode() + "?="


def mismatch(case: Case, answer: Response, body: bytes) -> None:
    case.rejected(answer, HEADER_MISMATCH, "header_mismatch", body)
    case.nothing_sent()


# --- routing headers --------------------------------------------------------------------------------------------------

NAMES = {
    "safe-danger": ("safe", b'"danger"'),
    "danger-safe": ("danger", b'"safe"'),
    "missing": (None, b'"safe"'),
    "empty": ("", b'"safe"'),
    "sentinel-of-other": (wrapped("safe"), b'"danger"'),
    "sentinel-reversed": (wrapped("danger"), b'"safe"'),
    "sentinel-malformed": ("=?base64?c2FmZ", b'"safe"'),
    "sentinel-bad-base64": ("=?base64?c2F*ZQ==?=", b'"safe"'),
    "sentinel-not-utf8": ("=?base64?/w==?=", b'"safe"'),
    "sentinel-of-sentinel": (wrapped(wrapped("safe")), b'"safe"'),
    "upper": ("SAFE", b'"safe"'),
    "capital": ("Safe", b'"safe"'),
    "percent": ("s%61fe", b'"safe"'),
    "quoted": ('"safe"', b'"safe"'),
    "list": ("safe, danger", b'"safe"'),
    "inner-space": ("sa fe", b'"safe"'),
}


@pytest.mark.parametrize(("said", "name"), NAMES.values(), ids=[f"MCP-01-{name}" for name in NAMES])
def test_name_header_against_the_body(rig: Rig, said: str | None, name: bytes) -> None:
    with rig.case() as case:
        body = call(name, era="modern")
        mismatch(case, case.post(body, headers(case.agent.token, "modern", mcp_name=said)), body)


@pytest.mark.parametrize("second", ["safe", "danger"], ids=lambda second: f"MCP-01-twice-{second}")
def test_two_name_headers(rig: Rig, second: str) -> None:
    with rig.case() as case:
        body = call(era="modern")
        mismatch(case, case.post(body, [*headers(case.agent.token, "modern"), ("Mcp-Name", second)]), body)


def test_mcp_01_a_sentinel_of_the_same_name_agrees(rig: Rig) -> None:
    with rig.case() as case:
        case.executed(case.post(call(era="modern"), headers(case.agent.token, "modern", mcp_name=wrapped("safe"))))
        assert rig.rec.calls[-1].header("mcp-name") == "safe"


METHODS = {
    "list": "tools/list",
    "ping": "ping",
    "missing": None,
    "upper": "TOOLS/CALL",
    "empty": "",
    "sentinel": wrapped("tools/call"),
    "space": "tools/call x",
}


@pytest.mark.parametrize("said", METHODS.values(), ids=[f"MCP-02-{name}" for name in METHODS])
@pytest.mark.parametrize("name", [b'"safe"', b'"danger"'])
def test_method_header_against_the_body(rig: Rig, said: str | None, name: bytes) -> None:
    with rig.case() as case:
        body = call(name, era="modern")
        given = headers(case.agent.token, "modern", name=json.loads(name), mcp_method=said)
        mismatch(case, case.post(body, given), body)


def test_mcp_02_two_method_headers(rig: Rig) -> None:
    with rig.case() as case:
        body = call(era="modern")
        mismatch(case, case.post(body, [*headers(case.agent.token, "modern"), ("mcp-method", "tools/list")]), body)


def test_mcp_01_in_the_handshake_era_routing_headers_go_no_further(rig: Rig) -> None:
    with rig.case() as case:
        given = [*headers(case.agent.token), ("mcp-name", "danger"), ("mcp-method", "tools/list"), ("mcp-param-x", "y")]
        case.executed(case.post(call(), given))
        assert not [
            name for name, _ in rig.rec.calls[-1].headers if name.lower() in ("mcp-name", "mcp-method", "mcp-param-x")
        ]


# --- eras -------------------------------------------------------------------------------------------------------------


def in_meta(version: str) -> bytes:
    return call(era="modern").replace(MODERN.encode(), version.encode(), 1)


CONFUSED: dict[str, tuple[str | None, bytes, int]] = {
    "legacy-header-modern-meta": (LATEST, call(era="modern"), HEADER_MISMATCH),
    "modern-header-no-meta": (MODERN, call(), -32602),
    "no-header-modern-meta": (None, call(era="modern"), HEADER_MISMATCH),
    "modern-header-legacy-meta": (MODERN, in_meta(LATEST), HEADER_MISMATCH),
    "unknown-both": ("2099-01-01", in_meta("2099-01-01"), -32022),
    "unknown-header": ("2099-01-01", call(), -32600),
    "unknown-meta": (LATEST, in_meta("2099-01-01"), HEADER_MISMATCH),
    "list": (f"{LATEST}, {MODERN}", call(), -32600),
    "list-modern": (f"{LATEST}, {MODERN}", call(era="modern"), HEADER_MISMATCH),
    "space": ("2026-07-28 x", call(era="modern"), HEADER_MISMATCH),
    "not-text": (MODERN, call(era="modern").replace(b'"2026-07-28"', b"20260728", 1), HEADER_MISMATCH),
    "null": (MODERN, call(era="modern").replace(b'"2026-07-28"', b"null", 1), HEADER_MISMATCH),
    "draft": ("DRAFT-2026-v1", in_meta("DRAFT-2026-v1"), -32022),
    "lower-case": ("2026-07-28z", in_meta("2026-07-28Z"), HEADER_MISMATCH),
    "no-capabilities": (MODERN, call(era="modern").replace(b"clientCapabilities", b"clientCapabilitie", 1), -32602),
}


@pytest.mark.parametrize(("said", "body", "code"), CONFUSED.values(), ids=[f"MCP-04-{name}" for name in CONFUSED])
def test_eras_must_agree(rig: Rig, said: str | None, body: bytes, code: int) -> None:
    with rig.case() as case:
        answer = case.post(body, headers(case.agent.token, "modern", mcp_protocol_version=said))
        case.rejected(answer, code, None)
        if code == -32022:
            assert answer.json["error"]["data"]["supported"] == [MODERN]
        case.nothing_sent()


def test_mcp_04_two_version_headers(rig: Rig) -> None:
    with rig.case() as case:
        body = call(era="modern")
        given = [*headers(case.agent.token, "modern"), ("mcp-protocol-version", LATEST)]
        mismatch(case, case.post(body, given), body)


@pytest.mark.parametrize(
    "version", [None, "2024-11-05", "2025-03-26", "2025-06-18", LATEST, MODERN], ids=lambda v: f"MCP-22-{v}"
)
def test_no_version_skips_the_policy(rig: Rig, version: str | None) -> None:
    era: Era = "modern" if version == MODERN else "handshake"
    with rig.case() as case:

        def send(name: str, arguments: bytes = b"{}") -> Response:
            body = call(json.dumps(name).encode(), arguments, era)
            return case.post(body, headers(case.agent.token, era, name=name, mcp_protocol_version=version))

        case.executed(send("safe"), "safe done")
        case.denied(send("danger"), "rule", "attacks/no-danger")
        case.denied(send("pay", b'{"amount":101}'), "not_applicable")
        case.executed(send("pay", b'{"amount":100}'))
        case.denied(send("pay"), "indeterminate")
        case.denied(send("other"), "not_applicable")
        if era == "handshake":
            case.denied(send("gated"), "pending")
        else:
            assert send("gated").json["result"]["resultType"] == "input_required"
            case.decided()
        assert all(one.params["name"] in ("safe", "pay") for one in rig.rec.calls[-2:])


# --- Mcp-Param-* ------------------------------------------------------------------------------------------------------

PARAMS: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "other": (b'{"tenant":"b"}', [("Mcp-Param-Tenant", "a")]),
    "no-argument": (b"{}", [("Mcp-Param-Tenant", "a")]),
    "null-argument": (b'{"tenant":null}', [("Mcp-Param-Tenant", "null")]),
    "missing": (b'{"tenant":"a"}', []),
    "twice": (b'{"tenant":"a"}', [("Mcp-Param-Tenant", "a"), ("mcp-param-tenant", "a")]),
    "sentinel": (b'{"tenant":"b"}', [("Mcp-Param-Tenant", wrapped("a"))]),
    "case": (b'{"tenant":"a"}', [("Mcp-Param-Tenant", "A")]),
    "number": (b'{"count":5}', [("Mcp-Param-Count", "05")]),
    "number-form": (b'{"count":5}', [("Mcp-Param-Count", "5e0")]),
    "object": (b'{"tenant":{"a":1}}', [("Mcp-Param-Tenant", '{"a":1}')]),
}


@pytest.mark.parametrize(("arguments", "fields"), PARAMS.values(), ids=[f"MCP-06-{name}" for name in PARAMS])
def test_param_headers_against_the_body(rig: Rig, arguments: bytes, fields: list[tuple[str, str]]) -> None:
    with rig.case() as case:
        body = call(b'"routed"', arguments, "modern")
        mismatch(case, case.post(body, [*headers(case.agent.token, "modern", name="routed"), *fields]), body)


def test_mcp_06_param_headers_that_agree_are_written_anew(rig: Rig) -> None:
    with rig.case() as case:
        body = call(b'"routed"', '{"tenant":"\u00e9","count":5}'.encode(), "modern")
        given = [
            *headers(case.agent.token, "modern", name="routed"),
            ("mcp-param-TENANT", wrapped("\u00e9")),
            ("mcp-param-count", "5.0"),
            ("mcp-param-other", "x"),
        ]
        case.executed(case.post(body, given))
        sent = {name.lower(): value for name, value in rig.rec.calls[-1].headers}
        assert {name: value for name, value in sent.items() if name.startswith("mcp-param-")} == {
            "mcp-param-tenant": wrapped("\u00e9"),
            "mcp-param-count": "5",
        }


def test_mcp_06_where_the_schema_cannot_be_had_no_param_header_passes(rig: Rig) -> None:
    with rig.case() as case:
        body = call(era="modern")
        given = [*headers(case.agent.token, "modern"), ("Mcp-Param-Tenant", "a")]
        case.rejected(case.post(body, given, server="broken"), HEADER_MISMATCH, "header_mismatch", body)
        assert not rig.broken.calls
        case.executed(case.post(body, headers(case.agent.token, "modern"), server="broken"))


# --- what goes out ----------------------------------------------------------------------------------------------------

FORGED = {
    "Mcp-Param-X": "y",
    "Connection": "Mcp-Name, Mcp-Method, MCP-Protocol-Version, Accept",
    "Keep-Alive": "timeout=1",
    "TE": "trailers",
    "Trailer": "X-Late",
    "Proxy-Connection": "keep-alive",
    "Proxy-Authorization": f"Basic {SECRET}",
    "Cookie": f"a={SECRET}",
    "X-Forwarded-For": "1.2.3.4",
    "X-Mcp-Name": "danger",
    "X-Api-Key": SECRET,
    "Origin": "http://127.0.0.1",
    "Via": "1.1 x",
    "Sec-Fetch-Site": "none",
    "Expect": "100-continue",
}


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"MCP-07-{era}")
@pytest.mark.parametrize("name", FORGED)
def test_headers_are_rebuilt_on_the_way_out(rig: Rig, era: Era, name: str) -> None:
    with rig.case() as case:
        body = call(b'"echo_args"', era=era)
        case.executed(case.post(body, [*headers(case.agent.token, era, name="echo_args"), (name, FORGED[name])]))
        sent = rig.rec.calls[-1]
        names = {key.lower() for key, _ in sent.headers}
        assert name.lower() not in names - {"connection"}
        assert sent.header("connection") in (None, "keep-alive")
        assert SECRET not in repr(sent.headers).replace(f"{SECRET}-of-the-server", "")
        assert case.agent.token.encode() not in sent.head
        assert names >= {"content-type", "accept", "mcp-protocol-version", "authorization"}
        if era == "modern":
            assert (sent.header("mcp-method"), sent.header("mcp-name")) == ("tools/call", "echo_args")
