"""How many calls are under way at one time: over the limit a call is turned away at once instead of queued.

Calls that wait for a person, and streams that stay open, do no work and do not count. Must not know calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Load:
    """A counter with a limit; `inside` is counted up and down by whoever lets calls in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.inside = 0

    @property
    def full(self) -> bool:
        """Whether one more is too many."""
        return self.inside >= self._most

    @contextmanager
    def left(self) -> Iterator[None]:
        """For as long as a call under way only waits."""
        self.inside -= 1
        try:
            yield
        finally:
            self.inside += 1
