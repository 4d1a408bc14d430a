"""Durations as configuration and policies write them: `30s`, `5m`, `1h`, `7d`. Knows nothing else."""

from __future__ import annotations

from typing import Final

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> int | None:
    """The duration in seconds, or None where it is not one."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isascii() or not number.isdigit() or len(number) > 9:
        return None
    return int(number) * UNITS[unit] or None
