"""The catalogue's HTTP section, framing: where one request ends and the next begins, pipelining, bodies too large."""

from __future__ import annotations

import json

import pytest

from tests.attacks.messages import ERAS, Era, call, headers
from tests.attacks.rig import Case, Rig
from tests.support.raw_http import Response, Wire, chunked, request

pytestmark = pytest.mark.shows("proxy.5")

DANGER = call(b'"danger"')
SMUGGLED = b"POST /mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b" % (len(DANGER), DANGER)

# --- framing ----------------------------------------------------------------------------------------------------------

BODY = call()
FRAMINGS = {
    "HTTP-01-CL-TE": (f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"),
    "HTTP-01-TE-CL": ("Transfer-Encoding: chunked", "Content-Length: 4"),
    "HTTP-01-TE-list": ("Transfer-Encoding: gzip, chunked",),
    "HTTP-01-TE-identity": ("Transfer-Encoding: identity", f"Content-Length: {len(BODY)}"),
    "HTTP-01-xchunked": ("Transfer-Encoding: xchunked", f"Content-Length: {len(BODY)}"),
    "HTTP-01-TE-tab": ("Transfer-Encoding:\tchunked", "Content-Length: 4"),
    "HTTP-01-TE-folded": ("Transfer-Encoding:\r\n chunked", "Content-Length: 4"),
    "HTTP-01-TE-vtab": ("Transfer-Encoding: \x0bchunked", "Content-Length: 4"),
    "HTTP-01-TE-space": ("Transfer-Encoding : chunked", "Content-Length: 4"),
    "HTTP-02-equal": (f"Content-Length: {len(BODY)}", f"Content-Length: {len(BODY)}"),
    "HTTP-02-unequal": (f"Content-Length: {len(BODY)}", "Content-Length: 4"),
    "HTTP-02-list": (f"Content-Length: {len(BODY)}, {len(BODY)}",),
    "HTTP-02-plus": (f"Content-Length: +{len(BODY)}",),
    "HTTP-02-hex": (f"Content-Length: {len(BODY):#x}",),
    "HTTP-02-space": (f"Content-Length : {len(BODY)}",),
    "HTTP-02-huge": ("Content-Length: 18446744073709551616",),
}


@pytest.mark.parametrize("lines", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_two_framings(rig: Rig, lines: tuple[str, ...]) -> None:
    with rig.case() as case:
        case.closed(case.head(*lines) + chunked([BODY]) + SMUGGLED)


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"], ids=["HTTP-01-chunked-1.0", "HTTP-01-chunked-1.1"])
def test_chunked_belongs_to_http_1_1(rig: Rig, version: str) -> None:
    with rig.case() as case:
        sent = case.head("Transfer-Encoding: chunked").replace(b"HTTP/1.1", version.encode()) + chunked([BODY])
        if version == "HTTP/1.0":
            case.closed(sent)
        else:
            case.executed(case.raw(sent))


CHUNKS = {
    "0x": b"0x10\r\n",
    "underscore": b"1_0\r\n",
    "negative": b"-1\r\nabc",
    "plus": b"+3\r\nabc\r\n",
    "2-64": b"10000000000000000\r\n",
    "extension": b"3;" + b"a" * (1 << 20) + b"\r\nabc\r\n",
    "terminator": b"3\r\nabcXX3\r\nabc\r\n",
    "terminator-LF": b"3\r\nabc\n0\r\n\r\n",
    "space": b"3 \r\nabc\r\n",
    "empty": b"\r\n\r\n",
    "trailer": chunked([BODY])[:-2] + b"Authorization: Bearer x\r\n\r\n",
    "control": b"3;a\x00\r\nabc\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=[f"HTTP-04-{name}" for name in CHUNKS])
def test_chunks(rig: Rig, chunks: bytes) -> None:
    with rig.case() as case:
        case.closed(case.head("Transfer-Encoding: chunked") + chunks + SMUGGLED)


def test_http_06_chunks_that_end_in_lf_do_not_hang(rig: Rig) -> None:
    with rig.case() as case:
        case.closed(case.head("Transfer-Encoding: chunked") + b"%x\n%b\n0\n\n" % (len(BODY), BODY))


BARE = {
    "LF": b"POST /mcp/rec HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0\n\n",
    "LF-line": b"POST /mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\nX: y\r\n\r\n",
    "CR": b"POST /mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rb\r\n\r\n",
    "NUL": b"POST /mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
    "fold": b"POST /mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n",
    "no-version": b"POST /mcp/rec\r\nHost: 127.0.0.1\r\n\r\n",
    "absolute": b"POST http://127.0.0.1/mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "two-spaces": b"POST  /mcp/rec HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", BARE.values(), ids=[f"HTTP-01-head-{name}" for name in BARE])
def test_doubtful_heads(rig: Rig, sent: bytes) -> None:
    with rig.case() as case:
        case.closed(sent)


# --- pipelining -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"HTTP-07-{era}")
def test_pipelined_requests_are_decided_one_by_one_in_order(rig: Rig, era: Era) -> None:
    with rig.case() as case:
        names = ["danger", "safe"] * 25
        sent = b"".join(
            request(
                "POST",
                "/mcp/rec",
                headers(case.agent.token, era, name=name),
                call(json.dumps(name).encode(), b'{"n":%d}' % n, era, id=b"%d" % n),
            )
            for n, name in enumerate(names)
        )
        before = len(rig.rec.calls)
        with rig.wire(case.agent.source) as wire:
            wire.send(sent)
            for n, name in enumerate(names):
                answer = case.saw(wire.response())
                assert answer.json["id"] == n
                if name == "danger":
                    case.denied(answer, "rule", "attacks/no-danger")
                else:
                    case.executed(answer, "safe done")
        assert [one.params["arguments"]["n"] for one in rig.rec.calls[before:]] == list(range(1, 50, 2))


# --- bodies too large (JSON-24) ---------------------------------------------------------------------------------------


def oversize(wire: Wire, case: Case, pieces: bytes, times: int) -> Response:
    """Send it all, as a client would that does not look up from writing; the answer is still there to be read."""
    wire.send(*[pieces] * times)
    return case.saw(wire.response())


LIMIT = 4 * 1024 * 1024


@pytest.mark.parametrize("size", [LIMIT + 1, 10 << 20, 1 << 30], ids=lambda size: f"JSON-24-length-{size}")
def test_oversize_by_length(rig: Rig, size: int) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        wire.send(case.head(f"Content-Length: {size}"))
        answer = oversize(wire, case, b" " * 65_536, min(size, 10 << 20) // 65_536)
        case.rejected(answer, -32600, "size", status=413)
        assert answer.header("connection") == "close"
        case.nothing_sent()


@pytest.mark.parametrize("size", [LIMIT + 65_536, 10 << 20], ids=lambda size: f"JSON-24-chunked-{size}")
def test_oversize_in_chunks(rig: Rig, size: int) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        wire.send(case.head("Transfer-Encoding: chunked"))
        answer = oversize(wire, case, b"10000\r\n" + b" " * 65_536 + b"\r\n", size // 65_536)
        case.rejected(answer, -32600, "size", status=413)
        case.nothing_sent()


def test_json_24_just_within_the_limit(rig: Rig) -> None:
    with rig.case() as case:
        body = call(b'"echo_args"', b'{"a":"' + b"x" * (LIMIT - len(call(b'"echo_args"', b'{"a":""}'))) + b'"}')
        assert len(body) == LIMIT
        case.executed(case.post(body))
        assert rig.rec.calls[-1].body == body
