"""Notices exchanges that take longer than most: only those are worth watching (their client, and their caller's right).

One timer for all of them, since nearly all are over before it looks. Must not know what is done about a long one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

import structlog

LONG: Final = 0.02
"""Seconds after which an exchange is a long one."""


class Waiting(Protocol):
    """What may take long."""

    @property
    def ended(self) -> bool:
        """It is over."""

    def is_long(self) -> None:
        """Called once, if it was not over after a while."""


class Patience:
    """Those under way, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Waiting]] = deque()
        self._timed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, waiting: Waiting) -> None:
        """Tell it when it has become a long one; twice as late at most."""
        # Kept, since each question for it costs a call into the system.
        loop = self._loop or asyncio.get_running_loop()
        self._waiting.append((loop.time() + LONG, waiting))
        if not self._timed:
            self._timed = True
            self._loop = loop
            loop.call_later(LONG, self._look)

    def _look(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        now, waiting = loop.time(), self._waiting
        while waiting and waiting[0][0] <= now:
            one = waiting.popleft()[1]
            if not one.ended:
                _tell(one)
        self._timed = bool(waiting)
        if waiting:
            loop.call_later(LONG, self._look)


def _tell(one: Waiting) -> None:
    """Whatever is wrong with one, the others are looked after all the same."""
    try:
        one.is_long()
    except Exception:
        structlog.get_logger().error("what takes long cannot be watched", exc_info=True)
