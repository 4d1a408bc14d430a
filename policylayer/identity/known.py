"""Credentials that were found good a moment ago, so that a call does not ask the database who is calling.

Keyed by the SHA-256 of the credential, bounded. Everything in it is checked against the database again after any change
of grants, and at the latest after a second; where the database does not answer, nobody is known. What was good when it
was last looked at is looked up again whatever its source has tried besides, since others may share its address. Must
not know what a row opens: `Kind` makes the caller of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.core.immutable import immutable
from policylayer.identity import kept
from policylayer.identity.credential import Presented
from policylayer.identity.kept import Row
from policylayer.identity.throttle import Throttle
from policylayer.store.soon import read_soon
from policylayer.store.store import Store
from policylayer.tasks import spawn

W = TypeVar("W")

FRESH: Final = 0.8
"""Seconds after which what is known is checked again before it is believed."""

REMEMBERED: Final = 8192
_CHUNK: Final = 500
_ATTEMPTS: Final = 3


@immutable
class Kind(Generic[W]):
    """Where one sort of credential is kept, and who is behind a row."""

    fetch: Callable[[Connection, Collection[str]], dict[str, Row]]
    who: Callable[[Row], W]


@immutable
class _Entry(Generic[W]):
    shown: Presented
    row_id: str
    who: W
    until_us: int


class Known(Generic[W]):
    """The credentials of one sort that were used of late."""

    def __init__(self, store: Store, clock: Clock, throttle: Throttle, kind: Kind[W]) -> None:
        self._store = store
        self._clock = clock
        self._throttle = throttle
        self._kind = kind
        self._entries: OrderedDict[bytes, _Entry[W]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._began_us, self._began = clock.time_us(), clock.monotonic()
        self._checked = self._began
        self._generation = 0
        self._checking: asyncio.Task[AuditUnavailable | None] | None = None
        self.used: dict[str, int] = {}

    async def find(self, shown: Presented, source: str | None) -> W | None:
        """Who shows this credential, or None."""
        if shown.hash in self._entries:
            await self.check()
        entry = self._entries.get(shown.hash) or await self._look_up(shown, source)
        if entry is None or entry.until_us <= self._now_us():
            return None
        if shown.hash in self._entries:
            self._entries.move_to_end(shown.hash)
        self.used[entry.row_id] = self._clock.time_us()
        return entry.who

    @property
    def any(self) -> bool:
        """Whether there is something to check."""
        return bool(self._entries)

    def forget(self) -> None:
        """Believe nothing any more: grants or tokens changed."""
        self._generation += 1
        self._entries.clear()

    async def check(self, age: float = FRESH) -> None:
        """Check all entries against the database, where that was not done for `age` seconds; once for all who ask."""
        if not self._entries:
            self._checked = self._clock.monotonic()
            return
        if self._clock.monotonic() - self._checked < age:
            return
        if self._checking is None or self._checking.done():
            self._checking = spawn(self._check(), "identity-check")
        # Shielded: one caller that goes away must not end the check for the others.
        failed = await asyncio.shield(self._checking)
        if failed is not None:
            raise failed

    async def _check(self) -> AuditUnavailable | None:
        """Check everything; the failure is returned, since several may wait for it."""
        began, shown = self._clock.monotonic(), [entry.shown for entry in self._entries.values()]
        for start in range(0, len(shown), _CHUNK):
            part = shown[start : start + _CHUNK]
            try:
                good = await read_soon(self._store, partial(self._read, part=part))
            except AuditUnavailable as error:
                return error
            for each in part:
                if each.hash not in good:
                    self._entries.pop(each.hash, None)
                elif each.hash in self._entries:
                    self._entries[each.hash] = good[each.hash]
        self._checked = began
        return None

    async def _look_up(self, shown: Presented, source: str | None) -> _Entry[W] | None:
        """Ask the database, unless this source has asked in vain too often."""
        if shown.hash not in self._good and self._throttle.blocked(source):
            return None
        for _ in range(_ATTEMPTS):
            generation = self._generation
            found = await read_soon(self._store, partial(self._read, part=[shown]))
            # A change that came while we read may not be in what we read.
            if generation == self._generation:
                break
        else:
            return None
        entry = found.get(shown.hash)
        if entry is None:
            self._good.pop(shown.hash, None)
            self._throttle.failed(source)
            return None
        self._good[shown.hash] = None
        self._good.move_to_end(shown.hash)
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        if not self._entries:
            self._checked = self._clock.monotonic()
        self._entries[shown.hash] = entry
        if len(self._entries) > REMEMBERED:
            self._entries.popitem(last=False)
        return entry

    def _read(self, conn: Connection, *, part: Iterable[Presented]) -> dict[bytes, _Entry[W]]:
        """Those of the credentials that somebody holds, by their hash."""
        found: dict[bytes, _Entry[W]] = {}
        now_us = self._now_us()
        rows = self._kind.fetch(conn, {shown.prefix for shown in part})
        for shown in part:
            row = rows.get(shown.prefix)
            until_us = kept.holder(row, shown, now_us)
            if row is not None and until_us is not None:
                found[shown.hash] = _Entry(shown, row["id"], self._kind.who(row), until_us)
        return found

    def _now_us(self) -> int:
        """The wall time, but never behind where it should be by now: a clock that is set back extends nothing."""
        elapsed = int((self._clock.monotonic() - self._began) * 1e6)
        return max(self._clock.time_us(), self._began_us + elapsed)
