"""Background tasks that are never lost: a reference is kept until they end, and a failure is logged, not swallowed.

The only place that starts bare asyncio tasks (the linter bans `asyncio.create_task` elsewhere). Those that look after
something now and then do so on a common beat, so that an idle program wakes up once for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

_HERE: Final = 0.1
"""Of a beat: timers are not exact, and nobody is to wake up twice for one."""

_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Run `work` in the background under `name`."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def to_beat(seconds: float) -> float:
    """Seconds until the next whole multiple of `seconds` on the loop's clock; one that is all but here is over."""
    left = seconds - asyncio.get_running_loop().time() % seconds
    return left if left > seconds * _HERE else left + seconds


async def beat(seconds: float) -> None:
    """Sleep until then: whoever sleeps so wakes up together, which costs an idle machine one waking instead of many."""
    await asyncio.sleep(to_beat(seconds))


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        structlog.get_logger().error("task failed", task=task.get_name(), exc_info=error)
