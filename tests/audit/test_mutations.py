"""Whatever kind of change somebody makes by chance, `verify` sees it; and it sees nothing where there is none."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.filling import fill_sqlite
from policylayer.audit.checkpoints import take
from policylayer.audit.verify import Report, verify
from policylayer.clock import Clock
from policylayer.core.chain import link
from policylayer.store.rows import COLUMNS, Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from tests.audit.support import KEYS

ROWS: Final = 12
CLOCK: Final = Clock()
Cells = list[Any]
SEQ, LINK, ID, CHAIN = (COLUMNS.index(name) for name in ("seq", "link", "id", "chain"))


def edit(rows: list[Cells], at: int, _: int) -> None:
    rows[at][COLUMNS.index("target")] = "other"


def delete(rows: list[Cells], at: int, _: int) -> None:
    del rows[at]


def insert(rows: list[Cells], at: int, _: int) -> None:
    more = list(rows[at])
    more[ID] = CLOCK.new_id()
    rows.insert(at, more)


def reorder(rows: list[Cells], at: int, other: int) -> None:
    for column in (SEQ, LINK):
        rows[at][column], rows[other][column] = rows[other][column], rows[at][column]


def truncate(rows: list[Cells], at: int, _: int) -> None:
    del rows[at:]


def rewrite(rows: list[Cells], at: int, _: int) -> None:
    """By someone who has the key: all after it is linked anew."""
    rows[at][COLUMNS.index("target")] = "other"
    for place in range(at, len(rows)):
        rows[place][LINK] = link(KEYS.chain, rows[place - 1][LINK], tuple(rows[place][:LINK]))


def replay(rows: list[Cells], at: int, other: int) -> None:
    """A row of another place in this one's, with its own link."""
    taken, seq = list(rows[other]), rows[at][SEQ]
    taken[ID], taken[SEQ] = rows[at][ID], seq
    rows[at] = taken


KINDS: Final[dict[str, Callable[[list[Cells], int, int], None]]] = {
    each.__name__: each for each in (edit, delete, insert, reorder, truncate, rewrite, replay)
}


async def written(path: Path) -> list[bytes]:
    """A log, and the line of a checkpoint of all of it."""
    store = SqliteStore(path, KEYS, CLOCK, Program("serve"))
    await store.start()
    await asyncio.gather(*(store.append((_row(number),)) for number in range(ROWS)))
    made = await store.write(lambda connection: take(connection, KEYS, CLOCK))
    await store.close()
    assert made is not None
    return [made.line()]


async def checked(path: Path, outside: list[bytes]) -> Report:
    store = SqliteStore(path, KEYS, CLOCK, Program("audit verify"))
    await store.start()
    try:
        return await verify(store, KEYS, outside)
    finally:
        await store.close()


def change(path: Path, kind: str, at: int, other: int) -> None:
    """Replace the chain with a changed one, as whoever can write the file would."""
    connection = sqlite3.connect(path)
    for name in ("records_no_update", "records_no_delete"):
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
    connection.execute("DROP INDEX IF EXISTS records_chain")
    rows = [list(row) for row in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY seq")]
    KINDS[kind](rows, at, other)
    connection.execute("DELETE FROM records")
    marks = ", ".join("?" * len(COLUMNS))
    connection.executemany(f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
    connection.commit()
    connection.close()


@pytest.mark.shows("audit.5")
@settings(max_examples=60)
@given(kind=st.sampled_from(sorted(KINDS)), at=st.integers(1, ROWS), other=st.integers(1, ROWS))
def test_every_kind_of_change_is_seen(kind: str, at: int, other: int) -> None:
    if at == other:
        other = at % ROWS + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        outside = asyncio.run(written(path))
        assert asyncio.run(checked(path, outside)).good
        change(path, kind, at, other)
        report = asyncio.run(checked(path, outside))
        assert not report.good, (kind, at, other)


@pytest.mark.shows("audit.5")
def test_one_byte_of_one_row_of_ten_thousand_is_named(tmp_path: Path) -> None:
    """AUD-06: any column of any row; exactly that row is named."""
    path, rng = tmp_path / "log.db", random.Random(11)
    fill_sqlite(path, KEYS, 10_000)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER records_no_update")
    changed = set()
    for _ in range(25):
        seq, column = rng.randrange(2, 10_001), rng.choice([name for name in COLUMNS if name not in PLACE])
        (row_id, old) = connection.execute(f"SELECT id, {column} FROM records WHERE seq = ?", (seq,)).fetchone()
        connection.execute(f"UPDATE records SET {column} = ? WHERE id = ?", (nudged(old, rng), row_id))
        report = asyncio.run(checked(path, []))
        assert [(problem.what, problem.seq, problem.id) for problem in report.problems] == [("changed", seq, row_id)], (
            column,
            old,
        )
        connection.execute(f"UPDATE records SET {column} = ? WHERE id = ?", (old, row_id))
        changed.add(column)
    assert len(changed) > 10
    assert asyncio.run(checked(path, [])).good
    connection.close()


PLACE: Final = ("id", "chain", "seq", "key_id", "version")
"""Whoever changes these is told otherwise: see `test_verify.py`."""


def nudged(value: Any, rng: random.Random) -> Any:
    """One byte, or one bit of a number, is another; where there was nothing, there is one."""
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, bytes):
        at = rng.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
    if value is None:
        return "x"
    at = rng.randrange(len(value))
    return value[:at] + ("y" if value[at] == "x" else "x") + value[at + 1 :]


def _row(number: int) -> Row:
    return Row(id=CLOCK.new_id(), kind="decision", time_us=CLOCK.time_us(), target=f"tool-{number}")
