"""R-03, R-04, R-05, AUD-01 on SQLite: its file fails in every way; calls are refused in time, and served again."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.agents import Agent
from tests.support.disk import Disk, small_disk
from tests.support.faults import all_refused, serves_again
from tests.support.recording import Recording
from tests.support.running import ALLOW_ALL
from tests.support.service import Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("agents"), pytest.mark.slow, pytest.mark.shows("audit.1")]
CALLERS: Final = 20
LARGE: Final = "x" * 3000


@contextmanager
def serving(folder: Path, rec: Recording, on: Path) -> Iterator[Proxy]:
    """A proxy whose database is on this disk."""
    made = Proxy(folder / "one", {"rec": {"url": rec.url}}, {"all.yaml": ALLOW_ALL}, database=f"sqlite:///{on}/log.db")
    made.start()
    try:
        yield made
    finally:
        made.stop()


class Holder:
    """Another process's transaction, as far as SQLite can tell: nobody else may write."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, timeout=10)

    def hold(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def limit(proxy: Proxy, size: int) -> int:
    """Let the kernel refuse the proxy's writes into files behind so many bytes; what was the limit before."""
    before, most = resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (size, most))
    return before


def rename(folder: Path, old: str, new: str) -> None:
    """The file, and what belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        file = folder / f"{old}{suffix}"
        if file.exists():
            file.rename(folder / f"{new}{suffix}")


@dataclass(frozen=True, slots=True)
class Fault:
    """How it fails, and how it is mended."""

    name: str
    fail: Callable[[Disk, Proxy], Any]
    mend: Callable[[Disk, Proxy, Any], object]


def held(disk: Disk) -> Holder:
    """Someone else writes, and does not end."""
    made = Holder(disk.folder / "log.db")
    made.hold()
    return made


FAULTS: Final = (
    Fault("held by another process", lambda disk, _: held(disk), lambda _disk, _proxy, holder: holder.let_go()),
    Fault("a full disk", lambda disk, _: disk.fill(), lambda disk, *_: disk.free()),
    Fault(
        "writes fail",
        lambda _, proxy: limit(proxy, 1),
        lambda _, proxy, before: limit(proxy, before),
    ),
    Fault(
        "the file is gone",
        lambda disk, _: rename(disk.folder, "log.db", "moved.db"),
        lambda disk, *_: rename(disk.folder, "moved.db", "log.db"),
    ),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
async def test_refused_in_time_and_served_again(tmp_path: Path, rec: Recording, fault: Fault) -> None:
    with small_disk("8m") as disk, serving(tmp_path, rec, disk.folder) as proxy:
        agent = Agent(proxy.grant("agent:a", "rec"))
        before = await asyncio.gather(*(agent.call(proxy, number=number) for number in range(CALLERS)))
        assert all(said.executed for said in before)
        state = fault.fail(disk, proxy)
        try:
            if fault.name == "a full disk":
                await until_refused(agent, proxy)
            await all_refused(agent, proxy, rec, padding=LARGE)
        finally:
            fault.mend(disk, proxy, state)
        await serves_again(agent, proxy, rec)
        assert sound(disk.folder / "log.db")


async def until_refused(agent: Agent, proxy: Proxy) -> None:
    """What fits into pages that are there is written yet."""
    for _ in range(200):
        said = await asyncio.gather(*(agent.call(proxy, padding=LARGE) for _ in range(CALLERS)))
        assert {each.status for each in said} <= {200, 503}
        if {each.status for each in said} == {503}:
            return
    raise AssertionError("the disk is not full")


@pytest.mark.parametrize("seconds", [0.5, 5.0])
async def test_a_slow_database_means_refusals_and_nothing_without_a_row(
    tmp_path: Path, rec: Recording, seconds: float
) -> None:
    """R-04: whoever else writes takes half a second, or five, each time."""
    with small_disk("32m") as disk, serving(tmp_path, rec, disk.folder) as proxy:
        agent = Agent(proxy.grant("agent:a", "rec"))
        assert (await agent.call(proxy)).executed
        stop = asyncio.Event()

        async def slow() -> None:
            while not stop.is_set():
                holder = await asyncio.to_thread(held, disk)
                await asyncio.sleep(seconds)
                holder.let_go()
                await asyncio.sleep(0.05)

        holding = asyncio.create_task(slow())
        statuses = set()
        for _ in range(6):
            said = await asyncio.gather(*(agent.call(proxy, padding="x") for _ in range(CALLERS)))
            statuses |= {each.status for each in said}
            assert all(each.executed or each.told["reason_code"] == "audit_unavailable" for each in said)
        stop.set()
        await holding
        assert statuses <= {200, 503}
        assert 503 in statuses or seconds < 2
        await serves_again(agent, proxy, rec)


def sound(database: Path) -> bool:
    """What SQLite says of its file."""
    connection = sqlite3.connect(database)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
