"""Times as people write them on a command line. Must not know what they are for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from policylayer.cli.exits import UsageError
from policylayer.clock import Clock
from policylayer.config.values import duration


def instant(text: str) -> str:
    """`90d` from now, or an instant as it is written, as RFC 3339."""
    return _at(text, 1)


def since(text: str) -> str:
    """`2h` ago, or an instant as it is written, as RFC 3339."""
    return _at(text, -1)


def _at(text: str, sign: int) -> str:
    seconds = duration(text)
    if seconds is not None:
        return _away(text, sign * seconds)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"`{text}` is neither a duration nor an instant", "write `90d`, `2h`, or `2027-01-31T12:00:00Z`"
        ) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).isoformat()


def _away(text: str, seconds: int) -> str:
    try:
        return (Clock().now() + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        raise UsageError(
            f"`{text}` reaches beyond the years 1 to 9999", "write a shorter duration, or an instant"
        ) from None
