"""Pure: moments at which a condition on time may come out otherwise, the nearest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from policylayer.policy import ast
from policylayer.policy.times import EPOCH

STEP: Final = timedelta(minutes=15)
STEPS: Final = 4 * 24 * 8
"""A week and a day of quarters of an hour."""


def candidates(condition: ast.During | ast.Bound, now: datetime) -> Iterator[datetime]:
    """Moments to try."""
    if isinstance(condition, ast.Bound):
        at = EPOCH + timedelta(microseconds=condition.at_us)
        yield from (at, at - timedelta(seconds=1))
        return
    quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    for number in range(1, STEPS):
        yield quarter + STEP * number
