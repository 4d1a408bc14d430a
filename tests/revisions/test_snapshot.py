"""Waiting until a source is at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from policylayer.revisions.snapshot import QUIET_US, Snapshot, Unsettled, settled

pytestmark = pytest.mark.anyio
NOW = 1_000_000_000


class Script:
    """A source whose reads are written down."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self._reads: Iterator[Snapshot] = chain(snapshots, repeat(snapshots[-1]))
        self.count = 0

    def read(self) -> Snapshot:
        """The next one; the last again and again."""
        self.count += 1
        return next(self._reads)

    def state(self) -> object:
        """Not asked here."""
        raise AssertionError

    def commit(self) -> str | None:
        """None."""
        return None


def at(age_us: int, text: str = "x", lock: str | None = None) -> Snapshot:
    """A read in which the newest change is that old."""
    return Snapshot({"a.yaml": text.encode()}, (), (age_us, text), NOW - age_us, lock)


async def test_what_is_at_rest_is_read_twice() -> None:
    source = Script(at(QUIET_US))
    assert (await settled(source, lambda: NOW)).files == {"a.yaml": b"x"}
    assert source.count == 2


async def test_what_changes_between_two_reads_is_read_again() -> None:
    source = Script(at(QUIET_US, "a"), at(QUIET_US, "b"), at(QUIET_US, "c"), at(QUIET_US, "c"))
    assert (await settled(source, lambda: NOW)).files == {"a.yaml": b"c"}
    assert source.count == 4


async def test_equal_contents_that_were_written_again_are_read_again() -> None:
    source = Script(at(QUIET_US + 5), at(QUIET_US + 4), at(QUIET_US + 4))
    await settled(source, lambda: NOW)
    assert source.count == 3


async def test_what_was_just_written_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await settled(Script(at(100_000)), lambda: NOW)
    await settled(Script(at(-5_000_000)), lambda: NOW)
    assert slept == [0.4, 0.5]


async def test_nothing_is_read_as_whole_while_a_lock_is_held() -> None:
    free = at(QUIET_US)
    held = at(QUIET_US, lock="index.lock")
    assert await settled(Script(held, held, free, free), lambda: NOW) == free
    assert await settled(Script(free, held, free, free), lambda: NOW) == free


async def test_a_lock_that_stays_and_files_that_keep_changing_are_told() -> None:
    with pytest.raises(Unsettled, match=r"index\.lock"):
        await settled(Script(at(QUIET_US, lock="index.lock")), lambda: NOW, patience=0.05)
    restless = [at(QUIET_US, str(number)) for number in range(100_000)]
    with pytest.raises(Unsettled, match="keep changing"):
        await settled(Script(*restless), lambda: NOW, patience=0.05)
