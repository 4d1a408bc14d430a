"""The store on SQLite as its users see it: durable before told, isolated items, topics, refusals."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable, ConfigError
from policylayer.keys import Keys
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Add, Program
from policylayer.store.tables import meta, records
from policylayer.store.viewing import SqliteView
from tests.store.conftest import KEYS
from tests.store.written import row

pytestmark = pytest.mark.anyio
Sql = Callable[..., list[tuple[Any, ...]]]


async def test_a_row_is_in_the_file_when_its_caller_is_told(store: SqliteStore, sql: Sql) -> None:
    one = row(principal="agent:x", arguments='{"a":1}')
    await store.append((one,))
    assert sql("SELECT principal, arguments FROM records WHERE id = ?", one.id) == [("agent:x", '{"a":1}')]


async def test_rows_are_numbered_in_the_order_they_were_handed_over(store: SqliteStore, sql: Sql) -> None:
    rows = [row(reason=str(number)) for number in range(300)]
    await asyncio.gather(*(store.append((one,)) for one in rows))
    found = sql("SELECT seq, id FROM records WHERE kind = 'decision' ORDER BY seq")
    assert [name for _, name in found] == [one.id for one in rows]
    assert [seq for seq, _ in found] == list(range(2, 302))


async def test_a_conflict_fails_its_caller_and_nobody_else(store: SqliteStore, sql: Sql) -> None:
    rows = [row() for _ in range(40)]
    results = await asyncio.gather(
        *(store.append((one,)) for one in [*rows[:20], rows[3], *rows[20:]]), return_exceptions=True
    )
    failed = [number for number, result in enumerate(results) if result is not None]
    assert failed == [20]
    assert sql("SELECT count(*), max(seq) FROM records WHERE kind = 'decision'") == [(40, 41)]


async def test_rows_of_one_item_are_written_all_or_none(store: SqliteStore, sql: Sql) -> None:
    one, two = row(), row()
    with pytest.raises(Exception, match="UNIQUE"):
        await store.append((one, two, one))
    assert sql("SELECT count(*) FROM records WHERE kind = 'decision'") == [(0,)]
    await store.append((one, two))


async def test_a_function_that_raises_undoes_itself_and_its_rows_only(store: SqliteStore, sql: Sql) -> None:
    def good(connection: Connection) -> str:
        connection.execute(insert(meta).values(name="good", value="1"))
        return "done"

    def bad(connection: Connection, add: Add) -> None:
        connection.execute(insert(meta).values(name="bad", value="1"))
        add(row())
        raise KeyError("its own")

    before, after = row(), row()
    results = await asyncio.gather(
        store.append((before,)), store.record(bad), store.write(good), store.append((after,)), return_exceptions=True
    )
    assert isinstance(results[1], KeyError)
    assert (results[0], results[2], results[3]) == (None, "done", None)
    assert sql("SELECT name FROM meta WHERE name IN ('good', 'bad')") == [("good",)]
    assert sql("SELECT id, seq FROM records WHERE kind = 'decision' ORDER BY seq") == [(before.id, 2), (after.id, 3)]


async def test_a_function_may_catch_a_conflict_in_its_own_savepoint(store: SqliteStore) -> None:
    def twice(connection: Connection) -> int:
        connection.execute(insert(meta).values(name="once", value="1"))
        try:
            with connection.begin_nested():
                connection.execute(insert(meta).values(name="once", value="2"))
        except IntegrityError:
            return 1
        return 2

    assert await store.write(twice) == 1
    value = await store.read(lambda connection: connection.scalar(select(meta.c.value).where(meta.c.name == "once")))
    assert value == "1"


async def test_a_read_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(AuditUnavailable):
        await store.read(lambda connection: connection.execute(insert(meta).values(name="x", value="1")))


async def test_subscribers_hear_of_our_changes_and_of_others(store: SqliteStore, path: Path) -> None:
    heard = asyncio.Event()
    undo = store.subscribe("approvals", heard.set)
    await store.write(lambda connection: None, topics=("approvals",))
    await asyncio.wait_for(heard.wait(), 5)
    heard.clear()
    other = SqliteStore(path, KEYS, Clock(), Program("approvals"))
    await other.start()
    await other.append((row(),))
    await asyncio.wait_for(heard.wait(), 5)
    await other.close()
    undo()
    heard.clear()
    await store.write(lambda connection: None, topics=("approvals",))
    assert not heard.is_set()


async def test_a_second_serve_is_refused_by_the_holders_number(store: SqliteStore, path: Path) -> None:
    with pytest.raises(ConfigError, match=f"served by process {os.getpid()}"):
        await SqliteStore(path, KEYS, Clock()).start()


async def test_the_lock_is_free_again_after_closing(path: Path) -> None:
    for _ in range(2):
        store = SqliteStore(path, KEYS, Clock())
        await store.start()
        await store.close()


async def test_a_database_begun_with_another_key_is_refused(store: SqliteStore, path: Path) -> None:
    await store.close()
    other = os.urandom(32)
    with pytest.raises(ConfigError, match="the key is not the one"):
        await SqliteStore(path, Keys([other]), Clock()).start()
    rotated = SqliteStore(path, Keys([other, bytes(range(32))]), Clock())
    await rotated.start()
    await rotated.close()
    again = SqliteStore(path, Keys([other]), Clock())
    await again.start()
    await again.close()


async def test_another_schema_is_refused_with_the_command_to_run(store: SqliteStore, path: Path, sql: Sql) -> None:
    await store.close()
    sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(ConfigError) as refused:
        await SqliteStore(path, KEYS, Clock()).start()
    assert "policylayer migrate" in refused.value.help


async def test_the_file_is_its_owners_only(store: SqliteStore, path: Path) -> None:
    await store.append((row(),))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


async def test_a_folder_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        await SqliteStore(tmp_path / "none" / "log.db", KEYS, Clock()).start()


@pytest.mark.parametrize("statement", ["UPDATE records SET reason = 'x'", "DELETE FROM records"])
async def test_records_cannot_be_changed_or_removed(store: SqliteStore, statement: str) -> None:
    await store.append((row(),))
    with pytest.raises(IntegrityError, match="append-only"):
        await store.write(lambda connection: connection.exec_driver_sql(statement))
    count = await store.read(lambda connection: len(connection.execute(select(records.c.id)).all()))
    assert count == 2


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path, KEYS, Clock())
    with pytest.raises(AuditUnavailable):
        await store.append((row(),))
    await store.start()
    await store.close()
    await store.close()
    with pytest.raises(AuditUnavailable):
        await store.read(lambda connection: None)


async def test_a_link_to_the_file_leads_to_the_same_lock(store: SqliteStore, path: Path) -> None:
    other = path.with_name("other.db")
    other.symlink_to(path)
    with pytest.raises(ConfigError, match="served by process"):
        await SqliteStore(other, KEYS, Clock()).start()


@pytest.mark.shows("audit.1")
async def test_a_file_with_a_second_name_is_refused_whoever_opens_it(store: SqliteStore, path: Path) -> None:
    """Each name would have a lock and a WAL of its own."""
    other = path.with_name("other.db")
    await store.append((row(),))
    os.link(path, other)
    for name in ("serve", "policylayer grant create"):
        with pytest.raises(ConfigError, match="has another name"):
            await SqliteStore(other, KEYS, Clock(), Program(name)).start()
    with pytest.raises(ConfigError, match="has another name"):
        SqliteView(other)
    with pytest.raises(AuditUnavailable, match="second name"):
        await store.append((row(),))
    other.unlink()
    await asyncio.sleep(0.3)
    await store.append((row(),))


async def test_a_lock_that_cannot_be_opened_is_said_plainly(path: Path) -> None:
    path.with_name("log.db.lock").symlink_to(path.with_name("elsewhere"))
    with pytest.raises(ConfigError, match="the lock"):
        await SqliteStore(path, KEYS, Clock()).start()


async def test_a_folder_in_the_files_place_is_said_plainly(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be opened"):
        await SqliteStore(path, KEYS, Clock()).start()


async def test_a_file_that_is_no_database_is_said_plainly(path: Path) -> None:
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(ConfigError, match="not a database"):
        await SqliteStore(path, KEYS, Clock()).start()
