"""The streams that are open to agents: kept awake, and closed when their caller may no longer have them.

Once a second, and at once after a change of policy, grants or freezes, each stream's right to be open is asked for
again. A stream that is not allowed any more is stopped; its own code then ends it. Where nobody can be asked, because
the database is away, streams may stay for a few seconds: it may just be starting again, and calls that were sent wait
for their answers. One task for all streams. Must not know what a stream carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from policylayer.core.errors import AuditUnavailable
from policylayer.proxy.downstream import Downstream
from policylayer.proxy.limits import Limits
from policylayer.proxy.metrics import Metrics
from policylayer.proxy.sessions import Owner
from policylayer.tasks import keep_on, spawn
from policylayer.wire import sse

PING: Final = sse.comment("ping")

UNSURE: Final = 3.0
"""Seconds for which a stream may stay open though nobody could be asked whether it may."""

AGAIN: Final = 0.5
"""Seconds until they are looked after again where that failed."""


class TooManyStreams(Exception):
    """The caller has as many streams open as it may."""


@dataclass(slots=True, eq=False)
class OpenStream:
    """One stream. `allowed` asks again whether it may be open; `stop` ends it, once, since it may not.

    `let_go` ends it because the program does, so that its client comes back; where there is none, `stop` does that too.
    `ends`: it is an answer under way, which has an end of its own. `unsure_since` is the time on the loop's clock since
    when nobody could be asked.
    """

    owner: Owner
    down: Downstream
    allowed: Callable[[], Awaitable[bool]]
    stop: Callable[[], None]
    let_go: Callable[[], None] | None = None
    ends: bool = False
    pinging: asyncio.Task[None] | None = field(default=None)
    unsure_since: float | None = field(default=None)


class Streams:
    """All open streams. `start` before the first, `release` when the end begins, `close` at the end."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._open: set[OpenStream] = set()
        self._owners: dict[Owner, int] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Begin to look after them."""
        self._task = spawn(keep_on(self._look_after, "open streams cannot be looked after", AGAIN), "open streams")

    def release(self) -> None:
        """The program is to end: stop what would stay open, now and from now on. Answers under way are waited for."""
        self._ending = True
        for stream in tuple(self._open):
            if not stream.ends:
                (stream.let_go or stream.stop)()

    async def close(self) -> None:
        """Stop every stream, and looking after them."""
        for stream in tuple(self._open):
            stream.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def changed(self) -> None:
        """Policy, grants or freezes have changed: ask now."""
        self._changed.set()

    @contextmanager
    def opened(self, stream: OpenStream, capped: bool = True) -> Iterator[None]:
        """For as long as it is open. Raises `TooManyStreams` where it is `capped` and the caller has too many."""
        self.enter(stream, capped)
        try:
            yield
        finally:
            self.leave(stream, capped)

    def enter(self, stream: OpenStream, capped: bool = True) -> None:
        """It is open. Raises `TooManyStreams` where it is `capped` and the caller has too many."""
        if capped:
            count = self._owners.get(stream.owner, 0)
            if count >= self._limits.streams_per_owner:
                raise TooManyStreams
            self._owners[stream.owner] = count + 1
        if not self._open:
            self._changed.set()
        self._open.add(stream)
        if self._ending and not stream.ends:
            asyncio.get_running_loop().call_soon(stream.let_go or stream.stop)

    def leave(self, stream: OpenStream, capped: bool = True) -> None:
        """It is not any more."""
        self._open.discard(stream)
        if capped:
            self._owners[stream.owner] -= 1
            if not self._owners[stream.owner]:
                del self._owners[stream.owner]
        if stream.pinging is not None:
            stream.pinging.cancel()

    async def _look_after(self) -> None:
        with suppress(TimeoutError):
            # With none open there is nothing to look after.
            async with asyncio.timeout(self._limits.recheck if self._open else None):
                await self._changed.wait()
        self._changed.clear()
        try:
            await self.recheck()
        except Exception:
            self._changed.set()
            raise

    async def recheck(self) -> None:
        """Ask for each stream whether it may stay open; stop those that may not."""
        now, away = asyncio.get_running_loop().time(), False
        for stream in tuple(self._open):
            # Where it did not answer for one, all others would wait for it too.
            allowed = None if away else await self._ask(stream)
            away = allowed is None
            if stream not in self._open:
                continue
            if allowed or (away and self._may_be_unsure(stream, now)):
                self._ping(stream)
            else:
                self._metrics.count("streams_closed")
                stream.stop()

    async def _ask(self, stream: OpenStream) -> bool | None:
        """Whether it may stay open; None where nobody can be asked."""
        try:
            allowed = await stream.allowed()
        except AuditUnavailable:
            return None
        except Exception:
            # Whoever cannot be shown to be allowed is not.
            structlog.get_logger().warning("an open stream could not be judged", exc_info=True)
            return False
        stream.unsure_since = None
        return allowed

    def _may_be_unsure(self, stream: OpenStream, now: float) -> bool:
        """Whether it may stay for a moment longer, though nobody could be asked at `now`."""
        if stream.unsure_since is None:
            stream.unsure_since = now
        return asyncio.get_running_loop().time() - stream.unsure_since < UNSURE

    def _ping(self, stream: OpenStream) -> None:
        """Let an idle stream be heard; a reader that is stuck is not written to twice."""
        down = stream.down
        idle = asyncio.get_running_loop().time() - down.wrote_at >= self._limits.ping
        if down.begun and idle and (stream.pinging is None or stream.pinging.done()):
            stream.pinging = spawn(down.event(PING), "ping stream")
