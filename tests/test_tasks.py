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


@given(now=st.floats(0, 1e7), seconds=st.sampled_from((0.4, 0.5, 1.0, 30.0)))
def test_the_next_beat_is_near_but_never_the_one_that_is_here(now: float, seconds: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "get_running_loop", lambda: SimpleNamespace(time=lambda: now))
        left = tasks.to_beat(seconds)
    assert seconds * 0.1 < left <= seconds * 1.1
    beats = (now + left) / seconds
    assert abs(beats - round(beats)) < 1e-6
