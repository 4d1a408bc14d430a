"""Migrations: what they make is what a fresh start makes; up, down, and refused where it would be wrong."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from policylayer.clock import Clock
from policylayer.core.errors import ConfigError
from policylayer.store import schema
from policylayer.store.migrate import configuration, migrate, run
from policylayer.store.sqlite import SqliteStore
from policylayer.store.tables import metadata
from tests.store.conftest import KEYS

MASTER = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"


def fresh() -> Connection:
    return create_engine("sqlite://").connect()


def condition(index: Any) -> str:
    return str(sorted((name, str(value)) for name, value in index["dialect_options"].items()))


def described(connection: Connection) -> Any:
    """Everything that two schemas could differ in, whatever the spelling of their statements."""
    seen = inspect(connection)
    tables = {
        name: (
            [
                (c["name"], str(c["type"]), c["nullable"], c["default"], c["primary_key"])
                for c in seen.get_columns(name)
            ],
            sorted((i["name"], i["column_names"], i["unique"], condition(i)) for i in seen.get_indexes(name)),
            seen.get_pk_constraint(name)["constrained_columns"],
        )
        for name in seen.get_table_names()
    }
    triggers = [row for row in connection.execute(text(MASTER)) if row[0] == "trigger"]
    return tables, triggers


def meant_for_sqlite(item: Any, *_: object) -> bool:
    only = getattr(item, "_ddl_if", None)
    return only is None or only.dialect == "sqlite"


def test_there_is_one_head_and_the_program_knows_it() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [schema.HEAD]


def test_a_fresh_start_makes_what_the_migrations_make() -> None:
    with fresh() as made, fresh() as migrated:
        schema.create(made)
        assert run(migrated) == (None, schema.HEAD)
        assert described(made) == described(migrated)
        assert schema.version(made) == schema.version(migrated) == schema.HEAD


def test_the_migrations_make_what_the_tables_say() -> None:
    with fresh() as connection:
        run(connection)
        wanted = {"compare_type": True, "compare_server_default": True, "include_object": meant_for_sqlite}
        context = MigrationContext.configure(connection, opts=wanted)
        assert compare_metadata(context, metadata) == []


def test_down_again_leaves_nothing_but_the_stamp() -> None:
    with fresh() as connection:
        run(connection)
        assert run(connection, "base") == (schema.HEAD, None)
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert run(connection) == (None, schema.HEAD)


def test_a_revision_that_is_not_known_is_refused() -> None:
    with fresh() as connection, pytest.raises(ConfigError, match="there is no schema `9999`"):
        run(connection, "9999")


def test_a_database_from_the_future_is_refused() -> None:
    with fresh() as connection:
        run(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ConfigError, match="`9999`, which this version does not know"):
            run(connection)


def test_someone_elses_database_is_refused() -> None:
    with fresh() as connection:
        connection.execute(text("CREATE TABLE customers (id INTEGER)"))
        with pytest.raises(ConfigError, match="none of policylayer's making"):
            schema.prepare(connection)


def test_another_database_server_is_refused() -> None:
    with pytest.raises(ConfigError, match="`mysql` is not known"):
        migrate("mysql://somewhere/x")


@pytest.mark.anyio
async def test_a_migrated_file_is_served_and_not_migrated_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    assert migrate(f"sqlite:///{path}") == (None, schema.HEAD)
    store = SqliteStore(path, KEYS, Clock())
    await store.start()
    with pytest.raises(ConfigError, match="served by process"):
        migrate(f"sqlite:///{path}")
    await store.close()
    assert migrate(f"sqlite:///{path}") == (schema.HEAD, schema.HEAD)


def test_serving_does_not_import_alembic() -> None:
    code = "import sys, policylayer.store.sqlite, policylayer.audit.recorder; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_tables_without_a_word_of_which_schema_are_refused(tmp_path: Path) -> None:
    """Not with what SQL says of a table that is there already."""
    path = tmp_path / "log.db"
    migrate(f"sqlite:///{path}")
    raw = sqlite3.connect(path)
    raw.execute("DELETE FROM alembic_version")
    raw.commit()
    raw.close()
    with pytest.raises(ConfigError, match="`alembic_version` does not say of which schema"):
        migrate(f"sqlite:///{path}")
