"""A time that neither jumps nor goes back, which windows are measured by.

It begins at the wall clock, or where the database says that time has been, and goes on by the monotonic clock; so an
operator or NTP that sets the clock moves no window. While a machine sleeps it stands still: windows then last longer,
never shorter. What a wrong clock did across a restart cannot be told from time that has passed.
"""

from __future__ import annotations

from threading import Lock

from policylayer.clock import Clock


class Steady:
    """One for each process; read from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._ahead_us = clock.time_us() - self._elapsed_us()

    def now_us(self) -> int:
        """Microseconds since 1970, more or less."""
        return self._elapsed_us() + self._ahead_us

    def at_least(self, us: int) -> None:
        """Some process has seen this time: it is not earlier here."""
        with self._lock:
            self._ahead_us = max(self._ahead_us, us - self._elapsed_us())

    def _elapsed_us(self) -> int:
        return int(self._clock.monotonic() * 1e6)
