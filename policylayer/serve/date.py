"""The Date field of every answer (RFC 9110, 6.6.1), written once a second at most, and only where somebody is answered.

A server that writes it by a timer wakes up for it when nothing happens. Must not know what is answered (`exchange.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate


class Dates:
    """Writes them. `now` is seconds since 1970."""

    __slots__ = ("_field", "_now", "_second")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._second = -1
        self._field = b""

    def field(self) -> bytes:
        """The whole line."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._field = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._field
