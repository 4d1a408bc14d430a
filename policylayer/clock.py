"""The only file that reads clocks and randomness; everything else is handed a `Clock`, so tests can hold time.

Ids are UUIDv7 (RFC 9562): sortable by time, and never smaller than the one before within a process.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from datetime import UTC, datetime


class Clock:
    """Wall time, monotonic time and ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251

    def time_us(self) -> int:
        """The wall clock in microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def new_id(self) -> str:
        """A UUIDv7 in its textual form, larger than all before it in this process."""
        random = int.from_bytes(os.urandom(8), "big") & 0x3FFFFFFFFFFFFFFF
        with self._lock:
            self._last = max(time.time_ns() // 250, self._last + 1)
            return uuid7(self._last, random)


def uuid7(quarter_us: int, random: int) -> str:
    """RFC 9562 version 7: `quarter_us` counts 250 ns since 1970 (12 bits below 1 ms), `random` has 62 bits."""
    milliseconds, fraction = divmod(quarter_us, 4000)
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | fraction << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | random))
