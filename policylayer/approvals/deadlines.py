"""When approvals and waivers are over, even where the wall clock is set back: the earlier of both clocks wins.

Remembers, in memory, those that this process opened, waits for or has seen. Must not know the database; the wall time
in the row is what every process goes by.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from policylayer.clock import Clock

REMEMBERED: Final = 20_000


class Deadlines:
    """Monotonic deadlines by the id of what ends then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Approvals are opened in the writer's thread.
        self._lock = Lock()
        self._ends: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, approval_id: str, expires_us: int) -> None:
        """Remember when an approval is over, as seen now; what was remembered first stays."""
        left = (expires_us - self._clock.time_us()) / 1e6
        with self._lock:
            self._ends.setdefault(approval_id, (self._clock.monotonic() + left, expires_us))
            if len(self._ends) > REMEMBERED:
                self._ends.popitem(last=False)

    def now_us(self, approval_id: str) -> int:
        """The time by which to judge this approval."""
        now = self._clock.time_us()
        end, expires_us = self._ends.get(approval_id, (None, 0))
        return max(now, expires_us) if end is not None and self._clock.monotonic() >= end else now

    def passed(self) -> dict[str, int]:
        """Those whose time is over, with the wall time at which it was to be; they are forgotten with `forget`."""
        now = self._clock.monotonic()
        with self._lock:
            return {approval: expires for approval, (end, expires) in self._ends.items() if now >= end}

    def forget(self, approval_id: str) -> None:
        """An approval is over."""
        with self._lock:
            self._ends.pop(approval_id, None)
