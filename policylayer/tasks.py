"""Background tasks that are never lost: a reference is kept until they end, and a failure is logged, not swallowed.

The only place that starts bare asyncio tasks (the linter bans `asyncio.create_task` elsewhere). Those that look after
something now and then do so on a common beat, so that an idle program wakes up once for all of them; no failure ends
them (`keep_on`). Must not know what any of them does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

from policylayer.core.errors import PolicyLayerError

_HERE: Final = 0.1
"""Of a beat: timers are not exact, and nobody is to wake up twice for one."""

PAUSE: Final = 1.0
"""Seconds until what failed is tried again."""

_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Run `work` in the background under `name`."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


async def keep_on(turn: Callable[[], Awaitable[object]], trouble: str, pause: float = PAUSE) -> None:
    """Take one `turn` after the other, without end. Each waits by itself for what it is about.

    One that fails is followed by the next after a `pause`. It is said as `trouble`, once for each kind of failure until
    a turn is well again: what is wrong for an hour is no reason to fill the log. Being cancelled ends it.
    """
    said: set[type[Exception]] = set()
    while True:
        try:
            await turn()
        except Exception as error:
            if type(error) not in said:
                said.add(type(error))
                _say(trouble, error)
            await asyncio.sleep(pause)
        else:
            said.clear()


def _say(trouble: str, error: Exception) -> None:
    """What is foreseen in its own words, all else with where it comes from."""
    if isinstance(error, PolicyLayerError):
        structlog.get_logger().warning(trouble, error=error.message)
    else:
        structlog.get_logger().error(trouble, exc_info=error)


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
