"""PostgreSQL: what the proxy's role needs, and not more: it may add records, never change or remove one.

The tables' owner migrates; the proxy runs as another role, to which the owner grants these. Must not connect.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from policylayer.store.schema import STAMP
from policylayer.store.tables import metadata, records


def statements(role: str) -> tuple[str, ...]:
    """What the owner runs for `role`."""
    name = '"' + role.replace('"', '""') + '"'
    others = ", ".join(table for table in metadata.tables if table != records.name)
    return (
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"GRANT SELECT, INSERT ON records TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {others} TO {name}",
        f"GRANT SELECT ON {STAMP} TO {name}",
    )


def may_create(connection: Connection) -> bool:
    """Whether this role owns the tables: then it makes partitions too."""
    return bool(
        connection.scalar(
            text("SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'records'::regclass")
        )
    )
