"""Keeps a held call waiting, as its era can: the Hold of `perform.py`.

Handshake clients: the POST is held open as a stream, with progress where they gave a token for it and comments where
not, at most `hold`. 2026-07-28: a long poll of at most `poll` seconds, after which `rounds.py` sends the client away
with a state to come back with. When the client goes away its wait ends; the approval stays. Must not know votes.
"""

from __future__ import annotations

import asyncio

import orjson

from policylayer.core.commands import Hold, Waited
from policylayer.proxy.rounds import Attempt
from policylayer.proxy.sessions import Request
from policylayer.proxy.streams import PING, OpenStream
from policylayer.proxy.visit import Visit
from policylayer.wire import sse

SMALL_STEP = 1e-6
"""Of progress: it must grow with each notification, and the server's own begins again near zero."""


class Holding:
    """The waiting of one request, however many approvals it waits for one after the other."""

    def __init__(self, visit: Visit, tried: Attempt, request: Request) -> None:
        self._visit = visit
        self._tried = tried
        self._request = request
        self._deadline: float | None = None
        self._beats = 0
        self._scope: asyncio.Timeout | None = None
        self.cancelled = False

    async def __call__(self, hold: Hold) -> Waited:
        """Wait for one approval."""
        visit, down = self._visit, self._visit.down
        if self._deadline is None:
            self._deadline = visit.deps.clock.monotonic() + self._seconds()
        try:
            async with asyncio.timeout(None) as scope:
                self._scope = scope
                undo = down.when_gone(self._leave)
                self._request.cancel = self._cancel
                try:
                    stream = OpenStream(visit.owner, down, visit.allowed, self._leave)
                    with visit.deps.load.left(visit.owner), visit.deps.streams.opened(stream, capped=False):
                        return await self._wait(hold, self._deadline)
                finally:
                    undo()
                    self._request.cancel = None
        except TimeoutError:
            if not scope.expired():
                raise
        return await self._left(hold.approval_id)

    async def _left(self, approval_id: str) -> Waited:
        """Why the wait ended before the approval did: its client left, or may not wait any more.

        A freeze and a revocation end the approval and the wait; what is told must not hang on which comes first.
        """
        if self.cancelled or self._visit.down.gone:
            return Waited("gone", approval_id)
        if self._visit.frozen() is not None:
            return Waited("frozen", approval_id)
        return Waited("gone" if await self._visit.known() else "revoked", approval_id)

    def _seconds(self) -> float:
        limits, tried = self._visit.deps.limits, self._tried
        if tried.message.era == "handshake":
            return limits.hold
        if tried.since_us is None:
            return min(limits.poll, limits.hold_modern)
        waited = (self._visit.deps.clock.time_us() - tried.since_us) / 1e6
        return max(0.0, min(limits.poll, limits.hold_modern - waited))

    async def _wait(self, hold: Hold, deadline: float) -> Waited:
        deps = self._visit.deps
        while True:
            await self._beat()
            until = min(deps.clock.monotonic() + deps.limits.beat, deadline)
            waited = await deps.approvals.wait(hold.approval_id, until)
            if waited.state != "pending" or deps.clock.monotonic() >= deadline:
                return waited

    async def _beat(self) -> None:
        """Let a handshake client hear that it waits."""
        if self._tried.message.era == "handshake" and self._visit.streams:
            self._beats += 1
            await self._visit.down.event(self._progress() or PING)

    def _progress(self) -> bytes | None:
        token = self._tried.message.progress_token
        if token is None:
            return None
        params = {"progressToken": token, "progress": self._beats * SMALL_STEP, "message": "waiting for approval"}
        told = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        return sse.encode(orjson.dumps(told), event="message")

    def _cancel(self) -> None:
        self.cancelled = True
        self._leave()

    def _leave(self) -> None:
        if self._scope is not None and self._scope.when() is None:
            self._scope.reschedule(0)
