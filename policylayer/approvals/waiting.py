"""Calls that wait for their approval, in this process: woken when it is settled, without a query for each.

One task looks for all of them together, whenever the store says that approvals changed, and once a second in any case.
It runs only while somebody waits. Must not know how long a client may wait, nor what a settled approval means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, or_, select

from policylayer.approvals import rows
from policylayer.approvals.rows import Row
from policylayer.clock import Clock
from policylayer.core.approval import State
from policylayer.core.errors import AuditUnavailable
from policylayer.store.store import Store
from policylayer.store.tables import approvals
from policylayer.tasks import spawn

POLL: Final = 1.0
"""Seconds between looks when nothing was heard."""

CHUNK: Final = 500
"""Approvals asked for in one query."""

Judge = Callable[[str], int]
"""The time by which to judge an approval."""


class Waiting:
    """Who waits for which approval."""

    def __init__(self, store: Store, clock: Clock, judge: Judge) -> None:
        self._store = store
        self._clock = clock
        self._judge = judge
        self._waits: dict[str, set[asyncio.Future[Row]]] = {}
        self._wake = asyncio.Event()
        self._all = False
        self._new: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def count(self, approval_id: str) -> int:
        """How many calls of this process wait for it."""
        return len(self._waits.get(approval_id, ()))

    def changed(self) -> None:
        """Look soon: some approval was settled, here or elsewhere."""
        self._all = True
        self._wake.set()

    async def settled(self, approval_id: str, deadline: float) -> Row | None:
        """The approval's row once it is not pending any more; None when the (monotonic) deadline passes first."""
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._waits.setdefault(approval_id, set()).add(future)
        # It may have been settled before we came; everybody who came with us is looked up in the same query.
        self._new.add(approval_id)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = spawn(self._watch(), "approvals-waiting")
        try:
            async with asyncio.timeout(max(deadline - self._clock.monotonic(), 0)):
                return await future
        except TimeoutError:
            return None
        finally:
            self._leave(approval_id, future)

    async def close(self) -> None:
        """End the task; whoever still waits is left to its own deadline."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _leave(self, approval_id: str, future: asyncio.Future[Row]) -> None:
        waits = self._waits.get(approval_id, set())
        waits.discard(future)
        if not waits:
            self._waits.pop(approval_id, None)
            if not self._waits:
                self._wake.set()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + POLL
        while self._waits:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._all |= loop.time() >= due
            if self._all:
                due = loop.time() + POLL
            await self._look()

    async def _look(self) -> None:
        """Wake the calls whose approvals are settled: of all, or of those that came since the last look."""
        ids = list(self._waits if self._all else self._new & self._waits.keys())
        self._all = False
        self._new.clear()
        self._wake.clear()
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            try:
                found = await self._store.read(partial(self._settled, ids=chunk))
            except AuditUnavailable as error:
                structlog.get_logger().warning("approvals cannot be read", error=error.message)
                return  # all are looked at again when the poll is due
            for row in found:
                for future in self._waits.get(row["id"], ()):
                    if not future.done():
                        future.set_result(row)

    def _settled(self, conn: Connection, *, ids: Sequence[str]) -> list[Row]:
        """Those of `ids` that are not pending any more, by their state or by the time."""
        latest = max(self._judge(each) for each in ids)
        over = or_(approvals.c.state != State.PENDING, approvals.c.expires_us <= latest)
        found = rows.fetch(conn, select(approvals).where(approvals.c.id.in_(ids), over))
        return [row for row in found if rows.state_at(row, self._judge(row["id"])) is not State.PENDING]
