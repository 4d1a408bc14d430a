"""What is kept in memory of a table, in step with the database: read at the start, and whenever it may have changed.

A change is told by the store (`Store.subscribe`); since a connection that was cut off tells nothing, what is kept is
believed for `FRESH` seconds after it was last read, or after the store had surely heard of all changes (`Store.heard`).
Whoever decides by it asks `stale` first, and refreshes. Must not know what is kept.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic

from sqlalchemy import Connection

from policylayer.core.errors import AuditUnavailable
from policylayer.store.soon import read_soon
from policylayer.store.store import Store, T, Topic
from policylayer.tasks import keep_on, spawn

FRESH: Final = 1.0
"""Seconds that are promised for a freeze, or a revocation, to be in force everywhere."""

RETRY: Final = 0.5
"""Seconds until it is read again after the database did not answer."""


class Followed(Generic[T]):
    """Reads by `read`, and hands what was read to `take`. `start` before the first use."""

    def __init__(
        self, store: Store, topic: Topic, read: Callable[[Connection], T], take: Callable[[T], object]
    ) -> None:
        self._store = store
        self._topic = topic
        self._read = read
        self._take = take
        self._wake = asyncio.Event()
        self._told = 0
        self._known = 0
        self._read_at = 0.0
        self._refreshing: asyncio.Task[AuditUnavailable | None] | None = None
        self._undo: Callable[[], None] | None = None
        self._time: Callable[[], float] = time.monotonic
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read, and follow changes."""
        self._time = asyncio.get_running_loop().time
        self._undo = self._store.subscribe(self._topic, self._tell)
        await self._look(self._store.read(self._read))
        self._task = spawn(keep_on(self._follow, f"{self._topic} cannot be read", RETRY), self._topic)

    async def close(self) -> None:
        """Stop following."""
        if self._undo is not None:
            self._undo()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def stale(self) -> bool:
        """Whether there may be a change that is older than `FRESH` and not known here."""
        known = self._read_at
        if self._known == self._told and (heard := self._store.heard) > known:
            known = heard
        return known != math.inf and self._time() - known > FRESH

    async def refresh(self) -> None:
        """Read now; whoever else wants that meanwhile waits for the same. Raises `AuditUnavailable`."""
        if self._refreshing is None:
            self._refreshing = spawn(self._refresh(), f"refresh {self._topic}")
            self._refreshing.add_done_callback(self._refreshed)
        failure = await asyncio.shield(self._refreshing)
        if failure is not None:
            raise failure

    async def _refresh(self) -> AuditUnavailable | None:
        try:
            await self._look(read_soon(self._store, self._read))
        except AuditUnavailable as error:
            return error
        return None

    def _refreshed(self, _task: object) -> None:
        self._refreshing = None

    async def _look(self, reading: Awaitable[T]) -> None:
        begun, told = asyncio.get_running_loop().time(), self._told
        found = await reading
        if begun >= self._read_at:
            # In this order: what could not be taken is not known.
            self._take(found)
            self._read_at, self._known = begun, told

    def _tell(self) -> None:
        self._told += 1
        self._wake.set()

    async def _follow(self) -> None:
        """One change."""
        await self._wake.wait()
        self._wake.clear()
        try:
            await self._look(self._store.read(self._read))
        except Exception:
            self._wake.set()
            raise


class Together:
    """Several, as one."""

    def __init__(self, followed: Sequence[Followed[Any]] = ()) -> None:
        self._followed = followed

    @property
    def stale(self) -> bool:
        """Whether one of them is."""
        for each in self._followed:  # noqa: SIM110 - asked twice a call, and a generator would cost more than the answer
            if each.stale:
                return True
        return False

    async def refresh(self) -> None:
        """Those that are."""
        for each in self._followed:
            if each.stale:
                await each.refresh()
