"""Making a fresh database, and refusing one of another schema, without alembic: `serve` must not have to import it.

What is made here equals what the migrations make, stamp included; a test compares them. The tables are in `tables.py`,
the migrations' runner in `migrate.py`. Must not change an existing schema.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, text

from policylayer.core.errors import ConfigError
from policylayer.store.tables import metadata

HEAD: Final = "0001"
"""The newest migration."""

STAMP: Final = "alembic_version"

APPEND_ONLY: Final = {
    "sqlite": (
        "CREATE TRIGGER records_no_update BEFORE UPDATE ON records "
        "BEGIN SELECT RAISE(ABORT, 'records are append-only'); END",
        "CREATE TRIGGER records_no_delete BEFORE DELETE ON records "
        "BEGIN SELECT RAISE(ABORT, 'records are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION records_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'records are append-only'; END $$",
        # For each row, since only such triggers are inherited by partitions.
        "CREATE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records "
        "FOR EACH ROW EXECUTE FUNCTION records_append_only()",
        "CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records "
        "FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()",
        "CREATE TABLE records_default PARTITION OF records DEFAULT",
        "CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records_default "
        "FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()",
    ),
}
"""What refuses to change or remove a record, in each database's words."""


def prepare(connection: Connection) -> None:
    """Make the schema in an empty database; refuse one that is not at `HEAD`. To be called in a transaction."""
    found = version(connection)
    if found is None:
        create(connection)
    elif found != HEAD:
        raise ConfigError(
            f"the database has schema `{found}`, this version needs `{HEAD}`",
            "run `policylayer migrate -c FILE`" if found < HEAD else "run the version of policylayer that made it",
        )


def version(connection: Connection) -> str | None:
    """The schema's version; None for an empty database. One whose tables are not known to be ours is refused."""
    tables = set(inspect(connection).get_table_names())
    if STAMP in tables:
        found = connection.scalar(text(f"SELECT version_num FROM {STAMP}"))
        if found is None and tables != {STAMP}:
            raise ConfigError(
                f"the database holds tables, but `{STAMP}` does not say of which schema",
                "restore it from a backup, or name an empty database in `database`",
            )
        return None if found is None else str(found)
    if tables:
        raise ConfigError(
            "the database holds tables, but none of policylayer's making", "name an empty database in `database`"
        )
    return None


def create(connection: Connection) -> None:
    """All tables, triggers and the stamp."""
    metadata.create_all(connection)
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    columns = f"version_num VARCHAR(32) NOT NULL, CONSTRAINT {STAMP}_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {STAMP} ({columns})"))
    connection.execute(text(f"INSERT INTO {STAMP} (version_num) VALUES (:head)"), {"head": HEAD})
