"""How many calls are under way at one time, and how many bytes of them: what is over is turned away instead of queued.

Calls that wait for a person, and streams that stay open, do no work and do not count; the bytes of large requests, and
of large answers that are not read yet, do for as long as they are here. No caller can take all calls
(`core/shares.py`), and each principal has a share of the bytes, so that one which sends slowly, or reads nothing, keeps
only itself out. Must not know calls.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from policylayer.core.shares import Shares


class Load:
    """Counters with limits: `enter` and `leave` are called by whoever lets calls in, `take` and `give` are of bytes."""

    def __init__(self, most: int, most_held: int = 0, most_held_each: int = 0) -> None:
        self._calls = Shares(most)
        self._most_held = most_held
        self._most_held_each = most_held_each
        self._bytes: dict[str, int] = {}
        self.held = 0
        self.enter = self._calls.take
        self.leave = self._calls.give_back

    @property
    def inside(self) -> int:
        """How many calls there are."""
        return self._calls.held

    def full(self, owner: Hashable) -> bool:
        """Whether one more of this caller's is too many."""
        return not self._calls.room(owner)

    @contextmanager
    def left(self, owner: Hashable) -> Iterator[None]:
        """For as long as a call under way only waits."""
        self.leave(owner)
        try:
            yield
        finally:
            self.enter(owner)

    def take(self, principal: str, size: int) -> bool:
        """Hold so many bytes more; False where that is too much."""
        share = self._bytes.get(principal, 0) + size
        if share > self._most_held_each or self.held + size > self._most_held:
            return False
        self._bytes[principal] = share
        self.held += size
        return True

    def give(self, principal: str, size: int) -> None:
        """They are here no longer."""
        self.held -= size
        self._bytes[principal] -= size
        if not self._bytes[principal]:
            del self._bytes[principal]
