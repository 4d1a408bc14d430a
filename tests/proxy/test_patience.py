"""What takes long is told so, once; what is over is left alone; and one timer does for all."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from policylayer.proxy.patience import LONG, Patience

pytestmark = pytest.mark.anyio


class Waiting:
    """Something that may take long."""

    def __init__(self) -> None:
        self.ended = False
        self.told = 0

    def is_long(self) -> None:
        self.told += 1


async def test_only_what_is_not_over_is_told() -> None:
    patience, quick, slow = Patience(), Waiting(), Waiting()
    patience.add(quick)
    patience.add(slow)
    quick.ended = True
    assert slow.told == 0
    while not slow.told:
        await asyncio.sleep(LONG)
    await asyncio.sleep(LONG * 2)
    assert (quick.told, slow.told) == (0, 1)
    assert not patience._waiting
    assert not patience._timed


class Broken(Waiting):
    """Something that cannot be told."""

    def is_long(self) -> None:
        super().is_long()
        raise ValueError("odd")


async def test_one_that_cannot_be_told_keeps_no_other_from_it() -> None:
    patience, broken, beside, after = Patience(), Broken(), Waiting(), Waiting()
    patience.add(broken)
    patience.add(beside)
    with capture_logs() as said:
        async with asyncio.timeout(5):
            while not broken.told:
                await asyncio.sleep(LONG)
            patience.add(after)
            while not (beside.told and after.told):
                await asyncio.sleep(LONG)
    assert [each["event"] for each in said] == ["what takes long cannot be watched"]


async def test_later_ones_are_told_later() -> None:
    patience, first, second = Patience(), Waiting(), Waiting()
    patience.add(first)
    while not first.told:
        await asyncio.sleep(LONG / 4)
    patience.add(second)
    assert second.told == 0
    while not second.told:
        await asyncio.sleep(LONG)
    assert first.told == 1
