"""How many calls are under way at one time: over the limit a call is turned away at once instead of queued.

No caller can take all of them (`core/shares.py`). Calls that wait for a person, and streams that stay open, do no work
and do not count. Must not know calls.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from policylayer.core.shares import Shares


class Load:
    """The calls under way; `enter` and `leave` are called by whoever lets calls in."""

    def __init__(self, most: int) -> None:
        self._shares = Shares(most)
        self.enter = self._shares.take
        self.leave = self._shares.give_back

    @property
    def inside(self) -> int:
        """How many there are."""
        return self._shares.held

    def full(self, owner: Hashable) -> bool:
        """Whether one more of this caller's is too many."""
        return not self._shares.room(owner)

    @contextmanager
    def left(self, owner: Hashable) -> Iterator[None]:
        """For as long as a call under way only waits."""
        self.leave(owner)
        try:
            yield
        finally:
            self.enter(owner)
