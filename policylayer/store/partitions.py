"""PostgreSQL: the decision log cut by months, along the time inside its ids, so that old months can go as a whole.

Partitions are made some months ahead; what falls outside lands in the default one, and is found there all the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text

from policylayer.clock import uuid7

AHEAD: Final = 4
"""Months, the current one included."""


def ensure(connection: Connection, now_us: int, ahead: int = AHEAD) -> list[str]:
    """Make the partitions of this month and the next ones that are not there yet; which were made.

    A month whose rows are in the default partition already stays there: PostgreSQL refuses to split it, and nothing
    depends on it.
    """
    there = set(
        connection.scalars(
            text(
                "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
                " WHERE inhparent = 'records'::regclass"
            )
        )
    )
    made = []
    for year, month in _months(now_us, ahead):
        name = f"records_{year:04}_{month:02}"
        if name in there or _in_default(connection, year, month):
            continue
        following = (year, month + 1) if month < 12 else (year + 1, 1)
        bounds = f"FROM ('{first_id(year, month)}') TO ('{first_id(*following)}')"
        connection.exec_driver_sql(f"CREATE TABLE {name} PARTITION OF records FOR VALUES {bounds}")
        connection.exec_driver_sql(
            f"CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()"
        )
        made.append(name)
    return made


def first_id(year: int, month: int) -> str:
    """The smallest id of a month."""
    return uuid7(int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 4_000_000)


def _months(now_us: int, ahead: int) -> list[tuple[int, int]]:
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    counted = [now.year * 12 + now.month - 1 + n for n in range(ahead)]
    return [(count // 12, count % 12 + 1) for count in counted]


def _in_default(connection: Connection, year: int, month: int) -> bool:
    following = (year, month + 1) if month < 12 else (year + 1, 1)
    found = connection.scalar(
        text("SELECT 1 FROM ONLY records_default WHERE id >= :first AND id < :after LIMIT 1"),
        {"first": first_id(year, month), "after": first_id(*following)},
    )
    return found is not None
