"""Refused input, recorded one by one while it is little, and counted when it is much, so that nobody floods the log.

Must not know why input is refused. Each source (a principal, else an address) has so many rows a window, all sources
together some more; what goes beyond is one row a window, with counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.tasks import spawn

WINDOW: Final = 10.0
"""Seconds."""

EACH: Final = 20
TOGETHER: Final = 200
NAMED: Final = 50
"""Sources that an aggregate names; the others are counted together."""

OTHERS: Final = "others"

WriteEvent = Callable[[str, str | None, Mapping[str, Any]], Awaitable[None]]


class Rejections:
    """Counts per source and window."""

    def __init__(self, clock: Clock, write: WriteEvent) -> None:
        self._clock = clock
        self._write = write
        self._begun = clock.monotonic()
        self._written: Counter[str] = Counter()
        self._beyond: Counter[tuple[str, str]] = Counter()
        self._named: set[str] = set()
        self._flush: asyncio.Task[None] | None = None

    async def add(self, type: str, who: str | None, detail: Mapping[str, Any]) -> None:
        """Write or count one. A log that does not answer changes nothing: the input is refused anyway."""
        if self._clock.monotonic() - self._begun >= WINDOW:
            await self.flush()
        source = who or str(detail.get("ip"))
        if self._written[source] < EACH and self._written.total() < TOGETHER:
            self._written[source] += 1
            await self._try(type, who, detail)
            return
        self._beyond[self._counted_as(source), str(detail.get("reason"))] += 1
        if self._flush is None:
            self._flush = spawn(self._flush_later(), "rejections-flush")

    def _counted_as(self, source: str) -> str:
        """What it is counted as: whoever has been named in this window stays so, whatever comes after."""
        if source not in self._named and len(self._named) >= NAMED:
            return OTHERS
        self._named.add(source)
        return source

    async def flush(self) -> None:
        """Begin a new window; write what the old one only counted."""
        beyond, self._beyond = self._beyond, Counter()
        self._written.clear()
        self._named.clear()
        self._begun = self._clock.monotonic()
        if beyond:
            counts = [{"source": source, "reason": reason, "count": n} for (source, reason), n in beyond.items()]
            await self._try("rejected.many", None, {"total": beyond.total(), "counts": counts})

    async def close(self) -> None:
        """Write what was only counted."""
        if self._flush is not None:
            self._flush.cancel()
            await asyncio.gather(self._flush, return_exceptions=True)
        await self.flush()

    async def _flush_later(self) -> None:
        await asyncio.sleep(WINDOW)
        self._flush = None
        await self.flush()

    async def _try(self, type: str, who: str | None, detail: Mapping[str, Any]) -> None:
        try:
            await self._write(type, who, detail)
        except AuditUnavailable as error:
            structlog.get_logger().warning("a refusal could not be recorded", error=error.message)
