"""Verifying the log: each kind of tampering is found and named; an honest log is good, whatever happened to it."""

from __future__ import annotations

import asyncio
import hmac
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from policylayer.audit import verify as verify_module
from policylayer.audit.checkpoints import Checkpoint, Checkpoints, load, take
from policylayer.audit.verify import Report, verify
from policylayer.clock import Clock
from policylayer.core.chain import START, link
from policylayer.keys import Keys
from policylayer.store import opening
from policylayer.store.rows import COLUMNS, Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from tests.audit.support import KEYS

pytestmark = pytest.mark.anyio
Tamper = Callable[..., None]
CLOCK = Clock()
ROWS = 30


def row(**more: Any) -> Row:
    return Row(id=CLOCK.new_id(), kind="decision", time_us=CLOCK.time_us(), reason="because", **more)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "PAGE", 7)


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteStore]:
    """A log of three chains: an old one, a command's, and the one of the store that is open."""
    for name in ("serve", "grant"):
        store = SqliteStore(path, KEYS, CLOCK, Program(name))
        await store.start()
        await asyncio.gather(*(store.append((row(server=name),)) for _ in range(ROWS)))
        await store.close()
    store = SqliteStore(path, KEYS, CLOCK)
    await store.start()
    await asyncio.gather(*(store.append((row(server="now"),)) for _ in range(ROWS)))
    yield store
    await store.close()


@pytest.fixture
def tamper(path: Path) -> Tamper:
    """Whoever can write the file: drops the triggers, does as told."""

    def run(*statements: str) -> None:
        connection = sqlite3.connect(path, timeout=5)
        for name in ("records_no_update", "records_no_delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        connection.execute("DROP INDEX IF EXISTS records_chain")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return run


def chains(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = [name for (name,) in connection.execute("SELECT DISTINCT chain FROM records ORDER BY chain")]
    connection.close()
    return found


def seen(report: Report) -> list[tuple[str, int | None]]:
    return [(problem.what, problem.seq) for problem in report.problems]


@pytest.mark.shows("audit.5")
async def test_an_honest_log_is_good(log: SqliteStore) -> None:
    report = await verify(log, KEYS)
    assert report.good, report.problems
    assert (report.rows, report.chains) == (3 * (ROWS + 1), 3)


@pytest.mark.shows("audit.5")
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE records SET reason = 'other' WHERE chain = '{0}' AND seq = 9", [("changed", 9)]),
        ("UPDATE records SET link = zeroblob(32) WHERE chain = '{0}' AND seq = 9", [("changed", 9)]),
        ("UPDATE records SET target = '' WHERE chain = '{0}' AND seq = 31", [("changed", 31)]),
        ("DELETE FROM records WHERE chain = '{0}' AND seq = 9", [("missing_rows", 9)]),
        ("DELETE FROM records WHERE chain = '{0}' AND seq BETWEEN 9 AND 20", [("missing_rows", 9)]),
        ("DELETE FROM records WHERE chain = '{0}' AND seq > 25", [("truncated", 25)]),
        ("DELETE FROM records WHERE chain = '{0}'", [("missing_chain", None)]),
        ("DELETE FROM records WHERE chain = '{0}' AND seq = 1", [("missing_rows", 1)]),
        ("UPDATE records SET seq = seq - 8 WHERE chain = '{0}' AND seq > 8", [("inserted", 1)]),
        ("UPDATE records SET key_id = 'other' WHERE chain = '{0}' AND seq = 9", [("unknown_key", 9)]),
        ("UPDATE records SET version = 2 WHERE chain = '{0}' AND seq = 9", [("unknown_version", 9), ("changed", 9)]),
        (
            "UPDATE records SET chain = '{1}' WHERE chain = '{0}' AND seq = 9",
            [("missing_rows", 9), ("changed", 9), ("inserted", 9)],
        ),
        (
            "UPDATE records SET seq = 19 - seq WHERE chain = '{0}' AND seq IN (9, 10)",
            [("changed", 9), ("changed", 10)],
        ),
        (
            "INSERT INTO records SELECT 'new', {columns} FROM records WHERE chain = '{0}' AND seq = 9",
            [("inserted", 9)],
        ),
    ],
)
async def test_tampering_is_named(
    log: SqliteStore, path: Path, tamper: Tamper, statement: str, found: list[tuple[str, int | None]]
) -> None:
    """AUD-06, AUD-07."""
    tamper(statement.format(*chains(path), columns=", ".join(COLUMNS[1:])))
    report = await verify(log, KEYS)
    assert seen(report)[: len(found)] == found


@pytest.mark.shows("audit.5")
async def test_a_chain_replayed_from_elsewhere_is_found(log: SqliteStore, path: Path, tamper: Tamper) -> None:
    """Rows of one chain under the name of another: links cover the chain's name."""
    old, command, _ = chains(path)
    tamper(
        f"DELETE FROM records WHERE chain = '{old}'",
        f"INSERT INTO records SELECT id || 'x', {', '.join(COLUMNS[1:])} FROM records WHERE chain = '{command}'",
        f"UPDATE records SET chain = '{old}' WHERE id LIKE '%x'",
    )
    report = await verify(log, KEYS)
    assert seen(report)[0] == ("changed", 1)


@pytest.mark.shows("audit.5")
async def test_any_change_of_any_column_is_found(log: SqliteStore, path: Path, tamper: Tamper) -> None:
    """AUD-06, by chance: one column of one row at a time, and back."""
    rng = random.Random(5)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT chain, seq, id FROM records WHERE seq > 1").fetchall()
    for _ in range(30):
        chain, seq, row_id = rng.choice(rows)
        column = rng.choice([name for name in COLUMNS if name not in ("id", "chain", "seq", "link", "key_id")])
        old = connection.execute(f"SELECT {column} FROM records WHERE id = ?", (row_id,)).fetchone()[0]
        new = rng.choice(["", "x", "0", 7, None]) if column not in ("version",) else 7
        if new == old or (new is None and column in ("kind", "time_us")):
            continue
        try:
            tamper(f"UPDATE records SET {column} = {'NULL' if new is None else repr(new)} WHERE id = '{row_id}'")
        except sqlite3.IntegrityError:
            continue
        report = await verify(log, KEYS)
        assert ("changed", seq) in seen(report), (column, old, new)
        assert {problem.chain for problem in report.problems} == {chain}
        tamper(f"UPDATE records SET {column} = {'NULL' if old is None else repr(old)} WHERE id = '{row_id}'")
    connection.close()
    assert (await verify(log, KEYS)).good


# --- with the key, or at the end: only what is kept elsewhere shows it ------------------------------------------------


def rewrite(path: Path, chain: str, from_seq: int, key: bytes) -> None:
    """An attacker with the key: changes a row and links all after it anew."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM records WHERE chain = ? ORDER BY seq", (chain,)).fetchall()
    previous = START
    for cells in rows:
        values = list(cells)
        if values[-3] == from_seq:
            values[COLUMNS.index("reason")] = "forged"
        previous = link(key, previous, tuple(values[:-1]))
        connection.execute(
            "UPDATE records SET reason = ?, link = ? WHERE id = ?",
            (values[COLUMNS.index("reason")], previous, values[0]),
        )
    connection.commit()
    connection.close()


@pytest.mark.shows("audit.5")
async def test_a_rewriting_without_the_key_is_found(log: SqliteStore, path: Path, tamper: Tamper) -> None:
    """AUD-09, first half."""
    tamper()
    rewrite(path, chains(path)[2], 20, bytes(32))
    assert (await verify(log, KEYS)).problems[0].what == "changed"


@pytest.mark.shows("audit.5")
async def test_a_rewriting_with_the_key_is_found_by_a_checkpoint_kept_elsewhere(
    log: SqliteStore, path: Path, tamper: Tamper
) -> None:
    """AUD-09, second half: found up to the last checkpoint, not after it."""
    kept = await log.write(partial(take, keys=KEYS, clock=CLOCK))
    assert kept is not None
    await log.append((row(),))
    tamper("DELETE FROM checkpoints")
    rewrite(path, chains(path)[2], 20, KEYS.chain)
    assert (await verify(log, KEYS)).good
    report = await verify(log, KEYS, [kept.line()])
    assert seen(report) == [("rewritten", ROWS + 1)]


async def test_the_end_cut_off_is_found_by_a_checkpoint(log: SqliteStore, path: Path, tamper: Tamper) -> None:
    assert await log.write(partial(take, keys=KEYS, clock=CLOCK)) is not None
    tamper(f"DELETE FROM records WHERE chain = '{chains(path)[2]}' AND seq > 25")
    assert seen(await verify(log, KEYS)) == [("truncated", 25)]


@pytest.mark.parametrize("change", ["heads", "time_us", "id", "signature", "public_key", "key_id"])
async def test_a_forged_checkpoint_is_no_witness(log: SqliteStore, change: str) -> None:
    kept = await log.write(partial(take, keys=KEYS, clock=CLOCK))
    assert kept is not None
    values: dict[str, Any] = {name: getattr(kept, name) for name in Checkpoint.__slots__}
    values[change] = {
        "heads": {"none": (9, "00")},
        "time_us": 1,
        "id": "x",
        "signature": "AAAA",
        "public_key": "AAAA",
        "key_id": "x",
    }[change]
    report = await verify(log, KEYS, [Checkpoint(**values).line()])
    assert seen(report) == [("bad_checkpoint", None)]


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"id": 1', b'{"heads": {"a": 1}}'])
async def test_a_line_that_is_no_checkpoint_is_said(log: SqliteStore, line: bytes) -> None:
    assert load(line) is None
    assert seen(await verify(log, KEYS, [line])) == [("bad_checkpoint", None)]


async def test_checkpoints_are_taken_sent_and_not_repeated(log: SqliteStore) -> None:
    lines: list[bytes] = []

    async def sink(line: bytes) -> None:
        lines.append(line)

    async def broken(line: bytes) -> None:
        raise OSError("no room")

    taking = Checkpoints(log, KEYS, CLOCK, [broken, sink], every=0.01)
    await taking.start()
    while not lines:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert len(lines) == 1
    await log.append((row(),))
    await taking.close()
    assert len(lines) == 2
    report = await verify(log, KEYS, lines)
    assert report.good
    assert report.checkpoints == 4


@pytest.mark.shows("speed.2")
async def test_a_checkpoint_holds_up_no_writer_and_does_not_grow_with_the_chains_that_ever_were(
    path: Path, log: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def heads(connection: Any) -> Any:
        threads.append(threading.current_thread().name)
        return opening.heads(connection)

    monkeypatch.setattr("policylayer.audit.checkpoints.heads", heads)
    monkeypatch.setattr("policylayer.audit.checkpoints.ALWAYS", 5)
    for _ in range(10):
        store = SqliteStore(path, KEYS, CLOCK, Program("grant"))
        await store.start()
        await store.append((row(),))
        await store.close()
    taking = Checkpoints(log, KEYS, CLOCK)
    first = await taking.take()
    assert first is not None
    assert len(first.heads) == 13, "what a process has not told yet"
    await log.append((row(),))
    second = await taking.take()
    assert second is not None
    assert set(second.heads) == {chains(path)[2], *chains(path)[-5:]}
    assert await taking.take() is None
    assert {name.rpartition("_")[0] for name in threads} == {"store-reader"}
    assert (await verify(log, KEYS)).good


async def test_the_database_keeps_only_the_last_checkpoints(log: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policylayer.audit.checkpoints.KEPT", 3)
    taking = Checkpoints(log, KEYS, CLOCK)
    for _ in range(6):
        await log.append((row(),))
        assert await taking.take() is not None
    report = await verify(log, KEYS)
    assert (report.checkpoints, report.good) == (3, True)


async def test_a_rotated_key_still_verifies_and_a_lost_one_is_said(log: SqliteStore, path: Path) -> None:
    await log.close()
    new = hmac.digest(b"new", b"key", "sha256")
    rotated = Keys([new, bytes(range(32))])
    store = SqliteStore(path, rotated, CLOCK)
    await store.start()
    await store.append((row(),))
    assert (await verify(store, rotated)).good
    report = await verify(store, Keys([new]))
    assert {problem.what for problem in report.problems} == {"unknown_key"}
    assert report.found == 3 * (ROWS + 1)
    await store.close()
