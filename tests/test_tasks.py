"""Background tasks: none is lost, failures are said, and those of one beat wake up together."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from policylayer import tasks
from policylayer.core.errors import AuditUnavailable


@pytest.mark.anyio
async def test_a_task_that_nobody_holds_on_to_ends_its_work() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    tasks.spawn(work(), "work")
    gc.collect()
    await asyncio.wait_for(done.wait(), 5)


@pytest.mark.anyio
async def test_a_failure_is_logged_and_a_cancelled_task_is_none() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with structlog.testing.capture_logs() as lines:
        failing, ended = tasks.spawn(fail(), "failing"), tasks.spawn(asyncio.sleep(60), "ended")
        ended.cancel()
        await asyncio.gather(failing, ended, return_exceptions=True)
        await asyncio.sleep(0)
    assert [(line["event"], line["task"]) for line in lines] == [("task failed", "failing")]


class Turns:
    """Turns that fail as a test says; `None` is a good one, and behind the last they wait."""

    def __init__(self, *failures: Exception | None) -> None:
        self._left = [*failures]
        self.over = asyncio.Event()

    async def __call__(self) -> None:
        await asyncio.sleep(0)
        if not self._left:
            self.over.set()
            await asyncio.Event().wait()
        if (failure := self._left.pop(0)) is not None:
            raise failure


@pytest.mark.anyio
async def test_no_failure_ends_what_is_to_go_on_and_each_kind_is_said_once_until_all_is_well() -> None:
    away, odd = AuditUnavailable("the database is away"), ValueError("odd")
    turns = Turns(away, odd, away, odd, None, away, None)
    with structlog.testing.capture_logs() as lines:
        task = tasks.spawn(tasks.keep_on(turns, "it cannot be looked after", 0.001), "looking")
        await asyncio.wait_for(turns.over.wait(), 5)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    said = [(line["event"], line["log_level"], line.get("error")) for line in lines]
    foreseen = ("it cannot be looked after", "warning", "the database is away")
    assert said == [foreseen, ("it cannot be looked after", "error", None), foreseen]
    assert lines[1]["exc_info"] is odd


@pytest.mark.anyio
async def test_what_failed_is_tried_again_after_a_pause() -> None:
    turns, begun = Turns(ValueError("odd")), asyncio.get_running_loop().time()
    with structlog.testing.capture_logs():
        task = tasks.spawn(tasks.keep_on(turns, "odd", 0.05), "looking")
        await asyncio.wait_for(turns.over.wait(), 5)
    assert asyncio.get_running_loop().time() - begun >= 0.05
    task.cancel()


@given(now=st.floats(0, 1e7), seconds=st.sampled_from((0.4, 0.5, 1.0, 30.0)))
def test_the_next_beat_is_near_but_never_the_one_that_is_here(now: float, seconds: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "get_running_loop", lambda: SimpleNamespace(time=lambda: now))
        left = tasks.to_beat(seconds)
    assert seconds * 0.1 < left <= seconds * 1.1
    beats = (now + left) / seconds
    assert abs(beats - round(beats)) < 1e-6
