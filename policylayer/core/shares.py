"""Pure: slots that several owners share, so that none of them can take all.

The last quarter is kept for owners that hold little (a sixteenth): whoever fills the rest leaves room for the others to
go on. Of fewer than four slots nothing is kept. Must not know what a slot is (`proxy/load.py`, `upstream/guard.py`,
`upstream/stdio.py`), nor who an owner is.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

KEPT: Final = 4
"""One in so many slots is kept for owners that hold little."""

LITTLE: Final = 16
"""One in so many slots is little."""


class Shares:
    """Counts who holds how many of `most` slots."""

    __slots__ = ("_little", "_most", "_open", "held", "holders")

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = most - most // KEPT
        self._little = max(1, most // LITTLE)
        self.held = 0
        self.holders: dict[Hashable, int] = {}

    def room(self, owner: Hashable) -> bool:
        """Whether this owner may have one more."""
        if self.held < self._open:
            return True
        return self.held < self._most and self.holders.get(owner, 0) < self._little

    def take(self, owner: Hashable) -> None:
        """It has one more."""
        self.held += 1
        self.holders[owner] = self.holders.get(owner, 0) + 1

    def give_back(self, owner: Hashable) -> None:
        """It has one less."""
        self.held -= 1
        left = self.holders[owner] - 1
        if left:
            self.holders[owner] = left
        else:
            del self.holders[owner]
