"""Pure: an instant as the interface writes it. The decision log, to the microsecond, is in `audit/shown.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def when(us: int) -> str: ...


@overload
def when(us: int | None) -> str | None: ...


def when(us: int | None) -> str | None:
    """Microseconds since 1970 as `2027-01-31T12:00:00.000Z`; None stays None."""
    if us is None:
        return None
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
