"""Freezes: kept in the database, in force in memory at once, ended by name, and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from policylayer.clock import Clock
from policylayer.freezes import Desk, Freezes, freeze, in_force, thaw
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from policylayer.store.tables import records

pytestmark = pytest.mark.anyio
KEYS = Keys([bytes(range(32))])


def desk(store: SqliteStore, clock: Clock, ended: list[tuple[str, str | None]]) -> Desk:
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
