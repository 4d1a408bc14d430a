"""Counts over the log."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from policylayer.audit import stats
from policylayer.audit.queries import Filters
from policylayer.clock import Clock
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
CLOCK = Clock()
MINUTE = 60_000_000


def row(minute: int, effect: str, *rules: str) -> Row:
    named = ",".join(f'{{"policy":"p","rule":"{rule}","file":"f","line":1}}' for rule in rules)
    return Row(
        id=CLOCK.new_id(),
        kind="decision",
        time_us=minute * MINUTE,
        effect=effect,
        server="a" if minute else "b",
        rules=f"[{named}]" if rules else None,
    )


async def counted(store: SqliteStore, by: Any, **filters: Any) -> list[tuple[Any, int]]:
    found = await store.read(partial(stats.counts, by=by, filters=Filters(**filters)))
    return [(each["key"], each["count"]) for each in found.items]


@pytest.fixture
async def filled(store: SqliteStore) -> SqliteStore:
    await store.append(
        (
            row(0, "allow", "x"),
            row(0, "allow", "x", "y"),
            row(1, "deny", "y"),
            row(1, "allow"),
            row(90, "allow", "y"),
            Row(id=CLOCK.new_id(), kind="outcome", time_us=0, parent="p", state="executed"),
        )
    )
    return store


async def test_counts_by_value(filled: SqliteStore) -> None:
    assert await counted(filled, "effect") == [("allow", 4), ("deny", 1)]
    assert await counted(filled, "rule") == [("p/y", 3), ("p/x", 2)]
    assert await counted(filled, "rule", effect="deny") == [("p/y", 1)]
    assert await counted(filled, "server") == [("a", 3), ("b", 2)]
    assert await counted(filled, "server", server="none") == []


@pytest.mark.parametrize("by", stats.BY)
async def test_everything_that_can_be_counted_is(filled: SqliteStore, by: stats.By) -> None:
    assert sum(count for _, count in await counted(filled, by)) >= 5


async def test_counts_over_time(filled: SqliteStore) -> None:
    found = await filled.read(partial(stats.series, step_us=MINUTE))
    assert found.items == [
        {"time": "1970-01-01T00:00:00.000000Z", "counts": {"allow": 2}},
        {"time": "1970-01-01T00:01:00.000000Z", "counts": {"allow": 1, "deny": 1}},
        {"time": "1970-01-01T01:30:00.000000Z", "counts": {"allow": 1}},
    ]
    assert await filled.read(partial(stats.series, step_us=MINUTE, filters=Filters(server="none"))) == stats.Counted([])


async def test_a_series_has_a_bounded_number_of_steps(filled: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "POINTS", 2)
    assert len((await filled.read(partial(stats.series, step_us=1))).items) == 2


async def test_of_very_many_rows_the_newest_are_counted_and_it_is_said_since_when(
    filled: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await filled.read(partial(stats.counts, by="effect"))).since is None
    monkeypatch.setattr(stats, "COUNTED", 3)
    found = await filled.read(partial(stats.counts, by="effect"))
    assert found == stats.Counted([{"key": "allow", "count": 2}], "1970-01-01T00:01:00.000000Z")
    found = await filled.read(partial(stats.series, step_us=MINUTE))
    assert [each["time"] for each in found.items] == ["1970-01-01T00:01:00.000000Z", "1970-01-01T01:30:00.000000Z"]
    assert (await filled.read(partial(stats.counts, by="effect", filters=Filters(effect="deny")))).since is None
