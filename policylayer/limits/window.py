"""Pure: a sliding window over entries, each of them one charge, or several that came close together.

An entry counts until a whole window has passed since its last charge, so that no window, wherever it is laid, holds
more than the limit. Charges are kept apart as long as they are few; beyond `APART` those that come within a small part
of the window share an entry, and then count a little longer, never shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy.numbers import add, subtract

APART: Final = 64
"""Entries that are kept apart; as many again may share."""

SECOND_US: Final = 1_000_000


@immutable
class Entry:
    """`amount` charged from `at_us` on; it expires at `until_us`. Times are those of `Steady`."""

    at_us: int
    amount: Decimal
    until_us: int


def living(entries: Iterable[Entry], now_us: int, window_us: int) -> list[Entry]:
    """The entries that count, the oldest first. A window that was made longer since then holds for them too."""
    found = (Entry(each.at_us, each.amount, max(each.until_us, each.at_us + window_us)) for each in entries)
    return sorted((each for each in found if each.until_us > now_us), key=lambda each: each.at_us)


def used(entries: Iterable[Entry]) -> Decimal:
    """What is used of the limit."""
    total = Decimal(0)
    for each in entries:
        total = add(total, each.amount)
    return total


def retry_after(entries: Iterable[Entry], now_us: int, amount: Decimal, most: Decimal) -> int | None:
    """Whole seconds until `amount` fits under `most` if nothing else is charged; None where it never does."""
    if amount > most:
        return None
    found = sorted(entries, key=lambda each: each.until_us)
    left, wait_us = used(found), 0
    for each in found:
        if add(left, amount) <= most:
            break
        left, wait_us = subtract(left, each.amount), each.until_us - now_us
    return -(-wait_us // SECOND_US)


def shared(entries: Sequence[Entry], now_us: int, window_us: int) -> Entry | None:
    """The entry that a charge made now goes into; None where it gets one of its own. `entries` are the living ones."""
    if not entries:
        return None
    newest = entries[-1]
    if newest.at_us == now_us:
        return newest
    crowded = len(entries) >= APART and now_us - newest.at_us < window_us // APART
    return newest if crowded else None
