"""What a store's writer has done and has before it, as plain numbers, for whoever watches. Must not know a database."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the classes of commits, by the callers that shared one."""


class Meter:
    """`rows` written, and `commits` by how many `callers` shared one (`sizes`, by class, the last one open).

    `waiting` and `waiting_bytes` are what is with the writer now; `shed` counts callers that were turned away, or left
    without an answer; `failing`: the last that is known is that the database did not take something, or not in time.
    """

    __slots__ = ("callers", "commits", "failing", "rows", "shed", "sizes", "waiting", "waiting_bytes")

    def __init__(self) -> None:
        self.rows = 0
        self.commits = 0
        self.callers = 0
        self.shed = 0
        self.failing = False
        self.waiting = 0
        self.waiting_bytes = 0
        self.sizes = [0] * (len(SIZES) + 1)

    def committed(self, callers: int, rows: int) -> None:
        """One transaction has ended well for so many callers; none: it has failed."""
        if callers:
            self.commits += 1
            self.callers += callers
            self.rows += rows
            self.sizes[bisect_left(SIZES, callers)] += 1
