"""The decision log in pages of rows as they are stored, newest first: for asking a million of them again.

Only the columns that replaying reads, and none of what is made of a row to show it (`shown.py`). Goes by the id before
which a page begins, so each page is a short read of its own, and rows that are written meanwhile are not seen. Must not
know what is asked of the rows.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Select

from policylayer.audit.queries import Filters, where
from policylayer.policy.recorded import Kept
from policylayer.store.tables import records

PAGE: Final = 2_000
COLUMNS: Final = tuple(records.c[name] for name in Kept._fields)


def newest(connection: Connection, filters: Filters, before: str | None, size: int) -> list[Kept]:
    """The rows before the id `before` (None: from the newest on), at most so many."""
    query: Select[Any] = where(filters).with_only_columns(*COLUMNS).order_by(records.c.id.desc()).limit(size)
    if before is not None:
        query = query.where(records.c.id < before)
    return list(map(Kept._make, connection.execute(query).all()))


def seen(connection: Connection, filters: Filters, most: int) -> list[tuple[str, str, str | None, str]]:
    """Who called which tool: principal, server, for whom, tool; each once."""
    columns = (records.c.principal, records.c.server, records.c.on_behalf_of, records.c.target)
    query = where(filters).where(records.c.target.is_not(None)).with_only_columns(*columns).distinct().limit(most)
    return [(who or "", server or "", user, target) for who, server, user, target in connection.execute(query)]
