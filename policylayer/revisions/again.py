"""When a revision that could not be judged is tried again, though nothing has changed at its source.

Soon at first, since most such failures pass (no process could be started, a disk did not answer), then ever more
seldom, since judging is work. Must not know what failed (`keeper.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST: Final = 2.0
LONGEST: Final = 300.0
"""Seconds until the first trial after a failure, and at most between two; each wait is twice the one before."""


class Again:
    """Whether to try again; by a clock that only goes forward."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._wait = FIRST
        self._at: float | None = None

    @property
    def due(self) -> bool:
        """Whether something failed, and it is time."""
        return self._at is not None and self._monotonic() >= self._at

    @property
    def waiting(self) -> bool:
        """Whether something failed, and it is not time yet."""
        return self._at is not None and not self.due

    def failed(self) -> None:
        """It could not be judged: try later."""
        self._at = self._monotonic() + self._wait
        self._wait = min(2 * self._wait, LONGEST)

    def judged(self) -> None:
        """It was, one way or the other: nothing is left to try."""
        self._at, self._wait = None, FIRST
