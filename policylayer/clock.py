"""The only file that reads clocks and randomness; everything else is handed a `Clock`, so tests can hold time.

Ids are UUIDv7 (RFC 9562): sortable by time, and never smaller than the one before within a process.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from typing import Final


class Clock:
    """Wall time, monotonic time and ids."""

    monotonic = staticmethod(time.monotonic)
    """Seconds that never go back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._random: list[str] = []
        self._millisecond, self._stamp = -1, ""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251

    def time_us(self) -> int:
        """The wall clock in microseconds since 1970."""
        return time.time_ns() // 1000

    def new_id(self) -> str:
        """A UUIDv7 in its textual form, larger than all before it in this process."""
        with self._lock:
            if not self._random:
                # Asked for in stock: each asking lets other threads run first, which costs more than the bytes.
                digits = os.urandom(4096).hex()
                self._random = [_tail(digits[at : at + DIGITS]) for at in range(0, len(digits), DIGITS)]
            tail = self._random.pop()
            self._last = last = max(time.time_ns() // 250, self._last + 1)
            millisecond, fraction = divmod(last, 4000)
            if millisecond != self._millisecond:
                self._millisecond, self._stamp = millisecond, _stamp(millisecond)
            return f"{self._stamp}-7{fraction:03x}-{tail}"


DIGITS: Final = 16
"""Random digits, hexadecimal, of an id; two bits of the first are the variant's."""

_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def uuid7(quarter_us: int, random: str = "0" * DIGITS) -> str:
    """RFC 9562 version 7: `quarter_us` counts 250 ns since 1970 (12 bits below 1 ms); `random` are 16 hex digits.

    Without them it is the first id of its time.
    """
    milliseconds, fraction = divmod(quarter_us, 4000)
    return f"{_stamp(milliseconds)}-7{fraction:03x}-{_tail(random)}"


def _stamp(milliseconds: int) -> str:
    stamp = f"{milliseconds & 0xFFFFFFFFFFFF:012x}"
    return f"{stamp[:8]}-{stamp[8:]}"


def _tail(random: str) -> str:
    return f"{_VARIANT[random[0]]}{random[1:4]}-{random[4:]}"
