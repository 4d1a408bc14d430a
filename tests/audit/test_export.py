"""Exports: every row once, one line each, whatever is in them; and following."""

from __future__ import annotations

import asyncio
import csv
import io
import json

import pytest

from policylayer.audit import export
from policylayer.audit.queries import Filters
from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.core.decision import Effect
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import EXECUTED, context, decision, record

pytestmark = pytest.mark.anyio
ODD = "=cmd()\r\nx\u2028\x1b[31m,\"'"


async def write(recorder: Recorder, count: int) -> list[str]:
    replies = await asyncio.gather(
        *(recorder.record(record(Effect.ALLOW, reason=ODD), context({ODD: ODD}, target=ODD)) for _ in range(count))
    )
    ids = [reply.row_id for reply in replies if isinstance(reply, Recorded)]
    for row_id in ids[:3]:
        await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision()))
        await recorder.drained()
    return ids


@pytest.mark.shows("audit.1")
async def test_jsonl_has_each_decision_on_one_line(
    store: SqliteStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUD-14."""
    monkeypatch.setattr(export, "PAGE", 10)
    ids = await write(recorder, 25)
    lines = b"".join([chunk async for chunk in export.jsonl(store)]).splitlines()
    items = [json.loads(line) for line in lines]
    assert [item["id"] for item in items] == sorted(ids)
    assert items[0]["target"] == ODD
    assert [item["outcome"] and item["outcome"]["state"] for item in items[:4]] == ["executed"] * 3 + [None]
    assert len([chunk async for chunk in export.jsonl(store, Filters(server="none"))]) == 0


async def test_csv_is_read_back_and_holds_no_formula(store: SqliteStore, recorder: Recorder) -> None:
    ids = await write(recorder, 5)
    text = b"".join([chunk async for chunk in export.as_csv(store)]).decode()
    assert text.count("\n") == 6
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ids
    assert rows[0]["target"].startswith("'=cmd()\\r\\n")
    assert rows[0]["rules"] == "payments/small-refunds"
    assert rows[0]["outcome_state"] == "executed"
    assert json.loads(rows[0]["arguments"]) == {ODD: ODD}


async def test_following_gives_each_new_decision_once(
    store: SqliteStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "POLL", 0.01)
    monkeypatch.setattr(export, "PAGE", 4)
    await write(recorder, 3)
    stream = export.follow(store, Clock())
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    ids = await write(recorder, 11)
    got = [(await asyncio.wait_for(waiting, 5))["id"]]
    got += [(await asyncio.wait_for(anext(stream), 5))["id"] for _ in range(10)]
    more = await write(recorder, 1)
    got.append((await asyncio.wait_for(anext(stream), 5))["id"])
    assert sorted(got) == sorted(ids + more)
    await stream.aclose()  # type: ignore[attr-defined]
