"""An insert that does nothing where a unique index says that the row is there already; for both databases.

Whoever uses it looks at the number of rows: 1, it was new. Loads the words of one database, not of both. Must not know
any table.
"""

from __future__ import annotations

from sqlalchemy import Connection, Insert, Table


def insert_new(conn: Connection, table: Table) -> Insert:
    """The statement, in the words of the connection's database."""
    if conn.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table).on_conflict_do_nothing()
