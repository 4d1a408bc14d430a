"""What no writer puts in the log: texts that are not UTF-8 are read as far as they can be, wherever they are met."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from policylayer.clock import Clock
from policylayer.store.damage import Undecoded, are_doubtful, bound, decoded, misfits, printable
from policylayer.store.rows import COLUMNS, Place, Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from policylayer.store.tables import meta
from policylayer.store.viewing import SqliteView, View, open_view
from tests.store.conftest import KEYS

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.5")]


@pytest.fixture
async def damaged(path: Path, store: SqliteStore) -> SqliteStore:
    await store.write(
        lambda connection: connection.execute(text("INSERT INTO meta VALUES ('bad', CAST(x'61ff' AS TEXT))"))
    )
    return store


@pytest.fixture(params=["store", "view"])
async def reader(request: pytest.FixtureRequest, damaged: SqliteStore, path: Path) -> AsyncIterator[View]:
    if request.param == "store":
        yield damaged
        return
    view = await open_view(f"sqlite:///{path}")
    assert isinstance(view, SqliteView)
    yield view
    await view.close()


def value(connection: Connection) -> str:
    return str(connection.scalar(select(meta.c.value).where(meta.c.name == "bad")))


def factory(connection: Connection) -> object:
    raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    return raw.text_factory


async def test_a_read_that_meets_such_a_text_is_done_once_more(reader: View) -> None:
    assert await reader.read(value) == "a\\xff"
    for _ in range(5):
        assert await reader.read(factory) is str, "further reads cost what they did"


async def test_other_failures_are_not_tried_again(reader: View) -> None:
    calls = []

    def fails(connection: Connection) -> None:
        calls.append(1)
        connection.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(Exception, match="no such table"):
        await reader.read(fails)
    assert len(calls) == 1


async def test_a_writer_reads_it_at_once(damaged: SqliteStore) -> None:
    """What it does within a transaction is not done twice."""
    calls = []
    assert await damaged.write(lambda connection: calls.append(1) or value(connection)) == "a\\xff"  # type: ignore[func-returns-value]
    assert len(calls) == 1


async def test_such_a_text_is_found_again_by_what_is_stored(damaged: SqliteStore) -> None:
    def found(connection: Connection) -> list[str]:
        (stored,) = connection.scalars(select(meta.c.value).where(meta.c.name == "bad"))
        assert isinstance(stored, Undecoded)
        return list(connection.scalars(select(meta.c.name).where(meta.c.value == bound(stored))))

    assert await damaged.read(found) == ["bad"]


def test_a_good_text_is_a_plain_text() -> None:
    assert type(decoded("ä".encode())) is str
    assert type(printable(decoded(b"\xff"))) is str
    assert [printable(cell) for cell in (b"a\xff", 5, None)] == ["a\\xff", "5", "None"]
    assert bound("a") == "a"


async def test_a_written_row_fits_and_each_other_cell_is_named(store: SqliteStore) -> None:
    row = list(Place("chain", KEYS.chain, "key").seal(Row(id="1", kind="event", time_us=1)))
    assert misfits(row) == ()
    for at, name in enumerate(COLUMNS):
        assert misfits([*row[:at], 1.5, *row[at + 1 :]]) == (name,)
    assert misfits([decoded(b"\xff"), *row[1:]]) == ("id",)
    assert misfits([*row[:-1], None]) == ("link",)
    size = COLUMNS.index("size")
    infinite = [*row[:size], float("inf"), *row[size + 1 :]]
    assert await store.read(lambda connection: are_doubtful(connection, [row, infinite]))
    assert not await store.read(lambda connection: are_doubtful(connection, [row]))


async def test_a_program_starts_beside_such_a_text(damaged: SqliteStore, path: Path) -> None:
    other = SqliteStore(path, KEYS, Clock(), Program("grant"))
    await other.start()
    await other.append((Row(id=Clock().new_id(), kind="event", time_us=1, detail="{}"),))
    await other.close()
