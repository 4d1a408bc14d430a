"""The counters made again from the decision log, where a database has the log but not them.

Each row says what it charged, when and for how long; a call that never reached its server charged nothing. Done in
steps that may be done twice, so that a start which breaks off, and two that come together, do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Connection, exists, select

from policylayer.core.commands import Kind, OutcomeState
from policylayer.limits import counters
from policylayer.limits.counters import Name
from policylayer.limits.steady import Steady
from policylayer.limits.window import SECOND_US, Entry
from policylayer.policy.numbers import add
from policylayer.store.store import Store
from policylayer.store.tables import records

PAGE: Final = 2000
WRITTEN: Final = 500
KEPT: Final = 100_000
"""Entries in memory before those that are over are dropped."""

Entries = dict[tuple[Name, int], Entry]


async def ensure(store: Store, steady: Steady) -> int:
    """Make the counters where they have not been made; how many entries."""
    if await store.read(counters.is_complete):
        return 0
    found: Entries = {}
    after, latest = "", 0
    while page := await store.read(partial(_page, after=after)):
        after = page[-1][0]
        for _, text in page:
            latest = max(latest, _take(found, orjson.loads(text)))
        if len(found) > KEPT:
            found = {place: entry for place, entry in found.items() if entry.until_us > latest}
    steady.at_least(latest)
    living = [(name, entry) for (name, _), entry in found.items() if entry.until_us > steady.now_us()]
    for start in range(0, len(living), WRITTEN):
        await store.write(partial(counters.restore, made=living[start : start + WRITTEN]))
    await store.write(counters.complete)
    if living:
        structlog.get_logger().warning("counters were made from the decision log", entries=len(living))
    return len(living)


def _page(conn: Connection, after: str) -> list[tuple[str, str]]:
    """Rows that charged something and were not given back."""
    outcome = records.alias("outcome")
    never_sent = exists().where(
        outcome.c.parent == records.c.id,
        outcome.c.kind == Kind.OUTCOME.value,
        outcome.c.state == OutcomeState.NEVER_SENT.value,
    )
    query = (
        select(records.c.id, records.c.charges)
        .where(records.c.charges.is_not(None), records.c.id > after, ~never_sent)
        .order_by(records.c.id)
        .limit(PAGE)
    )
    return [(row.id, row.charges) for row in conn.execute(query)]


def _take(found: Entries, charges: Iterable[dict[str, Any]]) -> int:
    """Count what one row charged; the latest time in it."""
    latest = 0
    for each in charges:
        if "bucket" not in each or not Decimal(each["amount"]):
            continue
        name, bucket_us, at_us = (each["counter"], each["key"]), int(each["bucket"]), int(each["at"])
        before = found.get((name, bucket_us), Entry(bucket_us, Decimal(0), 0))
        until_us = max(before.until_us, at_us + int(each["window"]) * SECOND_US)
        found[name, bucket_us] = Entry(bucket_us, add(before.amount, Decimal(each["amount"])), until_us)
        latest = max(latest, at_us)
    return latest
