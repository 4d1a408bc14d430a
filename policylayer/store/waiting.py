"""What waits for the writer: bounded in number, size and time, and told its end exactly once.

Lives on the event loop; a writer takes items elsewhere (a thread, a task) and hands them back to `finish`. Must not
know a database. An item that comes back durable after its caller was told otherwise is reported as late, never
forgotten.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.store.meter import Meter
from policylayer.store.rows import Row
from policylayer.store.store import Limits, Told, Topic

SWEEP: Final = 0.2
"""Seconds between looks for items that waited too long, while any waits."""

ROW_SIZE: Final = 1024
"""What a row holds besides its arguments, about."""


class Item:
    """One caller's wish: rows to append, or a function to run (with or without `Add`). Slots, not frozen: it travels.

    `rows` of a function are those it added. The writer sets `result` or `error`; the loop owns `future`, which somebody
    waits for, or else calls `told` when it is over.
    """

    __slots__ = ("adds", "error", "fn", "future", "result", "rows", "since", "size", "told", "topics")

    def __init__(
        self,
        rows: tuple[Row, ...] = (),
        fn: Callable[..., Any] | None = None,
        adds: bool = True,
        topics: tuple[Topic, ...] = (),
        told: Told | None = None,
    ) -> None:
        self.rows = rows
        self.told = told
        self.fn = fn
        self.adds = adds
        self.topics = topics
        self.result: Any = None
        self.error: BaseException | None = None
        self.size = ROW_SIZE
        for row in rows:
            self.size += ROW_SIZE + len(row.arguments or "") + len(row.detail or "")
        self.since = 0.0
        self.future: asyncio.Future[Any] | None = None

    @property
    def given_up(self) -> bool:
        """Whether its caller has left."""
        return self.future is not None and self.future.done()


class Waiting:
    """The loop's side of the queue."""

    def __init__(
        self, limits: Limits, clock: Clock, hand_over: Callable[[Item], None], meter: Meter | None = None
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._hand_over = hand_over
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._sweeping = False
        self._late: list[Callable[[tuple[Row, ...]], None]] = []
        self._closed = False
        self._meter = meter or Meter()

    def submit(self, item: Item) -> asyncio.Future[Any]:
        """Queue an item; its future ends with the result, the item's own error, or `AuditUnavailable`."""
        self._take_in(item)
        future = item.future = self._loop.create_future()
        item.since = self._clock.monotonic()
        self._items.append(item)
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP, self._sweep)
        self._hand_over(item)
        return future

    def submit_later(self, item: Item) -> None:
        """Queue an item that nobody waits for; it may wait a little longer, for company. Raises `AuditUnavailable`."""
        self._take_in(item)
        self._hand_over(item)

    def _take_in(self, item: Item) -> None:
        if self._closed:
            raise AuditUnavailable("the database is closed")
        if self._meter.waiting >= self._limits.waiting or self._meter.waiting_bytes + item.size > self._limits.bytes:
            self._meter.shed += 1
            raise AuditUnavailable("too much waits for the database", "see whether its disk or server is slow")
        self._meter.waiting += 1
        self._meter.waiting_bytes += item.size

    def finish(self, items: Sequence[Item]) -> None:
        """Tell the callers of a batch how it ended."""
        callers = rows = failed = 0
        for item in items:
            self._meter.waiting -= 1
            self._meter.waiting_bytes -= item.size
            if item.error is None:
                callers += 1
                rows += len(item.rows)
            elif isinstance(item.error, AuditUnavailable) and not item.given_up:
                failed += 1
            self._tell(item)
        if callers or failed:
            self._meter.failing = not callers
        self._meter.committed(callers, rows)

    def _tell(self, item: Item) -> None:
        future, error = item.future, item.error
        if future is None:
            if item.told is not None:
                item.told(item.rows, error)
        elif future.done():
            if error is None and item.rows:
                self.report_late(item.rows)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(item.result)

    def on_late(self, callback: Callable[[tuple[Row, ...]], None]) -> None:
        """Whom to tell of late rows."""
        self._late.append(callback)

    def report_late(self, rows: tuple[Row, ...]) -> None:
        """Rows are durable, and their callers do not know."""
        for callback in self._late:
            callback(rows)

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    def _sweep(self) -> None:
        """Give up on what waited too long; the writer skips what it has not begun."""
        oldest = self._clock.monotonic() - self._limits.patience
        items = self._items
        while items and (items[0].given_up or items[0].since < oldest):
            item = items.popleft()
            if item.future is not None and not item.future.done():
                self._meter.shed += 1
                self._meter.failing = True
                item.future.set_exception(
                    AuditUnavailable("the database did not answer in time", "see whether its disk or server is slow")
                )
        self._sweeping = bool(items)
        if self._sweeping:
            self._loop.call_later(SWEEP, self._sweep)
