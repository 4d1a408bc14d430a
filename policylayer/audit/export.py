"""The decision log as a stream: lines of JSON or CSV, and following what is written. Memory stays flat.

Reads in short pages by id, each a transaction of its own, so that a long export holds nobody up. Must not know where
the bytes go.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import orjson

from policylayer.audit.queries import EVERYTHING, Filters, Page, first_id, oldest_first
from policylayer.clock import Clock
from policylayer.store.store import Store

PAGE: Final = 500

COLUMNS: Final = (
    *("id", "kind", "parent", "time", "principal", "for", "grant", "server", "method", "target", "effect", "enforced"),
    *("would", "reason_code", "reason", "rules", "revision", "arguments", "digest", "approval_id"),
    *("outcome_state", "outcome_at", "outcome_latency_us", "latency_us"),
)
"""Of a CSV export."""

OVERLAP_US: Final = 5_000_000
"""Rows of several writers do not become visible in the order of their ids: so far back is looked again."""

POLL: Final = 0.3


async def jsonl(store: Store, filters: Filters = EVERYTHING) -> AsyncIterator[bytes]:
    """One decision a line, oldest first."""
    async for page in _pages(store, filters):
        yield b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in page.items)


async def as_csv(store: Store, filters: Filters = EVERYTHING) -> AsyncIterator[bytes]:
    """A header, then one decision a line, oldest first."""
    yield _csv_lines([COLUMNS])
    async for page in _pages(store, filters):
        yield _csv_lines([_flat(item) for item in page.items])


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


def _flat(item: dict[str, Any]) -> list[object]:
    outcome = item["outcome"] or {}
    special = {
        "rules": " ".join(f"{rule['policy']}/{rule['rule']}" for rule in item["rules"]),
        "arguments": None if item["arguments"] is None else orjson.dumps(item["arguments"]).decode(),
        "outcome_state": outcome.get("state"),
        "outcome_at": outcome.get("at"),
        "outcome_latency_us": outcome.get("latency_us"),
    }
    return [_inert(special[name] if name in special else item[name]) for name in COLUMNS]


def _inert(value: object) -> object:
    """A text that a spreadsheet would take for a formula, so that it does not; control characters written out."""
    if not isinstance(value, str):
        return value
    printable = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in value)
    return f"'{printable}" if printable[:1] in ("=", "+", "-", "@") else printable


def _csv_lines(rows: list[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
