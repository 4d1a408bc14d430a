"""An insert that does nothing where a unique index says that the row is there already; for both databases.

Whoever uses it looks at the number of rows: 1, it was new. Must not know any table.
"""

from __future__ import annotations

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(conn: Connection, table: Table) -> Insert:
    """The statement, in the words of the connection's database."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
