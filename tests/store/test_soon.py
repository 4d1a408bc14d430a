"""Reads that calls wait for are given up in time, however long letting go takes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from policylayer.core.errors import AuditUnavailable
from policylayer.store import soon
from policylayer.store.store import Store

pytestmark = pytest.mark.anyio


class Slow:
    """A store whose connection cannot even be let go of."""

    def __init__(self, error: Exception | None = None) -> None:
        self.let_go = asyncio.Event()
        self.ended = asyncio.Event()
        self.error = error

    async def read(self, _fn: Any) -> int:
        if self.error is not None:
            raise self.error
        try:
            await asyncio.Event().wait()
        finally:
            await self.let_go.wait()
            self.ended.set()
        return 0


@pytest.mark.shows("audit.3")
async def test_nobody_waits_for_the_end_of_a_read_that_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soon, "PATIENCE", 0.01)
    slow = Slow()
    with pytest.raises(AuditUnavailable, match="in time"):
        await soon.read_soon(cast(Store, slow), lambda _: None)
    assert not slow.ended.is_set()
    slow.let_go.set()
    await slow.ended.wait()


async def test_a_reads_own_failure_is_told() -> None:
    with pytest.raises(AuditUnavailable, match="gone"):
        await soon.read_soon(cast(Store, Slow(AuditUnavailable("gone"))), lambda _: None)


async def test_whoever_goes_away_ends_the_read() -> None:
    slow = Slow()
    asking = asyncio.ensure_future(soon.read_soon(cast(Store, slow), lambda _: None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    slow.let_go.set()
    asking.cancel()
    await slow.ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking
