"""The log in pages of stored rows, newest first: each once, whatever is written meanwhile."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from policylayer.audit import queries
from policylayer.audit.pages import newest, seen
from policylayer.audit.queries import EVERYTHING, Filters
from policylayer.audit.recorder import Recorder
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.policy.recorded import Kept, kept, loaded
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import EXECUTED, context, decision, record

pytestmark = pytest.mark.anyio


async def written(recorder: Recorder, **asked: Any) -> str:
    reply = await recorder.record(record(), context(**asked))
    assert isinstance(reply, Recorded)
    await recorder.outcome(RecordOutcome(reply.row_id, EXECUTED, decision()))
    return reply.row_id


async def every(store: SqliteStore, filters: Filters = EVERYTHING, size: int = 2) -> list[Kept]:
    found: list[Kept] = []
    before = None
    while page := await store.read(partial(newest, filters=filters, before=before, size=size)):
        found += page
        before = page[-1].id
    return found


async def test_decisions_alone_the_newest_first(store: SqliteStore, recorder: Recorder) -> None:
    ids = [await written(recorder, arguments={"n": n}) for n in range(5)]
    found = await every(store)
    assert [row.id for row in found] == ids[::-1]
    assert [loaded(row.arguments)["n"] for row in found] == [4, 3, 2, 1, 0]


async def test_rows_that_come_meanwhile_are_not_seen(store: SqliteStore, recorder: Recorder) -> None:
    ids = [await written(recorder) for _ in range(4)]
    first = await store.read(partial(newest, filters=EVERYTHING, before=None, size=2))
    await written(recorder)
    rest = await store.read(partial(newest, filters=EVERYTHING, before=first[-1].id, size=9))
    assert [row.id for row in (*first, *rest)] == ids[::-1]


async def test_filters_are_those_of_the_log(store: SqliteStore, recorder: Recorder) -> None:
    await written(recorder)
    other = await written(recorder, principal="agent:other", server="files")
    assert [row.id for row in await every(store, Filters(principal="agent:other"))] == [other]
    assert [row.id for row in await every(store, Filters(server="files"))] == [other]
    (row,) = await every(store, Filters(server="files"))
    assert await every(store, Filters(since=row.time_us + 1)) == []
    assert len(await every(store, Filters(until=row.time_us + 1))) == 2


async def test_a_row_is_the_same_as_it_is_shown(store: SqliteStore, recorder: Recorder) -> None:
    row_id = await written(recorder, arguments={"n": 1, "password": "x"}, labels=frozenset({"untrusted"}))
    (row,) = await every(store)
    shown = await store.read(partial(queries.decision, row_id=row_id))
    assert shown is not None
    json = ("rules", "arguments", "input", "labels", "detail")
    stored = row._replace(**{name: loaded(getattr(row, name)) for name in json})
    assert kept(shown) == stored._replace(input=None)


async def test_who_called_what(store: SqliteStore, recorder: Recorder) -> None:
    for _ in range(2):
        await written(recorder)
    await written(recorder, principal="agent:other", server="files", target="read_file")
    found = await store.read(partial(seen, filters=Filters(method="tools/call"), most=10))
    assert sorted(found, key=str) == [
        ("agent:other", "files", None, "read_file"),
        ("agent:refund-bot", "shop", None, "refund"),
    ]
    assert len(await store.read(partial(seen, filters=EVERYTHING, most=1))) == 1
