"""The counters' rows: read, charged and given back, by functions inside someone else's transaction.

One row an entry (`window.py`), under its counter and key. On PostgreSQL a row at time 0 is what concurrent charges of
one counter queue on, in key order, so that no two count the same room; SQLite has one writer. Must not know calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_, update

from policylayer.limits.window import Entry
from policylayer.policy.numbers import subtract
from policylayer.store.once import insert_new
from policylayer.store.tables import counters

Name: TypeAlias = tuple[str, str]
"""A counter and a key: what has entries of its own."""

QUEUE: Final = 0
"""The time of the row that charges queue on."""

SENTINEL: Final = ("", "")
"""Stands in the table once it holds what the decision log says was charged."""

NEVER_US: Final = (1 << 63) - 1

_CHANGE: Final = (
    update(counters)
    .where(
        counters.c.counter == bindparam("in_counter"),
        counters.c.key == bindparam("in_key"),
        counters.c.bucket_us == bindparam("at_us"),
    )
    .values(amount=bindparam("new_amount"), expires_us=bindparam("new_expires"))
)
_REMOVE: Final = delete(counters).where(
    counters.c.counter == bindparam("in_counter"),
    counters.c.key == bindparam("in_key"),
    counters.c.bucket_us == bindparam("at_us"),
)
_FIND: Final = select(counters.c.amount, counters.c.expires_us).where(
    counters.c.counter == bindparam("in_counter"),
    counters.c.key == bindparam("in_key"),
    counters.c.bucket_us == bindparam("at_us"),
)
_ENTRIES: Final = select(counters.c.bucket_us, counters.c.amount, counters.c.expires_us).where(
    counters.c.counter == bindparam("in_counter"),
    counters.c.key == bindparam("in_key"),
    counters.c.bucket_us > QUEUE,
)


def queue(conn: Connection, until: Mapping[Name, int]) -> None:
    """Wait until nobody else charges these; `until` is how long the rows that say so are needed."""
    if conn.dialect.name != "postgresql":
        return
    missing = set(until)
    while missing:
        missing -= _locked(conn, missing)
        if missing:
            rows = [_row(name, QUEUE, "0", until[name]) for name in sorted(missing)]
            conn.execute(insert_new(conn, counters), rows)


def _locked(conn: Connection, names: Collection[Name]) -> set[Name]:
    """The queue's rows that are there, held until the transaction ends."""
    query = (
        select(counters.c.counter, counters.c.key)
        .where(tuple_(counters.c.counter, counters.c.key).in_(sorted(names)), counters.c.bucket_us == QUEUE)
        .order_by(counters.c.counter, counters.c.key)
        .with_for_update()
    )
    return {(row.counter, row.key) for row in conn.execute(query)}


def entries(conn: Connection, name: Name) -> list[Entry]:
    """All entries, those that do not count any more too."""
    found = conn.execute(_ENTRIES, {"in_counter": name[0], "in_key": name[1]})
    return [Entry(at_us, Decimal(amount), until_us) for at_us, amount, until_us in found]


def insert(conn: Connection, made: Iterable[tuple[Name, Entry]]) -> None:
    """New entries."""
    rows = [_row(name, entry.at_us, str(entry.amount), entry.until_us) for name, entry in made]
    if rows:
        conn.execute(counters.insert(), rows)


def change(conn: Connection, name: Name, entry: Entry) -> None:
    """The entry of that time has this amount and end now."""
    values = {"new_amount": str(entry.amount), "new_expires": entry.until_us}
    if conn.execute(_CHANGE, {**_place(name, entry.at_us), **values}).rowcount != 1:
        raise LookupError("an entry went away under its lock")


def remove(conn: Connection, name: Name, times: Collection[int]) -> None:
    """These entries are not needed any more."""
    if times:
        conn.execute(_REMOVE, [_place(name, at_us) for at_us in times])


def give_back(conn: Connection, name: Name, at_us: int, amount: Decimal) -> None:
    """Take an amount out of the entry that it went into, unless that is gone."""
    queue(conn, {name: QUEUE})
    found = conn.execute(_FIND, _place(name, at_us)).one_or_none()
    if found is None:
        return
    left = subtract(Decimal(found.amount), amount)
    if left > 0:
        change(conn, name, Entry(at_us, left, found.expires_us))
    else:
        remove(conn, name, [at_us])


def restore(conn: Connection, made: Iterable[tuple[Name, Entry]]) -> None:
    """Entries that are to be there; those that are, stay as they are."""
    rows = [_row(name, entry.at_us, str(entry.amount), entry.until_us) for name, entry in made]
    conn.execute(insert_new(conn, counters), rows)


def expired(conn: Connection, now_us: int, most: int) -> Sequence[tuple[str, str, int]]:
    """Rows whose time is over."""
    query = select(counters.c.counter, counters.c.key, counters.c.bucket_us).where(counters.c.expires_us <= now_us)
    return [(row.counter, row.key, row.bucket_us) for row in conn.execute(query.limit(most))]


def prune(conn: Connection, now_us: int, most: int) -> int:
    """Remove rows whose time is over; how many."""
    found = expired(conn, now_us, most)
    if not found:
        return 0
    place = tuple_(counters.c.counter, counters.c.key, counters.c.bucket_us)
    # Said again: a row that was charged meanwhile is not over.
    conn.execute(delete(counters).where(place.in_(found), counters.c.expires_us <= now_us))
    return len(found)


def latest_us(conn: Connection) -> int:
    """The latest time that some process charged at."""
    return int(conn.scalar(select(func.coalesce(func.max(counters.c.bucket_us), 0))) or 0)


def is_complete(conn: Connection) -> bool:
    """Whether the table holds what the decision log says."""
    return conn.execute(_FIND, _place(SENTINEL, QUEUE)).one_or_none() is not None


def complete(conn: Connection) -> bool:
    """It does from now on; False where somebody else has said so."""
    return conn.execute(insert_new(conn, counters).values(_row(SENTINEL, QUEUE, "0", NEVER_US))).rowcount == 1


def _place(name: Name, at_us: int) -> dict[str, object]:
    return {"in_counter": name[0], "in_key": name[1], "at_us": at_us}


def _row(name: Name, at_us: int, amount: str, until_us: int) -> dict[str, object]:
    return {"counter": name[0], "key": name[1], "bucket_us": at_us, "amount": amount, "expires_us": until_us}
