"""The proxy inside this process: real parts from the first byte to the last, between a caller and a server in memory.

For counting what a call costs without the noise of sockets and processes. `Inside` is a started service with 100 rules
and a SQLite file; `run` sends calls over some connections at once and checks each answer. Parts can be replaced one by
one (`without`), which is how the cost of each stage is found. Must not know how anything is counted
(`instructions.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from uvicorn.server import ServerState

from benchmarks.ours import PRINCIPAL, SERVER, policies, write_config
from benchmarks.wire import MARK, MODERN, call_body
from policylayer import backstage
from policylayer.app import Service
from policylayer.audit.context import CallContext
from policylayer.clock import Clock
from policylayer.config import load
from policylayer.core.call import Question
from policylayer.core.commands import Record, Recorded, RecordOutcome
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.identity import grants
from policylayer.proxy import patience
from policylayer.serve.http_protocol import StrictHttpProtocol
from policylayer.serve.server import Hooks, Listen, settings, settle_memory
from policylayer.store import soon
from policylayer.upstream.faces import Plain
from policylayer.upstream.interface import Exchange

ID = re.compile(rb'"id":(\d+)')
ANSWER = b',"result":{"resultType":"complete","content":[{"type":"text","text":"%b%b"}],"isError":false}}' % (
    MARK,
    b"-" * 700,
)
TOOLS = (
    b'{"jsonrpc":"2.0","id":"policylayer","result":{"resultType":"complete","ttlMs":3600000,"cacheScope":"private",'
    b'"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}}'
)


class Server:
    """A server in memory."""

    name = SERVER

    async def exchange(self, exchange: Exchange) -> Plain:
        """The answer to any call."""
        found = ID.search(exchange.body)
        # The proxy's own question, asked once: which tools there are.
        body = b'{"jsonrpc":"2.0","id":' + found[1] + ANSWER if found else TOOLS
        return Plain(200, {"content-type": "application/json"}, body)

    async def close(self) -> None:
        """Nothing is open."""


class NoPolicy:
    """Allows everything."""

    revision = "none"
    decision = Decision(Effect.ALLOW, ReasonCode.RULE, Effect.ALLOW, "none")

    async def decide(self, question: Question) -> Decision:
        """Allowed."""
        return self.decision

    async def listed(self, question: Question) -> bool:
        """Listed."""
        return True

    def reads(self, server: str, method: str, target: str | None) -> None:
        """Not known."""


class NoLog:
    """Writes nothing."""

    async def record(self, cmd: Record, context: CallContext, decide_us: int | None = None) -> Recorded:
        """Forgotten."""
        return Recorded("row")

    async def outcome(self, cmd: RecordOutcome) -> Recorded:
        """Forgotten."""
        return Recorded("row")

    async def event(self, *what: Any) -> None:
        """Forgotten."""

    async def rejected(self, *what: Any) -> None:
        """Forgotten."""


class CalmClock(Clock):
    """For whom little time passes, so that what is looked after by time is no part of what is counted."""

    def monotonic(self) -> float:
        """A thousandth of the time."""
        return super().monotonic() / 1000


class Upstreams:
    """One server in memory."""

    def __init__(self) -> None:
        self._server = Server()

    def get(self, name: str) -> Server:
        """It, whatever its name."""
        return self._server


class Wire(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.more = asyncio.Event()

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += data
        self.more.set()

    def is_closing(self) -> bool:
        """Never by itself."""
        return False

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Nothing is open."""

    async def answer(self) -> bytes:
        """The bytes of the next whole answer."""
        while MARK not in self.written:
            await self.more.wait()
            self.more.clear()
            if b" 200 " not in self.written[:20]:
                raise RuntimeError(self.written[:500].decode())
        answer, self.written = self.written, b""
        return answer


@dataclass
class Inside:
    """A started proxy."""

    service: Service
    token: str
    protocol: Any
    number: int = 0

    def without(self, *parts: str) -> None:
        """Put a stand-in for `policy` or `log` in its place."""
        leave_out(self.service, parts)

    async def run(self, calls: int, callers: int) -> None:
        """So many calls, by so many callers at once."""
        each = calls // callers
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._caller(each))

    async def _caller(self, calls: int) -> None:
        wire = Wire()
        protocol = self.protocol()
        protocol.connection_made(wire)
        for _ in range(calls):
            self.number += 1
            protocol.data_received(request(self.number, self.token))
            answer = await wire.answer()
            assert b'"id":%d,' % self.number or answer
        protocol.connection_lost(None)


def leave_out(service: Service, parts: Iterable[str]) -> None:
    """Put a stand-in for `policy` or `log` in its place."""
    deps = service.endpoint.deps
    if "policy" in parts:
        deps.engine = cast(Any, NoPolicy())
    if "log" in parts:
        deps.recorder = cast(Any, NoLog())


def request(number: int, token: str) -> bytes:
    """One call."""
    body = call_body(number, "echo", 1024, MODERN)
    head = (
        f"POST /mcp/{SERVER} HTTP/1.1\r\nhost: 127.0.0.1:80\r\ncontent-type: application/json\r\n"
        "accept: application/json, text/event-stream\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n"
        f"mcp-protocol-version: {MODERN}\r\nauthorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def inside(folder: Path, rules: int = 100) -> AsyncIterator[Inside]:
    """Start one in an empty folder."""
    policies(folder / "policies", rules)
    config = write_config(folder, 9, f"sqlite:///{folder / 'policylayer.db'}")
    # A counted program is slow: nothing in it is to take long, or to run out of patience.
    backstage.Clock = CalmClock  # type: ignore[misc]
    soon.PATIENCE = patience.LONG = 600.0  # type: ignore[misc]
    service = Service(load(config), "http://127.0.0.1:80")
    await service.start()
    settle_memory()
    try:
        store, clock = service.backstage.store, service.backstage.clock
        _, token = await store.write(
            lambda connection: grants.create(connection, clock, "bench", PRINCIPAL, frozenset({SERVER}), None)
        )
        service.endpoint.deps.upstreams = cast(Any, Upstreams())
        config_of_server = settings(service.app, Listen("127.0.0.1", 0), Hooks())
        kind = cast("type[StrictHttpProtocol]", config_of_server.http_protocol_class)
        yield Inside(service, token, lambda: kind(config_of_server, ServerState(), {}))
    finally:
        await service.close()
