"""How often one thing happens: counted by the minute, so that a server's questions do not become a flood of rows,
nor what is dropped of its words one of work.

Must not know what is counted, nor what is done where it is too often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60.0


@dataclass(slots=True)
class Pace:
    """One count, which begins again with each minute."""

    begun: float = float("-inf")
    count: int = 0

    def another(self, now: float, more: int = 1) -> int:
        """It happens once more, or several times; how often it has within this minute."""
        if now - self.begun >= MINUTE:
            self.begun, self.count = now, 0
        self.count += more
        return self.count
