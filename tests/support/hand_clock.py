"""A clock that tests hold: it stands still until it is moved, except for what must go on by itself (new ids)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from policylayer.clock import Clock

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class HandClock(Clock):
    """`advance` lets time pass; `jump` sets the wall clock only, as an operator or NTP does."""

    def __init__(self, start: datetime = START) -> None:
        super().__init__()
        self._wall_us = int(start.timestamp() * 1e6)
        self._mono = 1000.0

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._wall_us)

    def time_us(self) -> int:
        return self._wall_us

    def monotonic(self) -> float:
        return self._mono

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall_us += int(seconds * 1e6)
        self._mono += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self._wall_us += int(seconds * 1e6)
