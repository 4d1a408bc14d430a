"""What the API's handlers work with: nobody who looks through the log keeps a call from being let in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from policylayer.api.services import BROWSING, Services
from policylayer.store import sqlite

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.7")]


class Slow:
    """A store whose reads end when they may."""

    def __init__(self) -> None:
        self.reading = 0
        self.may_end = asyncio.Event()

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        self.reading += 1
        await self.may_end.wait()
        self.reading -= 1
        return fn(None)


async def test_of_many_who_look_through_the_log_few_read_at_once() -> None:
    store, nothing = Slow(), cast(Any, None)
    services = Services(cast(Any, store), nothing, nothing, nothing, nothing, nothing, nothing)
    asked = [asyncio.ensure_future(services.browse(lambda _, n=number: n)) for number in range(10)]
    await asyncio.sleep(0)
    assert store.reading == BROWSING
    store.may_end.set()
    assert await asyncio.gather(*asked) == list(range(10))


def test_some_readers_are_left_for_calls() -> None:
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    from policylayer.store import postgres

    assert min(postgres.READERS, sqlite.READERS) >= BROWSING + 2
