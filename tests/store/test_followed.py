"""What is kept in memory of a table is believed for a second, unless the store has surely heard of everything since."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from policylayer.core.errors import AuditUnavailable
from policylayer.store import followed as followed_module
from policylayer.store.followed import Followed, Together

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.4")]


class Fake:
    """A store whose one value may be changed, with or without a word; `broken` answers nothing, `slow` later."""

    def __init__(self) -> None:
        self.value = 0
        self.heard = math.inf
        self.broken = False
        self.slow: asyncio.Event | None = None
        self.reads = 0
        self._tell: Callable[[], None] = lambda: None

    def subscribe(self, topic: str, callback: Callable[[], None]) -> Callable[[], None]:
        self._tell = callback
        return lambda: None

    async def read(self, fn: Any) -> Any:
        self.reads += 1
        value = fn(self)
        if self.slow is not None:
            await self.slow.wait()
        if self.broken:
            raise AuditUnavailable("gone")
        return value

    def change(self, *, tell: bool = True) -> None:
        self.value += 1
        if tell:
            self._tell()


class Kept:
    """What is followed of it."""

    def __init__(self, store: Fake) -> None:
        self.value = -1
        self.followed: Followed[int] = Followed(store, "freezes", lambda fake: fake.value, self._take)  # type: ignore[arg-type,attr-defined]

    def _take(self, value: int) -> None:
        self.value = value


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is a tenth."""
    monkeypatch.setattr(followed_module, "FRESH", 0.1)
    monkeypatch.setattr(followed_module, "RETRY", 0.01)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("impatient")
async def test_a_change_is_read_when_it_is_told() -> None:
    store = Fake()
    kept = Kept(store)
    await kept.followed.start()
    assert kept.value == 0
    store.change()
    await until(lambda: kept.value == 1)
    assert not kept.followed.stale
    await asyncio.sleep(0.15)
    assert not kept.followed.stale, "whoever surely hears of everything need not ask"
    await kept.followed.close()


@pytest.mark.usefixtures("impatient")
async def test_who_hears_nothing_any_more_does_not_believe_what_it_knew() -> None:
    store = Fake()
    kept = Kept(store)
    await kept.followed.start()
    store.heard = 0.0
    store.change(tell=False)
    assert not kept.followed.stale
    await until(lambda: kept.followed.stale)
    await kept.followed.refresh()
    assert (kept.value, kept.followed.stale) == (1, False)
    store.broken = True
    await until(lambda: kept.followed.stale)
    with pytest.raises(AuditUnavailable):
        await kept.followed.refresh()
    assert kept.followed.stale
    await kept.followed.close()


@pytest.mark.usefixtures("impatient")
async def test_a_change_that_is_told_and_cannot_be_read_is_not_forgotten() -> None:
    store = Fake()
    kept = Kept(store)
    await kept.followed.start()
    store.slow = asyncio.Event()
    store.change()
    await until(lambda: kept.followed.stale)
    assert kept.value == 0
    store.broken = True
    store.slow.set()
    await asyncio.sleep(0.05)
    assert kept.followed.stale
    store.broken = False
    await until(lambda: kept.value == 1)
    assert not kept.followed.stale
    await kept.followed.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["read", "take"])
async def test_an_error_of_ours_ends_no_following_and_what_was_not_taken_is_not_believed(where: str) -> None:
    store = Fake()
    kept = Kept(store)
    await kept.followed.start()
    real = getattr(kept.followed, f"_{where}")

    def odd(_: Any) -> None:
        raise ValueError("odd")

    setattr(kept.followed, f"_{where}", odd)
    with capture_logs() as said:
        store.change()
        await until(lambda: kept.followed.stale)
        with pytest.raises(ValueError, match="odd"):
            await kept.followed.refresh()
        setattr(kept.followed, f"_{where}", real)
        await until(lambda: kept.value == 1)
    assert not kept.followed.stale
    assert [each["event"] for each in said if "task" not in each] == ["freezes cannot be read"]
    await kept.followed.close()


async def test_all_who_want_it_read_wait_for_one_reading() -> None:
    store = Fake()
    kept = Kept(store)
    await kept.followed.start()
    store.slow, before = asyncio.Event(), store.reads
    waiting = [asyncio.ensure_future(kept.followed.refresh()) for _ in range(50)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    store.slow.set()
    await asyncio.gather(*waiting[1:])
    assert store.reads == before + 1
    await kept.followed.close()


@pytest.mark.usefixtures("impatient")
async def test_several_are_as_stale_as_the_worst_of_them() -> None:
    one, two = Fake(), Fake()
    kept = [Kept(one), Kept(two)]
    for each in kept:
        await each.followed.start()
    together = Together([each.followed for each in kept])
    assert not together.stale
    two.heard = 0.0
    two.change(tell=False)
    await until(lambda: together.stale)
    await together.refresh()
    assert (kept[1].value, together.stale) == (1, False)
    for each in kept:
        await each.followed.close()
