"""The decision log as a stream: lines of JSON or CSV, and following what is written. Memory stays flat.

Reads in short pages by id, each a transaction of its own, so that a long export holds nobody up. Must not know where
the bytes go, nor what a line looks like (`forms.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from policylayer.audit import forms
from policylayer.audit.queries import EVERYTHING, Filters, Page, first_id, oldest_first
from policylayer.clock import Clock
from policylayer.store.store import Store

PAGE: Final = 500

OVERLAP_US: Final = 5_000_000
"""Rows of several writers do not become visible in the order of their ids: so far back is looked again."""

POLL: Final = 0.3


async def jsonl(store: Store, filters: Filters = EVERYTHING) -> AsyncIterator[bytes]:
    """One decision a line, oldest first."""
    async for page in _pages(store, filters):
        yield forms.jsonl(page.items)


async def as_csv(store: Store, filters: Filters = EVERYTHING) -> AsyncIterator[bytes]:
    """A header, then one decision a line, oldest first."""
    yield forms.csv_header()
    async for page in _pages(store, filters):
        yield forms.csv_lines(page.items)


async def follow(
    store: Store, clock: Clock, filters: Filters = EVERYTHING, *, begin_us: int | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Decisions as they are written, from now or from `begin_us` on; ends only with its consumer."""
    since = clock.time_us() if begin_us is None else begin_us
    seen: set[str] = set()
    while True:
        after = first_id(since)
        async for page in _pages(store, filters, after):
            for item in page.items:
                if item["id"] not in seen:
                    seen.add(item["id"])
                    yield item
        since = max(since, clock.time_us() - OVERLAP_US)
        seen = {row_id for row_id in seen if row_id > after}
        await asyncio.sleep(POLL)


async def _pages(store: Store, filters: Filters, after: str | None = None) -> AsyncIterator[Page]:
    while True:
        page = await store.read(partial(oldest_first, filters=filters, limit=PAGE, after=after))
        if page.items:
            yield page
        if page.next is None:
            return
        after = page.next
