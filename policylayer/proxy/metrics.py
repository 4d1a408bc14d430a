"""Plain counters of the data path; whoever exposes them reads `counts`.

Knows no format. Labels are small closed sets (a server, a method of the table, a reason), never what an agent sent.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeAlias

Key: TypeAlias = "tuple[str, tuple[tuple[str, str], ...]]"

HELP: Final = {
    "requests": "messages of agents, by what was done with them",
    "refused": "input refused before policy, by reason",
    "verdicts": "judged calls, by how they ended",
    "outcomes": "forwarded calls, by how they ended",
    "dropped": "messages of servers that were not passed on, by reason",
    "sessions_opened": "handshake sessions opened",
    "streams_closed": "open streams closed because they were no longer allowed",
    "failures": "failures inside the proxy, by place",
}


class Metrics:
    """Counters by name and labels."""

    def __init__(self) -> None:
        self.counts: Counter[Key] = Counter()

    def count(self, name: str, **labels: str) -> None:
        """Add one."""
        self.counts[name, tuple(labels.items())] += 1

    def of(self, name: str, **labels: str) -> int:
        """How many so far, of all whose labels include these."""
        wanted = set(labels.items())
        return sum(n for (key, has), n in self.counts.items() if key == name and wanted <= set(has))
