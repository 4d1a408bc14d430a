"""Pruning: what is left verifies, whatever was pruned before; what somebody else removed is found all the same."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from policylayer.audit import replicas
from policylayer.audit import verify as verify_module
from policylayer.audit.checkpoints import take
from policylayer.audit.prune import prune
from policylayer.audit.recorder import Recorder
from policylayer.audit.replicas import ACTIVATED, own_name
from policylayer.audit.verify import Report, verify
from policylayer.clock import Clock
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.core.decision import Effect
from policylayer.processes import life_of
from policylayer.store.rows import Row, event_row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program, Store, open_store
from policylayer.store.tables import approvals, chains, records
from tests.audit.support import EXECUTED, KEYS, context, decision, record

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]
CLOCK = Clock()
ROWS = 5
COMMAND = "policylayer test"


def row(**more: Any) -> Row:
    return Row(id=CLOCK.new_id(), kind="decision", time_us=CLOCK.time_us(), reason="because", **more)


def activated(revision: str) -> Row:
    """As a process says which policies it runs with."""
    return event_row(CLOCK.new_id(), CLOCK.time_us(), ACTIVATED, None, {**own_name(), "revision": revision})


def seen(report: Report) -> list[tuple[str, int | None]]:
    return [(problem.what, problem.seq) for problem in report.problems]


async def opened(url: str, name: str = COMMAND) -> Store:
    store = open_store(url, KEYS, CLOCK, Program(name))
    await store.start()
    return store


async def chain(url: str, rows: int = ROWS, name: str = COMMAND) -> str:
    """A chain that is over; its id."""
    store = await opened(url, name)
    for _ in range(rows):
        await store.append((row(),))
    made = store.own_chains()[-1]
    closing = update(chains).where(chains.c.id == made).values(closed_us=CLOCK.time_us())
    await store.write(lambda connection: connection.execute(closing) and None)
    await store.close()
    return made


async def cut(store: Store, before_us: int | None = None, most: int = 10_000) -> int:
    before = CLOCK.time_us() if before_us is None else before_us
    return await prune(store, KEYS, CLOCK, before_us=before, actor="user:a", most=most)


async def kept(store: Store) -> bytes:
    made = await store.write(lambda connection: take(connection, KEYS, CLOCK))
    assert made is not None
    return made.line()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A log of three chains, two of which are over."""
    await chain(database_url)
    await chain(database_url, name="serve")
    made = await opened(database_url)
    await made.append((row(),))
    yield made
    await made.close()


async def test_what_is_left_verifies_from_the_cut(store: Store) -> None:
    """AUD-21."""
    outside = [await kept(store)]
    before = CLOCK.time_us()
    await store.append((row(),))
    assert await cut(store, before) == 2 * (ROWS + 1) + 2
    report = await verify(store, KEYS, outside)
    assert report.good, report.problems
    assert report.rows in (2, 3)  # the event may have a chain of its own
    assert await cut(store, before) == 0
    with pytest.raises(Exception, match="append-only"):
        await store.write(lambda connection: connection.exec_driver_sql("DELETE FROM records"))


async def test_steps_remove_the_same_and_each_verifies(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await chain(database_url)
    await chain(database_url)
    store = await opened(database_url)
    await store.append((row(),))
    steps: list[int] = []
    whole = store.record

    async def step(fn: Any, **more: Any) -> Any:
        done = await whole(fn, **more)
        report = await verify(store, KEYS)
        assert report.good, report.problems
        steps.append(done[0])
        return done

    monkeypatch.setattr(store, "record", step)
    assert await cut(store, most=4) == sum(steps) == 2 * (ROWS + 1) + 1
    assert max(steps) == 4
    await store.close()


@pytest.mark.shows("audit.5")
async def test_what_earlier_prunings_removed_stays_excused(database_url: str) -> None:
    """Each removes the event of the one before; checkpoints go on telling of all chains that ever were."""
    outside: list[bytes] = []
    for _ in range(5):
        await chain(database_url, 2)
        store = await opened(database_url)
        outside.append(await kept(store))
        assert await cut(store) > 0
        outside.append(await kept(store))
        report = await verify(store, KEYS, outside)
        assert report.good, report.problems
        await store.close()


async def test_a_bound_that_lies_ahead_ends_and_leaves_what_is_written_meanwhile(store: Store) -> None:
    ahead = CLOCK.time_us() + 3_600_000_000
    assert await cut(store, ahead, most=3) == 2 * (ROWS + 1) + 1
    assert (await verify(store, KEYS)).good
    left = await store.read(lambda connection: list(connection.scalars(select(records.c.reason_code))))
    assert set(left) <= {None, "log.pruned", "chain.opened"}
    assert "log.pruned" in left


async def test_the_last_row_of_a_chain_that_may_go_on_stays(database_url: str) -> None:
    serving = await opened(database_url, "serve")
    await serving.append((row(),))
    command = await opened(database_url)
    assert await cut(command) == 1
    await cut(command)
    await cut(command)
    await serving.append((row(),))
    report = await verify(serving, KEYS)
    assert report.good, report.problems
    await command.close()
    await serving.close()


@pytest.mark.parametrize(("life", "left"), [(life_of("it"), 0), ("pid:[1] it", 1)], ids=["here", "another container"])
async def test_a_command_that_ended_is_known_only_where_it_could_be_seen(
    database_url: str, life: str, left: int
) -> None:
    """Two containers may have one name for their host; a number means something only in its own."""
    made = await chain(database_url)
    store = await opened(database_url)
    away = update(chains).where(chains.c.id == made).values(life=life, pid=2**22 + 1, closed_us=None)
    await store.write(lambda connection: connection.execute(away) and None)
    assert await cut(store) >= ROWS
    own = select(func.count()).select_from(records).where(records.c.chain == made)
    assert await store.read(lambda connection: connection.scalar(own)) == left
    assert (await verify(store, KEYS)).good
    await store.close()


async def test_what_is_not_over_stays(database_url: str) -> None:
    serving = await opened(database_url, "serve")
    recorder = Recorder(serving, KEYS, CLOCK)
    await recorder.start()
    over = await recorder.record(record(), context())
    assert isinstance(over, Recorded)
    await recorder.outcome(RecordOutcome(over.row_id, EXECUTED, decision()))
    under_way = await recorder.record(record(), context())
    assert isinstance(under_way, Recorded)
    await recorder.record(record(Effect.DENY), context())
    command = await opened(database_url)
    assert await cut(command) == 3
    ids = await command.read(lambda connection: set(connection.scalars(select(records.c.id))))
    assert under_way.row_id in ids
    await command.close()
    await recorder.close()
    await serving.close()


async def test_a_call_that_waits_for_people_stays(database_url: str) -> None:
    first = await opened(database_url)
    held = row()
    for each in (row(), held, row()):
        await first.append((each,))
    await first.write(lambda connection: connection.execute(insert(approvals).values(_approval(held.id))) and None)
    await first.close()
    command = await opened(database_url)
    assert await cut(command) == 2
    ids = await command.read(lambda connection: set(connection.scalars(select(records.c.id))))
    assert held.id in ids
    await command.close()


def _approval(record_id: str) -> dict[str, Any]:
    texts = ("id", "call_key", "principal", "server", "method", "digest", "rules", "satisfied", "revision")
    times = {"created_us": 1, "expires_us": 1 << 60}
    return {**dict.fromkeys(texts, "x"), **times, "state": "pending", "record_id": record_id}


@pytest.mark.shows("audit.5")
async def test_a_pruning_while_a_log_is_verified_is_no_sign_of_anything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "PAGE", 2)
    whole, reads = store.read, 0

    async def read(fn: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 4:
            assert await cut(store) > 0
        return await whole(fn)

    monkeypatch.setattr(store, "read", read)
    report = await verify(store, KEYS)
    assert report.good, report.problems
    assert reads > 4


# --- with somebody who removes rows without saying so -----------------------------------------------------------------


def tamper(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, timeout=5)
    for name in ("records_no_update", "records_no_delete"):
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
    for statement in statements:
        connection.execute(statement)
    connection.execute(
        "CREATE TRIGGER records_no_delete BEFORE DELETE ON records "
        "BEGIN SELECT RAISE(ABORT, 'records are append-only'); END"
    )
    connection.commit()
    connection.close()


@pytest.mark.shows("audit.5")
async def test_the_rest_of_a_cut_chain_is_missed(path: Path) -> None:
    url = f"sqlite:///{path}"
    old = SqliteStore(path, KEYS, CLOCK, Program(COMMAND))
    await old.start()
    await old.append((row(),))
    before = CLOCK.time_us()
    await old.append((row(),))
    command = await opened(url)
    assert await cut(command, before) == 2
    tamper(path, f"DELETE FROM records WHERE chain = '{old.own_chains()[0]}'")
    assert seen(await verify(command, KEYS)) == [("missing_chain", None)]
    await command.close()
    await old.close()


@pytest.mark.shows("audit.5")
async def test_a_chain_that_somebody_removed_is_not_excused_by_a_later_pruning(path: Path) -> None:
    url = f"sqlite:///{path}"
    gone, _ = await chain(url), await chain(url)
    store = await opened(url)
    tamper(path, f"DELETE FROM records WHERE chain = '{gone}'")
    for _ in range(3):
        assert await cut(store) > 0
        assert seen(await verify(store, KEYS)) == [("missing_chain", None)]
        await store.append((row(),))
    await store.close()


@pytest.mark.shows("audit.5")
async def test_an_end_that_somebody_cut_off_is_not_excused_by_a_later_pruning(path: Path) -> None:
    url = f"sqlite:///{path}"
    short, _ = await chain(url), await chain(url)
    store = await opened(url)
    tamper(path, f"DELETE FROM records WHERE chain = '{short}' AND seq > 3")
    for _ in range(3):
        assert await cut(store) > 0
        assert seen(await verify(store, KEYS)) == [("truncated", 3)]
        await store.append((row(),))
    await store.close()


@pytest.mark.shows("audit.5")
async def test_rows_put_before_the_cut_are_found(path: Path) -> None:
    store = SqliteStore(path, KEYS, CLOCK, Program(COMMAND))
    await store.start()
    for _ in range(3):
        await store.append((row(),))
    before = CLOCK.time_us()
    await store.append((row(),))
    assert await cut(store, before) == 4
    for place in (2, -7):
        tamper(path, f"UPDATE records SET seq = {place} WHERE seq = 5")
        assert seen(await verify(store, KEYS))[0] == ("inserted", place)
        tamper(path, f"UPDATE records SET seq = 5 WHERE seq = {place}")
    assert (await verify(store, KEYS)).good
    await store.close()


STEPS = st.lists(st.sampled_from(["chain", "rows", "checkpoint", "prune", "early", "elsewhere", "policy"]), max_size=14)


@pytest.mark.shows("audit.5")
@settings(max_examples=40)
@given(steps=STEPS, most=st.integers(2, 9), seed=st.integers(0, 1 << 32))
def test_whatever_is_written_and_pruned_verifies_and_what_is_changed_then_is_found(
    steps: list[str], most: int, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_whatever(Path(folder) / "log.db", steps, most, random.Random(seed)))


async def _whatever(path: Path, steps: list[str], most: int, rng: random.Random) -> None:
    url = f"sqlite:///{path}"
    serving = await opened(url, "serve")
    outside: list[bytes] = []
    runs: str | None = None
    times = [CLOCK.time_us()]
    for step in (*steps, "prune", "checkpoint"):
        times.append(CLOCK.time_us())
        if step == "chain":
            await chain(url, rng.randrange(1, 4))
        elif step == "rows":
            await serving.append(tuple(row() for _ in range(rng.randrange(1, 4))))
        elif step == "policy":
            runs = f"sha256:{len(times)}"
            await serving.append((activated(runs),))
        elif step in ("checkpoint", "elsewhere"):
            made = await serving.write(lambda connection: take(connection, KEYS, CLOCK))
            if made is not None and step == "elsewhere":
                outside.append(made.line())
        else:
            command = await opened(url)
            await cut(command, rng.choice(times) if step == "early" else None, most)
            await command.close()
        report = await verify(serving, KEYS, outside)
        assert report.good, (step, report.problems)
        assert [*(await serving.read(replicas.revisions)).values()] == [runs]
    await serving.close()
    for change in ("UPDATE records SET reason = 'other' WHERE id = '{}'", "DELETE FROM records WHERE id = '{}'"):
        await _found(path, outside, change, rng)


async def _found(path: Path, outside: list[bytes], change: str, rng: random.Random) -> None:
    """Change one of the rows, see that it is found, and put the file back as it was."""
    with sqlite3.connect(path) as connection:
        ids = [each for (each,) in connection.execute("SELECT id FROM records ORDER BY id")]
        before = connection.serialize()
    connection.close()
    tamper(path, change.format(rng.choice(ids)))
    store = await opened(f"sqlite:///{path}")
    assert not (await verify(store, KEYS, outside)).good
    await store.close()
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    path.write_bytes(before)
