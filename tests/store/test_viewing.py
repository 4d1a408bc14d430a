"""Looking into a database beside whoever writes it: nothing made, nothing changed, and refused where it is none."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable, ConfigError
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from policylayer.store.viewing import is_there, open_view
from tests.store.conftest import KEYS

pytestmark = pytest.mark.anyio


def rows(connection: Connection) -> int:
    """How many records there are."""
    return int(connection.execute(text("SELECT count(*) FROM records")).scalar_one())


async def test_a_running_proxys_database_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    serve = SqliteStore(path, KEYS, Clock(), Program("serve"))
    await serve.start()
    try:
        view = await open_view(f"sqlite:///{path}")
        before = await view.read(rows)
        digest = hashlib.sha256(path.read_bytes()).digest()
        with pytest.raises(AuditUnavailable, match="attempt to write a readonly database"):
            await view.read(lambda connection: connection.execute(text("DELETE FROM meta")))
        assert await view.read(rows) == before  # no chain was opened, as a second writer's is
        await serve.write(lambda connection: connection.execute(text("INSERT INTO meta VALUES ('a', 'b')")))
        told = await view.read(lambda connection: connection.execute(text("SELECT value FROM meta")).scalars().all())
        assert "b" in told
        await view.close()
        assert hashlib.sha256(path.read_bytes()).digest() == digest
    finally:
        await serve.close()
    after = await open_view(f"sqlite:///{path}")
    assert await after.read(rows) == before
    await after.close()


async def test_where_there_is_none_none_is_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    assert not is_there(url)
    with pytest.raises(AuditUnavailable, match="there is no database") as refused:
        await open_view(url)
    assert "policylayer serve" in refused.value.help
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "error", "said"),
    [
        ("SELECT 1", AuditUnavailable, "the database is empty"),
        ("CREATE TABLE other (x)", ConfigError, "none of policylayer's making"),
        (
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('0000')",
            ConfigError,
            "0000",
        ),
    ],
)
async def test_what_is_no_log_is_refused(tmp_path: Path, statement: str, error: type[Exception], said: str) -> None:
    path = tmp_path / "other.db"
    path.touch()
    raw = sqlite3.connect(path)
    raw.executescript(statement)
    raw.close()
    with pytest.raises(error, match=said):
        await open_view(f"sqlite:///{path}")


async def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database " * 100)
    with pytest.raises(AuditUnavailable, match="file is not a database"):
        await open_view(f"sqlite:///{path}")


async def test_a_postgresql_that_is_not_there() -> None:
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    assert is_there("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(AuditUnavailable, match="the database cannot be read"):
        await open_view("postgresql://nobody@127.0.0.1:1/none")
