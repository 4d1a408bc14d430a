"""What is to be done to answers: masks and a cap; and what was ever to be done to those of one session, by their ids.

An answer that comes again on another stream is known only by its id, which the agent chooses, and may choose again.
Must not know how it is done (`treating.py`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from policylayer.core.decision import Mask, Obligations
from policylayer.core.immutable import immutable

MOST: Final = 4096
"""Ids that are kept apart; where there are more, what was done to one is done to all."""


@immutable
class Guard:
    """What is to be done to an answer."""

    mask: tuple[Mask, ...] = ()
    cap: int | None = None

    def joined(self, other: Guard) -> Guard:
        """Both, with the stricter cap."""
        caps = [cap for cap in (self.cap, other.cap) if cap is not None]
        return Guard(tuple(dict.fromkeys((*self.mask, *other.mask))), min(caps, default=None))


NOTHING: Final = Guard()


def guard_of(obligations: Obligations) -> Guard | None:
    """What a decision wants of its answer; None for most."""
    if not obligations.mask and obligations.cap is None:
        return None
    return Guard(obligations.mask, obligations.cap)


@dataclass(slots=True)
class Guards:
    """Those of one session."""

    _by_id: dict[Hashable, Guard] = field(default_factory=dict)
    _all: Guard = NOTHING

    def put(self, id: Hashable, guard: Guard) -> None:
        """A request with this id is sent, and this is to be done to its answer."""
        self._by_id[id] = self._by_id.get(id, NOTHING).joined(guard)
        if len(self._by_id) > MOST:
            for each in self._by_id.values():
                self._all = self._all.joined(each)
            self._by_id.clear()

    def of(self, id: Hashable) -> Guard | None:
        """What was ever to be done under this id."""
        found = self._all.joined(self._by_id.get(id, NOTHING))
        return None if found == NOTHING else found
