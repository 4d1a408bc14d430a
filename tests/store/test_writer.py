"""The writer under faults: fails closed, keeps nobody's row twice, and serves again by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from policylayer.audit.verify import verify
from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable, ConfigError
from policylayer.store import session as session_module
from policylayer.store.inserting import TOGETHER
from policylayer.store.rows import Row
from policylayer.store.session import Session, connect, create_file
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Limits, Program
from policylayer.store.tables import meta
from tests.store.conftest import KEYS
from tests.store.written import row, until_written

pytestmark = pytest.mark.anyio
Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
async def impatient(path: Path) -> AsyncIterator[SqliteStore]:
    """A store that gives up soon."""
    store = SqliteStore(path, KEYS, Clock(), Program(limits=Limits(waiting=8, bytes=64_000, patience=0.3)))
    await store.start()
    yield store
    await store.close()


def raw_of(store: SqliteStore) -> sqlite3.Connection:
    session = store._writer._session
    assert session is not None
    return session.raw


class Breaking:
    """Stands for a session's connection; some statements fail, before or after they are done."""

    def __init__(self, raw: sqlite3.Connection, word: str, code: int, *, after: bool = False) -> None:
        self._raw = raw
        self._word = word
        self._code = code
        self._after = after
        self.broken = 0

    def execute(self, statement: str, *values: Any) -> Any:
        if not statement.startswith(self._word):
            return self._raw.execute(statement, *values)
        self.broken += 1
        if self._after:
            self._raw.execute(statement, *values)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = self._code
        raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def break_statement(store: SqliteStore, word: str, code: int, *, after: bool = False) -> Breaking:
    session = store._writer._session
    assert session is not None
    broken = Breaking(session.raw, word, code, after=after)
    session.raw = broken  # type: ignore[assignment]
    return broken


@pytest.mark.shows("audit.1")
async def test_a_full_disk_fails_closed_and_serves_again_when_there_is_room(store: SqliteStore, sql: Sql) -> None:
    """R-05."""
    pages = raw_of(store).execute("PRAGMA page_count").fetchone()[0]
    raw_of(store).execute(f"PRAGMA max_page_count = {pages + 4}")
    results = []
    for _ in range(20):
        results += await asyncio.gather(store.append((row(arguments="x" * 4000),)), return_exceptions=True)
    failures = [result for result in results if result is not None]
    assert len(failures) > 10
    assert all(isinstance(failure, AuditUnavailable) and "full" in failure.message for failure in failures)
    assert sql("SELECT count(*) FROM records WHERE kind = 'decision'") == [(20 - len(failures),)]
    raw_of(store).execute("PRAGMA max_page_count = 1000000")
    await store.append((row(arguments="x" * 4000),))
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert sql("SELECT count(DISTINCT chain) FROM records") == [(1,)]
    assert sql("SELECT max(seq) - count(*) FROM records") == [(0,)]


@pytest.mark.shows("audit.1")
async def test_a_file_that_cannot_grow_fails_closed_and_serves_again(store: SqliteStore, sql: Sql) -> None:
    """R-05, by the operating system: writes beyond a size fail until the limit is lifted."""
    told: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        for _ in range(60):
            rows = [row(arguments="x" * 4000) for _ in range(5)]
            results = await asyncio.gather(*(store.append((one,)) for one in rows), return_exceptions=True)
            told += [one.id for one, result in zip(rows, results, strict=True) if result is None]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < len(told) < 300
    told.append((await until_written(store)).id)
    assert set(told) <= {name for (name,) in sql("SELECT id FROM records")}
    assert sql("PRAGMA integrity_check") == [("ok",)]
    report = await verify(store, KEYS)
    assert report.good, report.problems


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize(
    ("word", "rows"),
    [("INSERT", TOGETHER), ("BEGIN", TOGETHER + 1), ("INSERT", TOGETHER + 1), ("COMMIT", TOGETHER + 1)],
)
async def test_an_io_error_discards_the_connection_and_retries_nothing(
    store: SqliteStore, sql: Sql, word: str, rows: int
) -> None:
    """R-05: before anything is durable, every waiting caller is told; the next call is served by a new connection.

    Few rows go in by one statement, more by a transaction of several.
    """
    broken = break_statement(store, word, sqlite3.SQLITE_IOERR)
    results = await asyncio.gather(*(store.append((row(),)) for _ in range(rows)), return_exceptions=True)
    assert all(isinstance(result, AuditUnavailable) for result in results[:1])
    assert broken.broken == 1
    good = await until_written(store)
    found = sql("SELECT id FROM records WHERE kind = 'decision'")
    assert (good.id,) in found
    assert len(found) == 1 + sum(result is None for result in results)
    assert sql("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize(("word", "count"), [("INSERT", TOGETHER), ("COMMIT", TOGETHER + 1)])
async def test_a_commit_of_unknown_fate_is_read_back_before_anyone_is_told(
    store: SqliteStore, sql: Sql, word: str, count: int
) -> None:
    """The sync failed after the rows were there: they are, and their callers are told so."""
    broken = break_statement(store, word, sqlite3.SQLITE_IOERR, after=True)
    rows = [row() for _ in range(count)]
    results = await asyncio.gather(*(store.append((one,)) for one in rows), return_exceptions=True)
    present = {name for (name,) in sql("SELECT id FROM records WHERE kind = 'decision'")}
    assert [result is None for result in results] == [one.id in present for one in rows]
    assert present
    assert broken.broken == 1


@pytest.mark.shows("audit.1")
async def test_rows_of_unknown_fate_that_turn_up_later_are_reported(
    store: SqliteStore, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[Row] = []
    store.on_late(late.extend)
    broken = threading.Event()
    real = session_module.connect

    def refusing(path: Path, busy: float) -> sqlite3.Connection:
        if not broken.is_set():
            raise sqlite3.OperationalError("unable to open")
        return real(path, busy)

    monkeypatch.setattr(session_module, "connect", refusing)
    break_statement(store, "INSERT", sqlite3.SQLITE_IOERR, after=True)
    one = row()
    with pytest.raises(AuditUnavailable):
        await store.append((one,))
    assert late == []
    broken.set()
    await until_written(store)
    assert late == [one]
    assert (one.id,) in sql("SELECT id FROM records")


async def test_after_an_io_error_a_new_chain_says_where_the_old_one_ended(store: SqliteStore, sql: Sql) -> None:
    await store.append((row(),))
    break_statement(store, "INSERT", sqlite3.SQLITE_IOERR)
    await until_written(store)
    chains = [name for (name,) in sql("SELECT DISTINCT chain FROM records ORDER BY id")]
    assert len(chains) == 2
    assert store.own_chains() == tuple(chains)
    detail = sql("SELECT detail FROM records WHERE reason_code = 'chain.opened' AND chain = ?", chains[1])[0][0]
    assert f'"{chains[0]}":[2,' in detail


async def test_a_function_that_meets_an_io_error_fails_with_its_batch(store: SqliteStore, sql: Sql) -> None:
    def failing(connection: Any) -> None:
        connection.execute(insert(meta).values(name="a", value="1"))
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    results = await asyncio.gather(store.append((row(),)), store.write(failing), return_exceptions=True)
    assert all(isinstance(result, AuditUnavailable) for result in results)
    assert sql("SELECT count(*) FROM meta WHERE name = 'a'") == [(0,)]
    await until_written(store)


@pytest.mark.shows("audit.1")
async def test_a_slow_database_is_given_up_and_the_late_row_reported(impatient: SqliteStore, sql: Sql) -> None:
    """R-04: nobody waits for long, nothing unknown is left behind."""
    late: list[Row] = []
    impatient.on_late(late.extend)
    go = threading.Event()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold_up(_: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)

    one, two = row(), row()
    slow = asyncio.ensure_future(impatient.write(hold_up))
    first = asyncio.ensure_future(impatient.append((one,)))
    await begun.wait()
    second = asyncio.ensure_future(impatient.append((two,)))
    for waiting in (slow, first, second):
        with pytest.raises(AuditUnavailable, match="in time"):
            await waiting
    go.set()
    await impatient.append((row(),))
    # What was in the batch became durable; what had not been begun was skipped.
    present = {name for (name,) in sql("SELECT id FROM records")}
    assert [each.id for each in late] == [each.id for each in (one, two) if each.id in present]
    assert len(late) < 2


async def test_too_much_waiting_is_shed_at_once(impatient: SqliteStore) -> None:
    go = threading.Event()
    held = asyncio.ensure_future(impatient.write(lambda _: go.wait(10)))
    waiting = [asyncio.ensure_future(impatient.append((row(),))) for _ in range(7)]
    await asyncio.sleep(0)
    with pytest.raises(AuditUnavailable, match="too much waits"):
        await impatient.append((row(),))
    go.set()
    await asyncio.gather(held, *waiting)
    with pytest.raises(AuditUnavailable, match="too much waits"):
        await impatient.append((row(arguments="x" * 64_000),))
    await impatient.append((row(),))


async def test_a_caller_that_goes_away_leaves_a_late_row(store: SqliteStore, sql: Sql) -> None:
    late: list[Row] = []
    store.on_late(late.extend)
    go = threading.Event()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold_up(_: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)

    one = row()
    gone = asyncio.ensure_future(store.append((one,)))
    held = asyncio.ensure_future(store.write(hold_up))
    await begun.wait()
    gone.cancel()
    await asyncio.sleep(0)
    go.set()
    await held
    written = (one.id,) in sql("SELECT id FROM records")
    assert [each.id for each in late] == ([one.id] if written else [])


@pytest.mark.shows("audit.1")
async def test_another_process_that_holds_the_file_too_long_is_not_waited_for(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_of(store).execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AuditUnavailable, match="locked"):
        await store.append((row(),))
    other.execute("ROLLBACK")
    other.close()
    await store.append((row(),))


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_moved_away_is_not_written_on(store: SqliteStore, path: Path, replaced: bool) -> None:
    await store.append((row(),))
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            os.rename(file, file.with_name(f"moved-{file.name}"))
    if replaced:
        shutil.copyfile(path.with_name(f"moved-{path.name}"), path)
    with pytest.raises(AuditUnavailable, match="removed or replaced"):
        await store.append((row(),))
    if not replaced:
        await asyncio.sleep(0.25)
        with pytest.raises(AuditUnavailable):
            await store.append((row(),))


@pytest.mark.shows("audit.1")
def test_a_setting_that_reads_back_otherwise_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-02."""

    class Weak(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> Any:
            return super().execute(statement.replace("synchronous = FULL", "synchronous = NORMAL"), *values)

    create_file(path)
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: real(*given, factory=Weak, **named))
    with pytest.raises(ConfigError, match="synchronous reads `1`"):
        connect(path, 1.0)


def test_a_session_is_durable_by_its_settings(path: Path) -> None:
    create_file(path)
    session = Session(path, 1.0)
    assert session.raw.execute("PRAGMA synchronous").fetchone() == (2,)
    assert session.raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    session.close()


@pytest.mark.parametrize(("step", "rows"), [("insert_alone", 1), ("commit", TOGETHER + 1)])
async def test_nobody_is_told_before_the_commit_returns(store: SqliteStore, step: str, rows: int) -> None:
    told: list[str] = []
    session = store._writer._session
    commit = getattr(session, step)

    def late_commit(*given: Any) -> Any:
        told.append("before commit" if not waiting.done() else "told too early")
        result = commit(*given)
        told.append("after commit" if not waiting.done() else "told too early")
        return result

    setattr(session, step, late_commit)
    waiting: asyncio.Task[None]
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(store.append(tuple(row() for _ in range(rows))))
    assert told == ["before commit", "after commit"]


async def test_closing_writes_what_waits(path: Path, sql: Sql) -> None:
    store = SqliteStore(path, KEYS, Clock())
    await store.start()
    waiting = [asyncio.ensure_future(store.append((row(),))) for _ in range(100)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*waiting)
    assert sql("SELECT count(*) FROM records WHERE kind = 'decision'") == [(100,)]


async def test_two_writers_keep_chains_of_their_own(store: SqliteStore, path: Path, sql: Sql) -> None:
    other = SqliteStore(path, KEYS, Clock(), Program("grant"))
    await other.start()
    assert other.own_chains() == ()
    await asyncio.gather(*(each.append((row(),)) for _ in range(50) for each in (store, other)))
    await other.close()
    found = sql("SELECT chain, count(*), min(seq), max(seq) FROM records GROUP BY chain")
    assert sorted(found) == sorted((chain, 51, 1, 51) for chain in (*store.own_chains(), *other.own_chains()))


async def test_whoever_is_interrupted_at_the_end_hears_no_more_of_it(path: Path) -> None:
    """Two quick Ctrl-C: the first ends the command, the second its closing."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    store = SqliteStore(path, KEYS, Clock(), Program())
    await store.start()
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    async with asyncio.timeout(10):
        while any(thread.name == "store-writer" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert said == []
