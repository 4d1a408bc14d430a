"""The only file that reads clocks and randomness; everything else is handed a `Clock`, so tests can hold time.

Ids are UUIDv7 (RFC 9562): sortable by time, and never smaller than the one before within a process.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime


class Clock:
    """Wall time, monotonic time and ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._random = b""

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
        with self._lock:
            if not self._random:
                # Asked for in stock: each asking lets other threads run first, which costs more than the bytes.
                self._random = os.urandom(4096)
            random, self._random = self._random[:8], self._random[8:]
            self._last = max(time.time_ns() // 250, self._last + 1)
            return uuid7(self._last, int.from_bytes(random, "big") & 0x3FFFFFFFFFFFFFFF)


def uuid7(quarter_us: int, random: int) -> str:
    """RFC 9562 version 7: `quarter_us` counts 250 ns since 1970 (12 bits below 1 ms), `random` has 62 bits."""
    milliseconds, fraction = divmod(quarter_us, 4000)
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | fraction << 64
    digits = f"{value | 0b10 << 62 | random:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
