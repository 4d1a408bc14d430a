"""Bounds how fast one source may try credentials that nobody holds.

Failures only: a known credential never comes here, and success costs nothing. Must not know what a credential is.
Its neighbour `authenticator.py` asks before it looks anything up.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

from policylayer.clock import Clock

BURST: Final = 30.0
"""Failures that a source may have at once."""

PER_SECOND: Final = 2.0
"""Failures that a source gets back each second."""

SOURCES: Final = 10_000
"""Sources remembered; the ones that failed longest ago are forgotten first."""


class Throttle:
    """A token bucket per source, in memory, bounded."""

    def __init__(self, clock: Clock, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._clock = clock
        self._burst = burst
        self._rate = per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def blocked(self, source: str | None) -> bool:
        """Whether this source has failed too often of late."""
        return self._balance(_source(source)) < 1.0

    def failed(self, source: str | None) -> None:
        """Count one failure."""
        key = _source(source)
        self._left[key] = (self._balance(key) - 1.0, self._clock.monotonic())
        self._left.move_to_end(key)
        if len(self._left) > SOURCES:
            self._left.popitem(last=False)

    def _balance(self, key: str) -> float:
        left, at = self._left.get(key, (self._burst, 0.0))
        return min(self._burst, left + (self._clock.monotonic() - at) * self._rate)


def _source(address: str | None) -> str:
    """What counts as one source: an IPv4 address, or the /64 that one IPv6 subscriber is given."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
