"""A damaged row is shown as far as it can be read, on its page and in files; all others are shown as ever."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import jsonschema_rs
import orjson
import pytest

from policylayer.api.schemas import standalone
from policylayer.audit import forms, queries
from policylayer.audit.queries import Page
from policylayer.audit.recorder import Recorder
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.core.decision import Effect
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import EXECUTED, context, decision, record

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]
Sql = Callable[..., list[dict[str, Any]]]
DEEP = "[" * 300 + "]" * 300

OF_A_ROW = {
    "target = CAST(target AS BLOB)": (["target"], "target", "refund"),
    "target = CAST(x'ff41' AS TEXT)": (["target"], "target", "\\xffA"),
    "on_behalf_of = x'00', grant_id = x'00'": (["for", "grant"], "arguments", {"amount": 100}),
    "link = 4000000000000": (["link"], "target", "refund"),
    "kind = kind, chain = x'ff'": (["chain"], "chain", "\\xff"),
    "seq = 'x'": (["seq"], "seq", None),
    "time_us = 'later'": (["time"], "time", "1970-01-01T00:00:00.000000Z"),
    "time_us = 1 << 62": (["time"], "time", "1970-01-01T00:00:00.000000Z"),
    "rules = 'x'": (["rules"], "rules", []),
    "rules = '[1]'": (["rules"], "rules", []),
    "rules = CAST(x'ff41' AS TEXT)": (["rules"], "rules", []),
    "observed = '{}'": (["observed"], "observed", []),
    "arguments = '{\"a'": (["arguments"], "arguments", None),
    f"arguments = '{DEEP}'": (["arguments"], "arguments", None),
    "labels = '5', charges = '5'": (["labels", "charges"], "labels", []),
    "detail = '[]'": (["detail"], "kind", "decision"),
    "effect = 'perhaps', enforced = x'00'": (["enforced", "effect"], "effect", None),
    "reason_code = x'ff'": (["reason_code"], "reason_code", "\\xff"),
    "decide_us = -1": (["decide_us"], "kind", "decision"),
    "decide_us = 9e999": (["decide_us"], "kind", "decision"),
    "id = CAST(id AS BLOB)": (["id"], "target", "refund"),
    "id = CAST(substr(id, 1, 20) || x'ff' AS TEXT)": (["id"], "target", "refund"),
}
"""What is put into a row; what it is then said to be damaged in, and a member of it as it is shown."""

OF_ITS_OUTCOME = {
    "time_us = 9e999": "outcome.time",
    "state = x'ff'": "outcome.state",
    "upstream_us = 'x'": "outcome.upstream_us",
    "reason = CAST(x'ff' AS TEXT)": "outcome.reason",
}


async def written(store: SqliteStore, effect: Effect = Effect.ALLOW, count: int = 3) -> list[str]:
    recorder = Recorder(store, store._keys, store._clock)
    replies = await asyncio.gather(*(recorder.record(record(effect), context()) for _ in range(count)))
    ids = [reply.row_id for reply in replies if isinstance(reply, Recorded)]
    for row_id in ids:
        await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision(effect)))
    await recorder.drained()
    await recorder.close()
    return ids


async def paged(store: SqliteStore, limit: int, newest_first: bool) -> list[dict[str, Any]]:
    """All pages, each as the API describes it."""
    found: list[dict[str, Any]] = []
    at: str | None = None
    while at is not None or not found:
        if newest_first:
            page: Page = await store.read(partial(queries.decisions, limit=limit, cursor=at))
        else:
            page = await store.read(partial(queries.oldest_first, filters=queries.Filters(), limit=limit, after=at))
        shown = orjson.loads(orjson.dumps({"items": page.items, "next": page.next}))
        jsonschema_rs.validate(standalone("Decisions"), shown)
        found += shown["items"]
        assert len(found) < 100, "a page that leads back to itself"
        at = page.next
    return found


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("change", OF_A_ROW)
async def test_a_damaged_row_is_shown_and_named(store: SqliteStore, sql: Sql, change: str, newest_first: bool) -> None:
    ids = await written(store)
    sql("DROP TRIGGER records_no_update")
    sql(f"UPDATE records SET {change} WHERE id = ?", ids[1])
    named, member, shown = OF_A_ROW[change]
    for limit in (1, 2, 50):
        items = await paged(store, limit, newest_first)
        assert len(items) == 3
        (damaged,) = [item for item in items if "damaged" in item["detail"]]
        assert damaged["detail"] == {"damaged": named}
        assert damaged[member] == shown
        others = [item["id"] for item in items if item is not damaged]
        assert others == ([ids[2], ids[0]] if newest_first else [ids[0], ids[2]])


@pytest.mark.parametrize("change", OF_ITS_OUTCOME)
async def test_so_is_a_damaged_outcome(store: SqliteStore, sql: Sql, change: str) -> None:
    ids = await written(store)
    sql("DROP TRIGGER records_no_update")
    sql(f"UPDATE records SET {change} WHERE parent = ?", ids[1])
    items = await paged(store, 50, newest_first=False)
    assert [item["detail"] for item in items] == [{}, {"damaged": [OF_ITS_OUTCOME[change]]}, {}]
    item = await store.read(partial(queries.decision, row_id=ids[1]))
    assert item is not None
    assert (item["outcome"]["size"], item["detail"]) == (88, items[1]["detail"])


@pytest.mark.parametrize("change", [*OF_A_ROW, *OF_ITS_OUTCOME])
async def test_damaged_rows_leave_in_every_form(store: SqliteStore, sql: Sql, change: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="`pyarrow` is not installed")
    from policylayer.audit.parquet import Parquet

    ids = await written(store)
    sql("DROP TRIGGER records_no_update")
    sql(
        f"UPDATE records SET {change} WHERE ? IN (id, parent) AND (kind = 'outcome') = ?",
        ids[1],
        change in OF_ITS_OUTCOME,
    )
    page: Page = await store.read(partial(queries.oldest_first, filters=queries.Filters(), limit=50, after=None))
    assert forms.jsonl(page.items).count(b"\n") == 3
    assert forms.csv_lines(page.items).count(b"\n") == 3
    with io.BytesIO() as out:
        with Parquet(out) as table:
            table.add(page.items)
        assert parquet.read_table(out).num_rows == 3


async def test_more_damaged_ids_than_a_page_holds_are_one_page(store: SqliteStore, sql: Sql) -> None:
    ids = await written(store, count=8)
    sql("DROP TRIGGER records_no_update")
    sql("UPDATE records SET id = CAST(id AS BLOB) WHERE kind = 'decision' AND id > ?", ids[1])
    items = await paged(store, 2, newest_first=True)
    assert [item["id"] for item in items] == [*ids[:1:-1], ids[1], ids[0]]


async def test_a_page_that_looks_for_a_text_goes_on_behind_a_damaged_id(
    store: SqliteStore, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LOOKED", 2)
    ids = await written(store, count=8)
    sql("DROP TRIGGER records_no_update")
    sql("UPDATE records SET id = CAST(substr(id, 1, 35) || x'ff' AS TEXT) WHERE id = ?", ids[3])
    found: list[str] = []
    at: str | None = None
    while at is not None or not found:
        page: Page = await store.read(
            partial(queries.decisions, filters=queries.Filters(q="refund"), limit=50, cursor=at)
        )
        found += [item["id"] for item in page.items]
        at = page.next
    assert [row_id for row_id in found if row_id in ids] == [*ids[:3:-1], *ids[2::-1]]
    assert len(found) == 8


@pytest.mark.parametrize("detail", ["x'ff41'", "CAST(x'ff41' AS TEXT)", "'[]'", "'{'"])
async def test_a_damaged_event_is_shown_and_named(store: SqliteStore, sql: Sql, detail: str) -> None:
    recorder = Recorder(store, store._keys, store._clock)
    for _ in range(3):
        await recorder.event("grant.created", "user:a", {"name": "x"})
    await recorder.close()
    sql("DROP TRIGGER records_no_update")
    sql(f"UPDATE records SET detail = {detail}, principal = x'ff' WHERE id = (SELECT max(id) FROM records)")
    page: Page = await store.read(partial(queries.events, type="grant."))
    jsonschema_rs.validate(standalone("Events"), orjson.loads(orjson.dumps({"items": page.items, "next": page.next})))
    assert [item["detail"] for item in page.items] == [
        {"damaged": page.items[0]["detail"]["damaged"]},
        *[{"name": "x"}] * 2,
    ]
    assert set(page.items[0]["detail"]["damaged"]) == {"principal", "detail"}
