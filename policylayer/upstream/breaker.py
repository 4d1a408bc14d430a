"""Leaves a failing server alone for a while, then lets one call through to see.

Knows neither servers nor sockets nor clocks: it is told what happened and when. `guard.py` asks it.
"""

from __future__ import annotations

from typing import Literal

State = Literal["closed", "open", "half_open"]

LONGEST_WAIT = 30.0
"""Seconds; each failed probe doubles the wait up to this."""


class Breaker:
    """Opens after `failures` in a row; while open nothing passes; after a wait one probe does."""

    def __init__(self, failures: int = 5, wait: float = 1.0) -> None:
        self._threshold = failures
        self._first_wait = wait
        self._wait = wait
        self._failures = 0
        self._until: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """closed: everything passes; open: nothing; half_open: one probe is under way."""
        if self._until is None:
            return "closed"
        return "half_open" if self._probing else "open"

    def admit(self, now: float) -> float | None:
        """None where a call may pass, else the seconds to wait. One that passes must be told of by `settle`."""
        if self._until is None:
            return None
        if self._probing or now < self._until:
            return max(self._until - now, self._first_wait)
        self._probing = True
        return None

    def began(self) -> None:
        """An answer has begun, which may take long: others may pass, but the next failure opens it again."""
        self._until = None
        self._probing = False

    def succeeded(self) -> None:
        """A call was answered, to its end."""
        self._failures = 0
        self._until = None
        self._probing = False
        self._wait = self._first_wait

    def failed(self, now: float) -> None:
        """A call was not answered, or not with MCP."""
        self._failures += 1
        if self._failures < self._threshold or (self._until is not None and not self._probing):
            return
        self._until = now + self._wait
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        self._probing = False

    def abandoned(self) -> None:
        """A call ended without showing how the server is: its caller went away."""
        self._probing = False
