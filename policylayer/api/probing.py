"""Whether the database can be written, for `/readyz`: as the last transactions went; where there were none, by trying.

Never waits for the database: a try is made beside, and seen by whoever asks next. Must not know HTTP.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy import Connection, update

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.store.store import Store
from policylayer.store.tables import meta
from policylayer.tasks import spawn

EACH: Final = 1.0
"""Seconds between tries."""


class Probing:
    """Asked again and again, by whoever decides whether calls come here."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._commits = -1
        self._next = 0.0
        self._trying: asyncio.Task[None] | None = None

    def writable(self) -> bool:
        """Whether the last transaction came through in time; where that is not known, a try begins."""
        meter = self._store.meter
        quiet = meter.commits == self._commits
        self._commits = meter.commits
        now = self._clock.monotonic()
        if (meter.failing or quiet) and self._trying is None and now >= self._next:
            self._next = now + EACH
            self._trying = spawn(self._try(meter.failing), "write-probe")
        return not meter.failing

    async def _try(self, failing: bool) -> None:
        """An empty transaction shows that we may write; after a failure something must be written, since a disk may be
        full."""
        try:
            await self._store.write(_touch if failing else _nothing)
        except AuditUnavailable:
            pass  # The store's meter knows.
        finally:
            self._trying = None


def _touch(connection: Connection) -> None:
    connection.execute(update(meta).where(meta.c.name == "key").values(value=meta.c.value))


def _nothing(_connection: Connection) -> None:
    return
