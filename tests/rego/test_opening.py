"""Opening Rego where a worker cannot be started: it is said in words, and no process and no socket is left over."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import psutil
import pytest

from policylayer.rego import pool
from policylayer.rego.embedded import Embedded
from policylayer.rego.pool import EngineFailure, Pool, PoolSettings
from tests.rego.test_embedded import HEAD, RULES, describe, everything, question

pytest.importorskip("regorus", reason="the extra `rego` is not installed")
pytestmark = pytest.mark.anyio


class Forks:
    """A machine that cannot fork the worker of this number, or where that one takes no connection."""

    def __init__(self, failing: int) -> None:
        self.failing, self.done = failing, 0
        self._popen = subprocess.Popen

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.done += 1
        if self.done == self.failing:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return self._popen(*arguments, **options)


def held() -> tuple[set[int], int]:
    """The children and the number of descriptors of this process."""
    me = psutil.Process()
    return {child.pid for child in me.children()}, me.num_fds()


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_a_fork_that_fails_leaves_nothing_and_is_told(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(int)  # the loop's own thread, before descriptors are counted
    before = held()
    monkeypatch.setattr(pool.subprocess, "Popen", Forks(failing))
    engine, problems = await Embedded.open({"a.rego": RULES.encode()}, {}, everything, PoolSettings(workers=3))
    assert engine is None
    (problem,) = problems
    assert "could not be started (Resource temporarily unavailable)" in problem.message
    assert "the machine is short of" in str(problem.help)
    assert held() == before


async def test_a_worker_that_cannot_be_connected_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(int)
    before = held()

    async def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", refuse)
    with pytest.raises(EngineFailure, match="Too many open files"):
        await Pool([[("a.rego", HEAD)]], PoolSettings()).start()
    assert held() == before


async def test_opening_that_is_given_up_leaves_nothing() -> None:
    await asyncio.to_thread(int)
    before = held()
    work = asyncio.ensure_future(Embedded.open({"a.rego": RULES.encode()}, {}, everything, PoolSettings(workers=3)))
    while not held()[0] - before[0]:
        await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert held() == before


async def test_what_has_ended_says_so_at_once_and_denies() -> None:
    engine, _ = await Embedded.open({"a.rego": RULES.encode()}, {}, everything, PoolSettings(workers=1))
    assert engine is not None
    await engine.close()
    async with asyncio.timeout(0.5):
        (found,) = await engine.findings(question(), describe)
    assert found.failure == "engine_error"
    assert "has ended" in found.reason
