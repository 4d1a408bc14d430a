"""The caller: N keep-alive connections, each with one request under way, every answer checked.

`python -m benchmarks.load` reads one job (JSON) per line and prints one result per line, so that rounds alternate
between targets without starting anything anew. Closed loop by default; `rate` (calls/s) makes it an open one, where
latency counts from the moment a call was due. A list of jobs is one measurement of latency: one caller, whose calls go
to each job's target in turn, so that whatever disturbs the machine disturbs all of them alike.
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
    """One measurement. `seconds` of load after `warm` seconds that are not counted.

    `sessions`: of the handshake era, shared out among callers. `expects` must be in every answer, `refuses` in none.
    """

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
    sessions: list[str] = field(default_factory=list)
    rate: float = 0.0
    method: str = "tools/call"
    expects: str = ""
    refuses: str = ""

    def head(self, caller: int) -> bytes:
        """The head of each request of a caller, but for its length."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            f"mcp-protocol-version: {self.era}",
        ]
        if self.era == MODERN:
            lines += [f"mcp-method: {self.method}"]
            lines += [f"mcp-name: {self.tool}"] if self.method == "tools/call" else []
        lines += [f"authorization: Bearer {self.token}"] if self.token else []
        lines += [f"mcp-session-id: {self.sessions[caller % len(self.sessions)]}"] if self.sessions else []
        return "\r\n".join(lines).encode()

    def body(self, number: int) -> bytes:
        """The body of one request."""
        if self.method == "tools/call":
            return call_body(number, self.tool, self.padding, self.era)
        return list_body(number, self.era)

    def is_right(self, number: int, head: bytes, body: bytes) -> bool:
        """Whether this answers that request."""
        expected = self.expects.encode() or (MARK if self.method == "tools/call" else b'"tools"')
        if b" 200 " not in head[:16] or expected not in body or (self.refuses and self.refuses.encode() in body):
            return False
        return b'"id":%d' % number in body.replace(b": ", b":")


@dataclass
class Tally:
    """What happened. Latencies in seconds."""

    start: float
    end: float
    last: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    example: str = ""

    def wrong(self, what: str) -> None:
        """One more error."""
        self.errors += 1
        self.example = what

    def told(self, seconds: float, missing: int = 0) -> dict[str, Any]:
        """The result."""
        ordered = sorted(self.latencies)
        count = len(ordered)
        p50, p99 = (ordered[min(int(q * count), count - 1)] * 1e6 if count else 0.0 for q in (0.5, 0.99))
        return {
            "calls": count,
            "per_second": count / seconds,
            "p50_us": p50,
            "p99_us": p99,
            "errors": self.errors + missing,
            "example": self.example,
        }


class Caller(asyncio.Protocol):
    """One connection that calls again as soon as it is answered."""

    def __init__(self, job: Job, tally: Tally, number: int, done: asyncio.Future[None]) -> None:
        self.job, self.tally, self.number, self.done = job, tally, number * 1_000_000, done
        self.head = job.head(number)
        self.due = 0.0

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
            self.due = self.due + self.job.callers / self.job.rate if self.due else self.first(now)
            if self.due > now:
                loop = asyncio.get_running_loop()
                loop.call_at(loop.time() + self.due - now, self.fire)
                return
        self.fire()

    def first(self, now: float) -> float:
        """When the first call is due: callers are spread over the time between two calls of one of them."""
        return now + (self.number // 1_000_000 - 1) / self.job.rate

    def fire(self) -> None:
        self.number += 1
        body = self.job.body(self.number)
        self.sent = self.due if self.job.rate else time.perf_counter()
        self.transport.write(b"%b\r\ncontent-length: %d\r\n\r\n%b" % (self.head, len(body), body))

    def data_received(self, data: bytes) -> None:
        self.cutter.buffer += data
        message = self.cutter.cut()
        if message is None:
            return
        self.answered(*message, time.perf_counter())

    def answered(self, head: bytes, body: bytes, now: float) -> None:
        if self.sent >= self.tally.start:
            self.check(head, body, now)
        self.send()

    def check(self, head: bytes, body: bytes, now: float) -> None:
        if self.job.is_right(self.number, head, body):
            self.tally.latencies.append(now - self.sent)
            self.tally.last = now
        else:
            self.tally.wrong((head[:200] + b" | " + body[:300]).decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done() and time.perf_counter() < self.tally.end:
            self.tally.wrong(f"connection lost: {exc!r}")
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
    # Calls under way at the end are waited for, and their time counts too: of a slow target they are many.
    return tally.told(max(job.seconds, tally.last - tally.start), sum(not end.done() for end in ends))


class Turns(Caller):
    """One connection that calls when it is its turn."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.cutter = Cutter(bytearray())

    async def turn(self) -> None:
        """One call, answered."""
        self.turned = asyncio.get_running_loop().create_future()
        self.fire()
        await asyncio.wait_for(self.turned, 30)

    def answered(self, head: bytes, body: bytes, now: float) -> None:
        self.check(head, body, now)
        self.turned.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if hasattr(self, "turned") and not self.turned.done():
            self.turned.set_exception(ConnectionError(f"connection lost: {exc!r}"))


async def interleaved(jobs: list[Job]) -> list[dict[str, Any]]:
    """One call to each target in turn, every other round backwards, for as long as the first job says."""
    loop = asyncio.get_running_loop()
    turns = []
    for job in jobs:
        tally = Tally(0.0, float("inf"))
        made = lambda job=job, tally=tally: Turns(job, tally, 1, loop.create_future())  # noqa: E731
        _, each = await loop.create_connection(made, job.host, job.port)
        turns.append(each)
    for each in turns:
        for _ in range(20):
            await each.turn()
        each.tally.latencies.clear()
    begun, order = time.perf_counter(), turns
    while time.perf_counter() < begun + jobs[0].seconds or not turns[0].tally.latencies:
        for each in order:
            await each.turn()
        order = order[::-1]
    for each in turns:
        each.finish()
    return [each.tally.told(time.perf_counter() - begun) for each in turns]


async def main() -> None:
    """One job a line, one result a line."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        if isinstance(asked, list):
            print(json.dumps(await interleaved([Job(**each) for each in asked])), flush=True)
        else:
            print(json.dumps(await measure(Job(**asked))), flush=True)


__all__ = ["HANDSHAKE", "Job", "interleaved", "measure"]

if __name__ == "__main__":
    uvloop.run(main())
