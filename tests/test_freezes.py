"""Freezes: kept in the database, in force in memory at once, ended by name, and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from policylayer.clock import Clock
from policylayer.freezes import Desk, Freezes, freeze, in_force, page, thaw
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program, Store, open_store
from policylayer.store.tables import freezes as table
from policylayer.store.tables import records

pytestmark = pytest.mark.anyio
KEYS = Keys([bytes(range(32))])


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: Any, tmp_path: Path) -> AsyncIterator[Store]:
    """One of each database."""
    made = f"sqlite:///{tmp_path / 'a.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_store(made, KEYS, Clock(), Program("test"))
    await opened.start()
    yield opened
    await opened.close()


def desk(store: Store, clock: Clock, ended: list[tuple[str, str | None]]) -> Desk:
    def make_event(type: str, actor: str, detail: Mapping[str, Any]) -> Row:
        return Row(id=clock.new_id(), kind="event", time_us=clock.time_us(), reason_code=type, detail=repr(detail))

    return Desk(store, clock, make_event, lambda conn, add, scope, name, actor: ended.append((scope, name)))


def events(connection: Connection) -> list[str]:
    query = select(records.c.reason_code).where(records.c.kind == "event").order_by(records.c.id)
    return [row[0] for row in connection.execute(query) if row[0] in ("freeze", "thaw")]


async def test_what_is_frozen_stays_so_until_it_is_thawed(tmp_path: Path) -> None:
    clock = Clock()
    ended: list[tuple[str, str | None]] = []
    store = SqliteStore(tmp_path / "a.db", KEYS, clock, Program("test"))
    await store.start()
    freezes = Freezes(store)
    await freezes.start()
    changed = asyncio.Event()
    freezes.subscribe(changed.set)
    try:
        assert freezes.frozen(["agent:a"], "shop") is None
        made = await freeze(desk(store, clock, ended), "principal", "agent:a", "leaked\x00key", "user:op")
        await asyncio.wait_for(changed.wait(), 2)
        found = freezes.frozen(["user:b", "agent:a"], "shop")
        assert found is not None
        assert (found.id, found.reason) == (made.id, "leaked\\u0000key")
        assert freezes.frozen(["agent:b"], "shop") is None

        again = Freezes(store)
        await again.start()
        assert again.frozen(["agent:a"], "x") is not None
        await again.close()

        changed.clear()
        assert await thaw(desk(store, clock, ended), "principal", "agent:b", "user:op") == []
        (thawed,) = await thaw(desk(store, clock, ended), "principal", "agent:a", "user:op")
        assert thawed.as_json()["thawed_by"] == "user:op"
        async with asyncio.timeout(2):
            while freezes.frozen(["agent:a"], "shop") is not None:
                await changed.wait()
                changed.clear()
        assert await store.read(events) == ["freeze", "thaw"]
        assert ended == [("principal", "agent:a")]
    finally:
        await freezes.close()
        await store.close()


@pytest.mark.parametrize(("scope", "name"), [("all", None), ("server", "shop")])
async def test_servers_and_everything(tmp_path: Path, scope: str, name: str | None) -> None:
    clock = Clock()
    ended: list[tuple[str, str | None]] = []
    store = SqliteStore(tmp_path / "a.db", KEYS, clock, Program("test"))
    await store.start()
    try:
        await freeze(desk(store, clock, ended), scope, name, "stop", "user:op")  # type: ignore[arg-type]
        freezes = Freezes(store)
        await freezes.start()
        assert freezes.frozen(["agent:a"], "shop") is not None
        assert (freezes.frozen(["agent:a"], "files") is not None) == (scope == "all")
        assert [each.scope for each in await store.read(in_force)] == [scope]
        await freezes.close()
    finally:
        await store.close()


def doubled(clock: Clock, scope: str, name: str | None, number: int) -> list[dict[str, Any]]:
    """Rows as they would be if freezing again made one each time, or as replicas make them at the same moment."""
    return [
        {"id": clock.new_id(), "scope": scope, "name": name, "reason": "again", "created_us": 1} for _ in range(number)
    ]


async def test_however_many_come_after_it_a_freeze_is_enforced(store: Store) -> None:
    clock = Clock()
    for scope, name in (("all", None), ("principal", "agent:a"), ("server", "shop")):
        await freeze(desk(store, clock, []), scope, name, f"stop {scope}", "user:op")  # type: ignore[arg-type]
    others = doubled(clock, "principal", "agent:bad", 10_000)
    await store.write(lambda connection: connection.execute(insert(table), others) and None)
    freezes = Freezes(store)
    await freezes.start()
    try:
        assert (found := freezes.frozen(["agent:x"], "x")) is not None
        assert found.reason == "stop all"
        assert len(await store.read(in_force)) == 4
        await thaw(desk(store, clock, []), "all", None, "user:op")
        await freezes.followed.refresh()
        assert freezes.frozen(["agent:x"], "x") is None
        for principal, server in (("agent:a", "x"), ("agent:x", "shop"), ("agent:bad", "x")):
            assert freezes.frozen([principal], server) is not None, (principal, server)
    finally:
        await freezes.close()


@pytest.mark.parametrize(("scope", "name"), [("all", None), ("principal", "agent:a")])
async def test_what_is_frozen_is_not_frozen_twice(store: Store, scope: Any, name: str | None) -> None:
    clock = Clock()
    ended: list[tuple[str, str | None]] = []
    first = await freeze(desk(store, clock, ended), scope, name, "leaked", "user:op")
    again = [await freeze(desk(store, clock, ended), scope, name, "odd", "user:other") for _ in range(3)]
    assert again == [first, first, first]
    assert (await store.read(page))[0] == [first]
    assert await store.read(events) == ["freeze"]
    # What a replica that had not heard of it let wait since the first one ends with the next.
    assert ended == [(scope, name)] * 4
    assert [each.id for each in await thaw(desk(store, clock, ended), scope, name, "user:op")] == [first.id]
    assert (await freeze(desk(store, clock, ended), scope, name, "odd", "user:op")).id != first.id


async def test_thawing_ends_all_that_were_made_at_the_same_moment(store: Store) -> None:
    clock = Clock()
    twice = doubled(clock, "server", "shop", 2)
    await store.write(lambda connection: connection.execute(insert(table), twice) and None)
    assert (await freeze(desk(store, clock, []), "server", "shop", "odd", "user:op")).id == twice[0]["id"]
    thawed = await thaw(desk(store, clock, []), "server", "shop", "user:op")
    assert [each.id for each in thawed] == [each["id"] for each in twice]
    assert await store.read(in_force) == []
    assert await thaw(desk(store, clock, []), "server", "shop", "user:op") == []


async def test_freezing_while_another_replica_thaws_leaves_it_frozen(postgres_url: str) -> None:
    asyncpg = pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    clock = Clock()
    store = open_store(postgres_url, KEYS, clock, Program("test"))
    await store.start()
    other = await asyncpg.connect(postgres_url)
    try:
        first = await freeze(desk(store, clock, []), "all", None, "stop", "user:op")
        async with other.transaction():
            await other.execute("UPDATE freezes SET thawed_us = 1 WHERE id = $1", first.id)
            freezing = asyncio.ensure_future(freeze(desk(store, clock, []), "all", None, "stop", "user:op"))
            await asyncio.sleep(0.1)
        made = await freezing
        assert made.id != first.id
        assert await store.read(in_force) == [made]
    finally:
        await other.close()
        await store.close()


async def test_pages_hold_each_freeze_once_newest_first(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "a.db", KEYS, clock, Program("test"))
    await store.start()
    try:
        for number in range(5):
            await freeze(desk(store, clock, []), "principal", f"agent:{number}", "odd", "user:op")
        found, cursor = await store.read(lambda connection: page(connection, limit=2))
        while cursor is not None:
            more, cursor = await store.read(lambda connection, at=cursor: page(connection, limit=2, cursor=at))  # type: ignore[misc]
            found += more
        assert [each.name for each in found] == [f"agent:{number}" for number in (4, 3, 2, 1, 0)]
    finally:
        await store.close()
