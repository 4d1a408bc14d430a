"""Whatever kind of change somebody makes by chance, `verify` sees it; and it sees nothing where there is none."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.filling import fill_sqlite
from policylayer.audit.checkpoints import take
from policylayer.audit.verify import Report, verify
from policylayer.clock import Clock
from policylayer.core.chain import link
from policylayer.store.rows import COLUMNS, Row
from policylayer.store.schema import APPEND_ONLY
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


async def written(path: Path, *targets: str) -> list[bytes]:
    """A log, and the line of a checkpoint of all of it; then as many rows more as there are targets."""
    store = SqliteStore(path, KEYS, CLOCK, Program("serve"))
    await store.start()
    await asyncio.gather(*(store.append((_row(number),)) for number in range(ROWS)))
    made = await store.write(lambda connection: take(connection, KEYS, CLOCK))
    for target in targets:
        await store.append((_row(0)._replace(target=target),))
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


OF_ANOTHER_KIND: Final[dict[str, list[tuple[str, int | None]]]] = {
    "SET target = CAST('tool-5' AS BLOB) WHERE seq = 6": [("changed", 6)],
    "SET target = CAST(x'ff41' AS TEXT) WHERE seq = 6": [("changed", 6)],
    "SET target = CAST(x'ff' AS TEXT) WHERE seq = 14": [("changed", 14)],  # what it reads like is what stood there
    "SET target = 'tool-5' || char(0) || 'x' WHERE seq = 6": [("changed", 6)],
    "SET link = 'abc' WHERE seq = 6": [("changed", 6)],
    "SET link = CAST(x'ff' AS TEXT) WHERE seq = 6": [("changed", 6)],
    "SET link = 4000000000000 WHERE seq = 6": [("changed", 6)],
    "SET link = 5 WHERE seq = 6": [("changed", 6)],
    "SET link = 'abc', target = x'41' WHERE seq = 6": [("changed", 6)],
    "SET link = 'abc' WHERE seq = 14": [("changed", 14)],
    "SET seq = 'x' WHERE seq = 6": [("missing_rows", 6), ("changed", None)],
    "SET seq = CAST(x'ff' AS TEXT) WHERE seq = 6": [("missing_rows", 6), ("changed", None)],
    "SET seq = 6.5 WHERE seq = 6": [("changed", None), ("missing_rows", 6)],
    "SET seq = -9e999 WHERE seq = 6": [("changed", None), ("missing_rows", 6)],
    "SET seq = x'06' WHERE seq = 6": [("missing_rows", 6), ("changed", None)],
    "SET time_us = 'later' WHERE seq = 6": [("changed", 6)],
    "SET time_us = time_us + 0.5 WHERE seq = 6": [("changed", 6)],
    "SET time_us = 9e999 WHERE seq = 6": [("changed", 6)],
    "SET size = 9e999 WHERE seq = 6": [("changed", 6)],  # which JSON writes as it does what is not there
    "SET chain = CAST(chain AS BLOB) WHERE seq = 6": [("missing_rows", 6), ("changed", 6)],
    "SET chain = CAST(x'ff41' AS TEXT) WHERE seq = 6": [("missing_rows", 6), ("changed", 6)],
    "SET chain = CAST(chain AS BLOB)": [*(("changed", seq) for seq in range(1, ROWS + 3)), ("missing_chain", None)],
    "SET key_id = CAST(key_id AS BLOB) WHERE seq = 6": [("changed", 6)],
    "SET id = CAST(id AS BLOB) WHERE seq = 6": [("changed", 6)],
    "SET id = CAST(x'ff41' AS TEXT) WHERE seq = 6": [("changed", 6)],
    "SET kind = CAST(kind AS BLOB) WHERE seq = 6": [("changed", 6)],
    "SET kind = CAST(kind AS BLOB) WHERE seq = 1": [("changed", 1)],
    "SET reason_code = CAST(reason_code AS BLOB) WHERE seq = 1": [("no_opening", 1), ("changed", 1)],
    "SET detail = CAST(detail AS BLOB) WHERE seq = 1": [("changed", 1)],
    "SET detail = CAST(x'ff41' AS TEXT) WHERE seq = 1": [("changed", 1)],
    "SET detail = '[]' WHERE seq = 1": [("changed", 1)],
    "SET version = 'x' WHERE seq = 6": [("unknown_version", 6), ("changed", 6)],
    """SET reason_code = 'log.pruned', kind = 'event',
       detail = '{"heads": {}, "cuts": {"' || chain || '": [3, "zz"]}, "left": {}, "upto": "z"}'
       WHERE seq = 6""": [("changed", 6)],
}
"""What whoever can write a SQLite file can put into a cell, and what is said of it. The last row, 14, is no
part of the checkpoint; its target is `\\xff`, as four letters."""


@pytest.mark.shows("audit.5")
@pytest.mark.parametrize("statement", OF_ANOTHER_KIND)
def test_a_cell_of_another_kind_is_named_and_the_rest_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """In pages of two, so that each such row is also the end of one."""
    monkeypatch.setattr("policylayer.audit.verify.PAGE", 2)
    path = tmp_path / "log.db"
    asyncio.run(written(path, "\\xff"))
    tampered(path, f"UPDATE records {statement}")
    report = asyncio.run(checked(path, []))
    assert [(problem.what, problem.seq) for problem in report.problems] == OF_ANOTHER_KIND[statement]
    assert report.rows == ROWS + 2
    assert json.loads(orjson.dumps(asdict(report)))["rows"] == sum(report.kinds.values())


@pytest.mark.shows("audit.5")
def test_a_change_behind_a_damaged_link_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(written(path))
    tampered(path, "UPDATE records SET link = 'abc' WHERE seq = 6", "UPDATE records SET target = 'x' WHERE seq = 7")
    report = asyncio.run(checked(path, []))
    assert [(problem.what, problem.seq) for problem in report.problems] == [("changed", 6), ("changed", 7)]
    assert report.problems[0].message.endswith(": no writer puts such a thing in link")


@pytest.mark.shows("audit.5")
@pytest.mark.parametrize(
    "change",
    [
        "heads = CAST(heads AS BLOB)",
        "heads = CAST(x'ff41' AS TEXT)",
        """heads = '{"a": [1, "zz"]}'""",
        """heads = '{"a": [1e30, "00"]}'""",
        "time_us = 'x'",
        "time_us = '1' || '000000000000000000000000'",
        "public_key = '', signature = ''",
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, change: str) -> None:
    path = tmp_path / "log.db"
    asyncio.run(written(path))
    tampered(path, f"UPDATE checkpoints SET {change}")
    assert [problem.what for problem in asyncio.run(checked(path, [])).problems] == ["bad_checkpoint"]


@pytest.mark.shows("audit.5")
@pytest.mark.parametrize(
    "change",
    ["link = 4000000000000", "link = 'abc'", "seq = 'x'", "chain = x'00'", "chain = CAST(x'ff41' AS TEXT)"],
)
@pytest.mark.parametrize("where", ["seq = 1", "seq = 13"])
def test_a_log_with_such_a_row_at_an_end_can_still_be_written(tmp_path: Path, change: str, where: str) -> None:
    """An opening tells of the last row of every chain, and reads what earlier ones told."""
    path = tmp_path / "log.db"
    asyncio.run(written(path))
    tampered(path, f"UPDATE records SET {change}, detail = '[]' WHERE {where}")
    asyncio.run(written(path))
    assert not asyncio.run(checked(path, [])).good


def tampered(path: Path, *statements: str) -> None:
    """Do it, as whoever can write the file would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER records_no_update")
        for statement in statements:
            connection.execute(statement)
        connection.execute(APPEND_ONLY["sqlite"][0])
