"""Hears of other replicas' changes on PostgreSQL: LISTEN on a connection of its own, polling while that is down.

The same connection holds the lock by which others see that this replica lives (`lives.py`). Only transactions that
change approvals, grants, freezes, labels or the policy notify, never a batch of decisions: a notifying commit takes a
lock on the whole database. Must not know what a topic means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from policylayer.store.backend import connect, lock_number
from policylayer.store.lane import CHANNEL
from policylayer.store.store import TOPICS, Topic
from policylayer.tasks import spawn

POLL: Final = 0.5
"""Seconds between looks while nothing can be heard, and between attempts to listen again."""

ALIVE: Final = 0.4
"""Seconds between questions whether the connection still answers; one that is cut off says nothing by itself."""

PATIENCE: Final = 5.0
"""Seconds after which one that says nothing is given up."""


class Listening:
    """Calls `changed` with the topics that someone changed.

    `heard` is a time by the loop's clock until which all changes were surely heard of: an answer comes after all that
    was told before.
    """

    def __init__(
        self, engine: AsyncEngine, life: str, changed: Callable[[frozenset[Topic]], None], revived: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._number = lock_number(life)
        self._changed = changed
        self._revived = revived
        self._lived = False
        self.heard = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = spawn(self._run(), "store-listening")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:
                structlog.get_logger().warning("not listening to the database", error=str(error))
            # Whatever was missed meanwhile.
            self._changed(frozenset(TOPICS))
            await asyncio.sleep(POLL)

    async def _listen(self) -> None:
        connection, raw = await connect(self._engine)
        try:
            await raw.add_listener(CHANNEL, self._heard)
            self._changed(frozenset(TOPICS))
            lives = False
            while True:
                # Not waited for: the server may not have noticed yet that our last connection is gone.
                lives = lives or await self._live(raw)
                await asyncio.sleep(ALIVE)
                asked = asyncio.get_running_loop().time()
                async with asyncio.timeout(PATIENCE):
                    await raw.execute("SELECT 1")
                self.heard = asked
        finally:
            raw.terminate()
            with suppress(Exception):
                await connection.invalidate()

    async def _live(self, raw: Any) -> bool:
        """Take the lock; whether we have it. Tell when it is not the first time."""
        async with asyncio.timeout(PATIENCE):
            lives = bool(await raw.fetchval("SELECT pg_try_advisory_lock($1)", self._number))
        if lives and self._lived:
            self._revived()
        self._lived = self._lived or lives
        return lives

    def _heard(self, _connection: Any, _pid: int, _channel: str, topic: str) -> None:
        known = frozenset(each for each in TOPICS if each == topic)
        if known:
            self._changed(known)
