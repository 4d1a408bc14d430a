"""Every row that lets a call through gets its outcome: after faults, after late commits, after a crash."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policylayer.audit import settling
from policylayer.audit.hooks import Hooks
from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.core.commands import Kind, Recorded, RecordOutcome
from policylayer.core.decision import Effect
from policylayer.core.errors import AuditUnavailable
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Told
from tests.audit.support import EXECUTED, KEYS, context, decision, record

pytestmark = pytest.mark.anyio
Sql = Callable[..., list[dict[str, Any]]]
OUTCOMES = "SELECT parent, state, reason FROM records WHERE kind = 'outcome' ORDER BY id"


async def written(recorder: Recorder, effect: Effect = Effect.ALLOW, **more: Any) -> str:
    reply = await recorder.record(record(effect, **more), context())
    assert isinstance(reply, Recorded)
    return reply.row_id


async def crash(store: SqliteStore) -> None:
    """The process ends without a word: nothing is settled or closed."""
    await store.close()


async def restarted(path: Path) -> tuple[SqliteStore, Recorder]:
    store = SqliteStore(path, KEYS, Clock())
    await store.start()
    recorder = Recorder(store, KEYS, Clock())
    await recorder.start()
    return store, recorder


@pytest.mark.shows("audit.1")
async def test_what_a_crash_left_open_is_settled_as_unknown(store: SqliteStore, path: Path, sql: Sql) -> None:
    """AUD-04."""
    recorder = Recorder(store, KEYS, Clock())
    done = await written(recorder)
    await recorder.outcome(RecordOutcome(done, EXECUTED, decision()))
    await recorder.drained()
    left = await written(recorder)
    observed = await written(recorder, Effect.DENY, enforced=Effect.ALLOW)
    await written(recorder, Effect.DENY)
    held = await written(recorder, Effect.REQUIRE_APPROVAL)
    released = await written(recorder, Effect.REQUIRE_APPROVAL)
    release = await written(recorder, kind=Kind.RELEASE, parent=released)
    await crash(store)

    again, later = await restarted(path)
    settled = {row["parent"]: row["state"] for row in sql(OUTCOMES)}
    assert settled == {
        done: "executed",
        left: "unknown",
        observed: "unknown",
        held: "never_sent",
        release: "unknown",
    }
    await later.close()
    await again.close()
    third, _ = await restarted(path)
    assert len(sql(OUTCOMES)) == 5
    await third.close()


async def test_more_than_one_page_is_settled(store: SqliteStore, path: Path, sql: Sql) -> None:
    rows = tuple(Row(id=Clock().new_id(), kind="decision", time_us=n, enforced="allow") for n in range(1100))
    await store.append(rows)
    await crash(store)
    again, _ = await restarted(path)
    assert sql("SELECT count(*) AS n FROM records WHERE kind = 'outcome' AND state = 'unknown'")[0]["n"] == 1100
    await again.close()


async def test_a_start_looks_only_behind_the_mark(
    store: SqliteStore, path: Path, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "MARK_EVERY", 3)
    recorder = Recorder(store, KEYS, Clock())
    first = await written(recorder)
    await recorder.outcome(RecordOutcome(first, EXECUTED, decision()))
    await recorder.drained()
    second = await written(recorder)
    await written(recorder)
    for _ in range(100):
        marked = sql("SELECT settled_id FROM chains")[0]["settled_id"]
        if marked:
            break
        await asyncio.sleep(0.01)
    assert marked == second
    await crash(store)
    again, _ = await restarted(path)
    assert len(sql(OUTCOMES)) == 3
    await again.close()


async def test_a_clean_end_leaves_nothing_to_settle(store: SqliteStore, sql: Sql) -> None:
    recorder = Recorder(store, KEYS, Clock())
    row_id = await written(recorder)
    await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision()))
    await recorder.drained()
    await recorder.close()
    assert sql("SELECT closed_us FROM chains")[0]["closed_us"] is not None


async def test_a_hold_ends_with_the_row_that_releases_it(store: SqliteStore, sql: Sql) -> None:
    hooks = Hooks(open_or_join=lambda connection, add, held: "apr_1", consume=lambda *_: True)
    recorder = Recorder(store, KEYS, Clock(), hooks=hooks)
    held = await written(recorder, Effect.REQUIRE_APPROVAL, hold=True)
    released = await written(recorder, kind=Kind.RELEASE, parent=held, consume="apr_1")
    await recorder.outcome(RecordOutcome(released, EXECUTED, decision()))
    await recorder.drained()
    await recorder.close()
    assert sql("SELECT closed_us FROM chains")[0]["closed_us"] is not None


async def test_a_row_that_lets_through_stays_open_when_a_question_hangs_below_it(store: SqliteStore, sql: Sql) -> None:
    recorder = Recorder(store, KEYS, Clock())
    call = await written(recorder)
    question = await written(recorder, parent=call)
    await recorder.outcome(RecordOutcome(question, EXECUTED, decision()))
    await recorder.drained()
    await recorder.close()
    assert sql("SELECT closed_us FROM chains")[0]["closed_us"] is None


async def test_an_end_with_open_rows_leaves_the_chain_to_be_settled(store: SqliteStore, sql: Sql) -> None:
    recorder = Recorder(store, KEYS, Clock())
    await written(recorder)
    await recorder.close()
    assert sql("SELECT closed_us FROM chains")[0]["closed_us"] is None


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize("at_once", [True, False])
async def test_an_outcome_that_cannot_be_written_is_written_later(
    store: SqliteStore, sql: Sql, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """AUD-04."""
    monkeypatch.setattr(settling, "AGAIN", 0.02)
    recorder = Recorder(store, KEYS, Clock())
    row_id = await written(recorder)
    real = store.append
    failures = 3

    async def failing(rows: tuple[Row, ...]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise AuditUnavailable("not now")
        await real(rows)

    def failing_later(rows: tuple[Row, ...], told: Told) -> None:
        if at_once:
            raise AuditUnavailable("not now")
        told(rows, AuditUnavailable("not now"))

    monkeypatch.setattr(store, "append", failing)
    monkeypatch.setattr(store, "append_later", failing_later)
    await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision()))
    await recorder.drained()
    for _ in range(200):
        if sql(OUTCOMES):
            break
        await asyncio.sleep(0.01)
    assert [(row["parent"], row["state"]) for row in sql(OUTCOMES)] == [(row_id, "executed")]
    await recorder.close()


async def test_an_owed_outcome_that_is_there_after_all_is_not_written_twice(store: SqliteStore, sql: Sql) -> None:
    recorder = Recorder(store, KEYS, Clock())
    one = Row(id=Clock().new_id(), kind="outcome", time_us=1, parent="p", state="executed")
    await store.append((one,))
    recorder._settling.owe(one)
    await recorder.close()
    assert len(sql(OUTCOMES)) == 1
    await recorder.event("still.alive", None, {})


@pytest.mark.shows("audit.1")
async def test_outcomes_beyond_what_can_be_owed_are_settled_by_the_next_start(
    store: SqliteStore, path: Path, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(rows: tuple[Row, ...], told: Told) -> None:
        raise AuditUnavailable("away")

    monkeypatch.setattr(settling, "OWED", 2)
    recorder = Recorder(store, KEYS, Clock())
    ids = [await written(recorder) for _ in range(5)]
    with monkeypatch.context() as outage:
        outage.setattr(store, "append_later", away)
        for row_id in ids:
            await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision()))
    await recorder.close()
    await store.close()
    assert [row["parent"] for row in sql(OUTCOMES)] == ids[:2]
    assert [row["closed_us"] for row in sql("SELECT closed_us FROM chains")] == [None]
    again, later = await restarted(path)
    assert [(row["parent"], row["state"]) for row in sql(OUTCOMES)] == [
        *((row_id, "executed") for row_id in ids[:2]),
        *((row_id, "unknown") for row_id in ids[2:]),
    ]
    await later.close()
    await again.close()


@pytest.mark.shows("audit.1")
async def test_a_row_that_became_durable_too_late_was_never_sent(store: SqliteStore, sql: Sql) -> None:
    recorder = Recorder(store, KEYS, Clock())
    asking = asyncio.ensure_future(recorder.record(record(), context()))
    refused = asyncio.ensure_future(recorder.record(record(Effect.DENY), context()))
    await asyncio.sleep(0)
    asking.cancel()
    refused.cancel()
    await asyncio.gather(asking, refused, return_exceptions=True)
    await recorder.event("after", None, {})
    await recorder.close()
    rows = {row["id"]: row["enforced"] for row in sql("SELECT id, enforced FROM records WHERE kind = 'decision'")}
    allowed = [row_id for row_id, enforced in rows.items() if enforced == "allow"]
    assert [(row["parent"], row["state"]) for row in sql(OUTCOMES)] == [(row_id, "never_sent") for row_id in allowed]
    assert sql("SELECT closed_us FROM chains")[0]["closed_us"] is not None


async def test_rows_of_another_process_are_not_settled_by_a_command(store: SqliteStore, path: Path, sql: Sql) -> None:
    assert await store.abandoned() == ()
    with sqlite3.connect(path) as other:
        other.execute(
            "INSERT INTO chains (id, program, version, host, pid, life, opened_us)"
            " VALUES ('c', 'grant', '', '', 1, '', 1)"
        )
    other.close()
    assert await store.abandoned() == ()
