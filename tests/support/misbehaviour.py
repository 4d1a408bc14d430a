"""What a recording server can do instead of answering properly. Each is `async (writer, received) -> None`.

The names are used by `recording.Recording.behave`, and by the argument `_rec` of any tool: `{"_rec": "hang"}`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from asyncio import StreamWriter
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.support.recording import Received

Behaviour = Callable[[StreamWriter, "Received"], Awaitable[None]]

LATE: Final = 2.5
"""Seconds."""


def result_of(received: Received, text: str = "done") -> dict[str, Any]:
    """A proper tools/call result for what was received."""
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": False}
    if received.modern:
        result["resultType"] = "complete"
    return result


def http(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    """A whole HTTP answer."""
    return (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n").encode() + body


def message(received: Received, **members: Any) -> bytes:
    """A JSON-RPC message with the received one's id, unless the members say otherwise."""
    return json.dumps({"jsonrpc": "2.0", "id": received.id, **members}).encode()


def event(body: bytes) -> bytes:
    """One SSE event."""
    return b"event: message\r\ndata: " + body + b"\r\n\r\n"


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body; of no data, its end."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _whole(body: Callable[[Received], bytes], **how: Any) -> Behaviour:
    async def behave(writer: StreamWriter, received: Received) -> None:
        writer.write(http(body(received), **how))

    return behave


def _raw(data: Callable[[Received], bytes], close: bool = True) -> Behaviour:
    async def behave(writer: StreamWriter, received: Received) -> None:
        writer.write(data(received))
        await writer.drain()
        if close:
            writer.close()

    return behave


def _redirect(status: str, location: str) -> Behaviour:
    return _whole(lambda _: b"", status=status, extra=f"Location: {location}\r\n")


def _good(received: Received) -> bytes:
    return message(received, result=result_of(received))


async def _hang(writer: StreamWriter, received: Received) -> None:
    """Read, and never answer."""
    await asyncio.Event().wait()


async def _late(writer: StreamWriter, received: Received) -> None:
    """Answer, after longer than a database takes to start again."""
    await asyncio.sleep(LATE)
    writer.write(http(_good(received)))


async def _hang_in_stream(writer: StreamWriter, received: Received) -> None:
    writer.write(SSE_HEAD + chunk(b": open\n\n"))
    await writer.drain()
    await asyncio.Event().wait()


async def _trickle(writer: StreamWriter, received: Received) -> None:
    """A byte at a time, for as long as anybody reads."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _interim_flood(writer: StreamWriter, received: Received) -> None:
    """Interim answers for as long as anybody reads."""
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 10)
        await writer.drain()


async def _sse(writer: StreamWriter, received: Received) -> None:
    """Progress, then the result, as a stream."""
    writer.write(SSE_HEAD)
    token = received.params.get("_meta", {}).get("progressToken")
    if token is not None:
        progress = {"progressToken": token, "progress": 1, "total": 2}
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}
        writer.write(chunk(event(json.dumps(note).encode())))
    await writer.drain()
    writer.write(chunk(event(_good(received))) + chunk(b""))


async def _server_request(writer: StreamWriter, received: Received) -> None:
    """Asks the client for its roots in the middle of a call, then answers."""
    asks = {"jsonrpc": "2.0", "id": "s-1", "method": "roots/list"}
    writer.write(SSE_HEAD + chunk(event(json.dumps(asks).encode())))
    await writer.drain()
    writer.write(chunk(event(_good(received))) + chunk(b""))


async def _input_required(writer: StreamWriter, received: Received) -> None:
    """One round of questions at 2026-07-28: without a state it asks, with one it answers."""
    if received.params.get("requestState") is not None:
        writer.write(http(_good(received)))
        return
    form = {"mode": "form", "message": "how many?", "requestedSchema": {"type": "object", "properties": {}}}
    asked = {"ask": {"method": "elicitation/create", "params": form}}
    result = {"resultType": "input_required", "inputRequests": asked, "requestState": "state-1"}
    writer.write(http(message(received, result=result)))


async def _close_mid_stream(writer: StreamWriter, received: Received) -> None:
    writer.write(SSE_HEAD + chunk(event(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}')))
    await writer.drain()
    writer.close()


def _heads(received: Received) -> str:
    """The headers that came, as a tool that shows its environment would."""
    return json.dumps(dict(received.headers))


async def _echo_in_stream(writer: StreamWriter, received: Received) -> None:
    """The headers that came: in a comment, an id, a notification, and the result."""
    heads = _heads(received)
    said = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": heads}}
    writer.write(SSE_HEAD + chunk(b": " + heads.encode() + b"\n\n"))
    writer.write(chunk(b"id: " + heads.encode() + b"\n" + event(json.dumps(said).encode())))
    await writer.drain()
    writer.write(chunk(event(message(received, result=result_of(received, heads)))) + chunk(b""))


@cache
def _bomb() -> bytes:
    """100 MB of nothing, made piece by piece and once: the test that uses it measures memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()


BEHAVIOURS: dict[str, Behaviour] = {
    "batch": _whole(lambda r: b"[" + _good(r) + b"]"),
    "both_framings": _raw(
        lambda r: (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n"
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + chunk(_good(r))
            + chunk(b"")
        ),
        close=False,
    ),
    "close_after_read": _raw(lambda _: b""),
    "close_mid": _raw(
        lambda r: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n" + _good(r)[:20]
    ),
    "close_mid_stream": _close_mid_stream,
    "compressed": _whole(lambda r: gzip.compress(_good(r)), extra="Content-Encoding: gzip\r\n"),
    "bomb": _whole(lambda _: _bomb(), extra="Content-Encoding: gzip\r\n"),
    "deflated": _whole(lambda r: zlib.compress(_good(r)), extra="Content-Encoding: deflate\r\n"),
    "echo_headers": _whole(lambda r: message(r, result=result_of(r, _heads(r)))),
    "echo_headers_error": _whole(lambda r: message(r, error={"code": -32000, "message": _heads(r)})),
    "echo_headers_stream": _echo_in_stream,
    "error": _whole(lambda r: message(r, error={"code": -32000, "message": "the server says no"})),
    "error_code_text": _whole(lambda r: message(r, error={"code": "no", "message": "x"})),
    "garbage": _raw(lambda _: b"\x00\x01\x02 this is not HTTP\r\n\r\n"),
    "hang": _hang,
    "hang_in_stream": _hang_in_stream,
    "late": _late,
    "huge": _whole(lambda r: message(r, result=result_of(r, "x" * 20_000_000))),
    "huge_header": _raw(lambda _: b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "input_required": _input_required,
    "interim_flood": _interim_flood,
    "is_error": _whole(lambda r: message(r, result={**result_of(r, "it failed"), "isError": True})),
    "many_headers": _raw(lambda _: b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000 + b"Content-Length: 0\r\n\r\n"),
    "missing_id": _whole(lambda r: json.dumps({"jsonrpc": "2.0", "result": result_of(r)}).encode()),
    "not_json": _whole(lambda _: b"<html>oops</html>", kind="application/json"),
    "not_mcp": _whole(lambda _: b"<html>oops</html>", kind="text/html"),
    "redirect_301": _redirect("301 Moved Permanently", "http://169.254.169.254/latest/meta-data/"),
    "redirect_302": _redirect("302 Found", "http://127.0.0.1:1/elsewhere"),
    "redirect_307": _redirect("307 Temporary Redirect", "/elsewhere"),
    "redirect_308": _redirect("308 Permanent Redirect", "file:///etc/passwd"),
    "result_and_error": _whole(lambda r: message(r, result=result_of(r), error={"code": 1, "message": "x"})),
    "server_request": _server_request,
    "sse": _sse,
    "status_401": _whole(lambda _: b"", status="401 Unauthorized", extra='WWW-Authenticate: Bearer realm="CANARY"\r\n'),
    "status_404": _whole(lambda _: b"", status="404 Not Found"),
    "status_500": _whole(lambda _: b"", status="500 Internal Server Error"),
    "status_503": _whole(lambda _: b"", status="503 Service Unavailable"),
    "trickle": _trickle,
    "twice": _raw(lambda r: http(_good(r)) + http(message(r, result=result_of(r, "CANARY-STRAY"))), close=False),
    "two_results": _raw(
        lambda r: (
            SSE_HEAD + chunk(event(_good(r))) + chunk(event(message(r, result=result_of(r, "again")))) + chunk(b"")
        ),
        close=False,
    ),
    "wrong_id": _whole(lambda r: message(r, id=987654, result=result_of(r))),
}
