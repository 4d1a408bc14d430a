"""Decisions as they leave the log: one line each, whatever is in them, and nothing that a spreadsheet calculates."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from functools import partial
from typing import Any

import pytest

from policylayer.audit import forms, queries
from policylayer.audit.queries import EVERYTHING, Page
from policylayer.audit.recorder import Recorder
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.core.decision import Effect
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import EXECUTED, context, decision, record

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]
ODD = "=cmd()\r\nx\u2028\x1b[31m,\"'"


async def written(store: SqliteStore, recorder: Recorder, count: int) -> list[dict[str, Any]]:
    """So many odd decisions, as they are read."""
    replies = await asyncio.gather(
        *(recorder.record(record(Effect.ALLOW, reason=ODD), context({ODD: ODD}, target=ODD)) for _ in range(count))
    )
    for reply in replies[:3]:
        assert isinstance(reply, Recorded)
        await recorder.outcome(RecordOutcome(reply.row_id, EXECUTED, decision()))
    await recorder.drained()
    page: Page = await store.read(partial(queries.oldest_first, filters=EVERYTHING, limit=100, after=None))
    return page.items


async def test_jsonl_has_each_decision_on_one_line(store: SqliteStore, recorder: Recorder) -> None:
    """AUD-14."""
    items = await written(store, recorder, 25)
    text = forms.jsonl(items)
    assert text.count(b"\n") == 25
    assert [json.loads(line) for line in text.split(b"\n")[:-1]] == items
    assert items[0]["target"] == ODD
    assert [item["outcome"] and item["outcome"]["state"] for item in items[:4]] == ["executed"] * 3 + [None]


async def test_csv_is_read_back_and_holds_no_formula(store: SqliteStore, recorder: Recorder) -> None:
    items = await written(store, recorder, 5)
    text = (forms.csv_header() + forms.csv_lines(items)).decode()
    assert text.count("\n") == 6
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == [item["id"] for item in items]
    assert rows[0]["target"].startswith("'=cmd()\\r\\n")
    assert rows[0]["rules"] == "payments/small-refunds"
    assert rows[0]["outcome_state"] == "executed"
    assert json.loads(rows[0]["arguments"]) == {ODD: ODD}
