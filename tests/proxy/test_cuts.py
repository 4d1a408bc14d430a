"""The same bytes, cut in other places, come to the same: over the real connection and endpoint, with fakes behind them.

Every request here is good or a little spoilt; each is fed whole, and then in pieces, with the proxy given time between
them or none. Answers, what reached the server, and what was recorded are alike. One difference is allowed: what follows
a request that was refused before its body had come is not read, be it good or bad, and the refusal says so
(`connection: close`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import pytest
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from policylayer.serve.head import Heads
from policylayer.serve.http_protocol import StrictHttpProtocol
from tests.attacks.messages import ERAS, call, headers, message, notification
from tests.proxy.fakes import DENY
from tests.proxy.rig import Rig
from tests.support.mutants import cut, spoil
from tests.support.raw_http import chunked, request
from tests.support.sizes import sized

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]

TURNS = 60
"""Turns of the event loop after which everything that the fakes answer has been answered."""


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.paused = self.closed = self.half = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        assert not self.half, "written after the end"
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Config:
    """As much of uvicorn's as a connection needs."""

    def __init__(self, app: Any) -> None:
        self.loaded_app = app


@dataclass
class Played:
    """What came of it: answers (status, body, whether it is the last), the server's requests, what was recorded."""

    answers: list[tuple[int, bytes, bool]] = field(default_factory=list)
    reached: list[bytes] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    refused: list[tuple[str, str | None]] = field(default_factory=list)
    framing: list[str] = field(default_factory=list)


async def play(parts: list[bytes], patient: bool) -> Played:
    """A connection that brings these pieces."""
    rig, played, transport = Rig(), Played(), Transport()
    rig.engine.says["danger"] = DENY
    rig.deps.tools.learn("shop", {"tools": [{"name": "safe"}, {"name": "danger"}]})

    def refused(reason: str, peer: str | None) -> None:
        played.framing.append(reason)

    made = type("Made", (StrictHttpProtocol,), {"heads": Heads(), "on_refused": staticmethod(refused)})
    protocol: StrictHttpProtocol = made(cast(Any, Config(rig.endpoint)), ServerState(), {})
    protocol.connection_made(transport)
    for part in parts:
        if patient or transport.paused:
            await settle()
        if transport.closed:
            break
        protocol.data_received(part)
    await settle()
    protocol.connection_lost(None)
    await settle()
    played.answers = answers(bytes(transport.written))
    played.reached = [each.body for each in rig.upstream.sent]
    played.recorded = rig.recorder.effects
    played.refused = rig.recorder.refused
    calls = sum(b"tools/call" in each for each in played.reached)
    assert calls <= played.recorded.count("allow"), "a call has reached the server without a row"
    return played


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def answers(written: bytes) -> list[tuple[int, bytes, bool]]:
    """The answers in what was written; each is whole."""
    found = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        status = int(lines[0].split()[1])
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if status >= 200:
            found.append((status, rest[:length], b"connection: close" in lines))
        written = rest[length:]
        assert len(rest) >= length
    return found


def good(random: Random) -> bytes:
    """One good request."""
    era = random.choice(ERAS)
    name = random.choice(("safe", "danger"))
    body, method = random.choice(
        (
            (call(b'"%b"' % name.encode(), b'{"a":[1,2.5,"\\u00e9"]}', era), "tools/call"),
            (message("tools/list", era=era), "tools/list"),
            (message("ping"), "ping"),
            (notification("notifications/cancelled", b'"requestId":9'), "notifications/cancelled"),
        )
    )
    era = "modern" if b"2026-07-28" in body else "handshake"
    fields = headers(random.choice(("alice", "alice", "bob", "nobody")), era, method, name)
    if random.random() < 0.2:
        fields.append(("Transfer-Encoding", "chunked"))
        return request("POST", "/mcp/shop", fields, chunked([body[:20], body[20:]]), length=False)
    return request(random.choice(("POST",) * 8 + ("GET", "PUT")), "/mcp/shop", fields, body)


def assert_alike(whole: Played, parts: Played, why: object) -> None:
    """Alike, up to an answer that ended the connection; of two reasons to refuse the last, either may be told."""
    count = min(len(whole.answers), len(parts.answers))
    for one, other in zip(whole.answers[:count], parts.answers[:count], strict=True):
        if one[:2] != other[:2]:
            assert one[0] >= 400 <= other[0], why
            assert one[2], why
            assert other[2], why
            assert whole.reached == parts.reached, why
            return
    for mine, other in ((whole, parts), (parts, whole)):
        if len(mine.answers) < len(other.answers):
            assert mine.answers, why
            assert mine.answers[-1][2], why
            assert mine.reached == other.reached[: len(mine.reached)], why
            return
    assert whole.reached == parts.reached, why
    assert (whole.recorded, whole.refused) == (parts.recorded, parts.refused), why
    if not any(last for _, _, last in (*whole.answers, *parts.answers)):
        assert whole.framing == parts.framing, why


@pytest.mark.parametrize("seed", range(4))
async def test_how_bytes_are_cut_changes_nothing(seed: int) -> None:
    random = Random(seed)
    statuses = set()
    with capture_logs() as logs:
        for number in range(sized(120, 20_000)):
            data = b"".join(good(random) for _ in range(random.randint(1, 4)))
            if random.random() < 0.7:
                data = spoil(random, data)
            pieces, patient = cut(random, data), random.random() < 0.5
            whole, parts = await play([data], patient=False), await play(pieces, patient)
            assert_alike(whole, parts, (seed, number, data, pieces, patient, whole, parts))
            statuses |= {status for status, _, _ in whole.answers}
    assert max(statuses) < 500
    assert {200, 400, 401} <= statuses
    assert not [each for each in logs if each["log_level"] == "error"]


async def test_every_place_to_cut_a_pipeline() -> None:
    """A good call, a denied one, one in chunks, and one that is refused: cut in two at every byte."""
    random = Random(0)
    fields = headers("alice", "handshake")
    data = b"".join(
        (
            request("POST", "/mcp/shop", fields, call()),
            request("POST", "/mcp/shop", fields, call(b'"danger"')),
            request("POST", "/mcp/shop", [*fields, ("transfer-encoding", "chunked")], chunked([call()]), length=False),
            request("POST", "/mcp/shop", fields, call(id=b"1.5")),
            b"POST /mcp/shop HTTP/1.1\nHost: a\n\n",
        )
    )
    whole = await play([data], patient=False)
    assert [status for status, _, _ in whole.answers] == [200, 200, 200, 400, 400]
    for at in range(1, len(data)):
        parts = await play([data[:at], data[at:]], patient=random.random() < 0.5)
        assert parts == whole, at
