"""The caller: N keep-alive connections, each with one request under way, every answer checked.

`python -m benchmarks.load` reads one job (JSON) per line and prints one result per line, so that rounds alternate
between targets without starting anything anew. Closed loop by default; `rate` (calls/s) makes it an open one, where
latency counts from the moment a call was due.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.wire import HANDSHAKE, MARK, MODERN, Cutter, call_body, list_body


@dataclass
class Job:
    """One measurement. `seconds` of load after `warm` seconds that are not counted."""

    host: str
    port: int
    path: str
    callers: int = 1
    seconds: float = 2.0
    warm: float = 0.3
    tool: str = "echo"
    padding: int = 1024
    era: str = MODERN
    token: str = ""
    session: str = ""
    rate: float = 0.0
    method: str = "tools/call"


@dataclass
class Tally:
    """What happened. Latencies in seconds."""

    start: float
    end: float
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    example: str = ""


class Caller(asyncio.Protocol):
    """One connection that calls again as soon as it is answered."""

    def __init__(self, job: Job, tally: Tally, number: int, done: asyncio.Future[None]) -> None:
        self.job, self.tally, self.number, self.done = job, tally, number * 1_000_000, done
        self.head = self.headers()

    def headers(self) -> bytes:
        job = self.job
        lines = [
            f"POST {job.path} HTTP/1.1",
            f"host: {job.host}:{job.port}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            f"mcp-protocol-version: {job.era}",
        ]
        if job.era == MODERN:
            lines += [f"mcp-method: {job.method}"] + ([f"mcp-name: {job.tool}"] if job.method == "tools/call" else [])
        lines += [f"authorization: Bearer {job.token}"] if job.token else []
        lines += [f"mcp-session-id: {job.session}"] if job.session else []
        return "\r\n".join(lines).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.cutter = Cutter(bytearray())
        self.send()

    def send(self) -> None:
        now = time.perf_counter()
        if now >= self.tally.end:
            self.finish()
            return
        if self.job.rate:
            self.due = max(getattr(self, "due", now) + self.job.callers / self.job.rate, self.tally.start - 9e9)
            if self.due > now:
                asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + self.due - now, self.fire)
                return
        self.fire()

    def fire(self) -> None:
        self.number += 1
        job = self.job
        body = (
            call_body(self.number, job.tool, job.padding, job.era)
            if job.method == "tools/call"
            else list_body(self.number, job.era)
        )
        self.sent = self.due if job.rate else time.perf_counter()
        self.transport.write(b"%b\r\ncontent-length: %d\r\n\r\n%b" % (self.head, len(body), body))

    def data_received(self, data: bytes) -> None:
        self.cutter.buffer += data
        message = self.cutter.cut()
        if message is None:
            return
        now = time.perf_counter()
        if self.sent >= self.tally.start:
            self.check(*message, now)
        self.send()

    def check(self, head: bytes, body: bytes, now: float) -> None:
        expected = MARK if self.job.method == "tools/call" else b'"tools"'
        if b" 200 " in head[:16] and b'"id":%d' % self.number in body.replace(b": ", b":") and expected in body:
            self.tally.latencies.append(now - self.sent)
        else:
            self.tally.errors += 1
            self.tally.example = (head[:200] + b" | " + body[:300]).decode(errors="replace")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done() and time.perf_counter() < self.tally.end:
            self.tally.errors += 1
            self.tally.example = f"connection lost: {exc!r}"
        self.finish()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
            self.transport.close()


async def measure(job: Job) -> dict[str, Any]:
    """One measurement."""
    loop = asyncio.get_running_loop()
    now = time.perf_counter()
    tally = Tally(now + job.warm, now + job.warm + job.seconds)
    ends = [loop.create_future() for _ in range(job.callers)]
    for number, end in enumerate(ends):
        await loop.create_connection(lambda n=number, e=end: Caller(job, tally, n + 1, e), job.host, job.port)
    await asyncio.wait(ends, timeout=job.seconds + job.warm + 10)
    ordered = sorted(tally.latencies)
    count = len(ordered)
    pick = lambda q: ordered[min(int(q * count), count - 1)] * 1e6 if count else 0.0  # noqa: E731
    return {
        "calls": count,
        "per_second": count / job.seconds,
        "p50_us": pick(0.5),
        "p99_us": pick(0.99),
        "errors": tally.errors + sum(not end.done() for end in ends),
        "example": tally.example,
    }


async def main() -> None:
    """One job a line, one result a line."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await measure(Job(**json.loads(line)))), flush=True)


__all__ = ["HANDSHAKE", "Job", "measure"]

if __name__ == "__main__":
    uvloop.run(main())
