"""Plain counters of the data path; whoever exposes them reads `counts`.

Knows no format. Labels are small closed sets (a server, a method of the table, a reason), never what an agent sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final, TypeAlias

from policylayer.core.decision import Decision

Key: TypeAlias = "tuple[str, tuple[tuple[str, str], ...]]"

HELP: Final = {
    "requests": "messages of agents, by what was done with them",
    "refused": "input refused before policy, by reason",
    "decisions": "rows that decide a call, by what policy said, what was done, and why",
    "rules": "rows that decide a call, by the rules that decided it",
    "verdicts": "judged calls, by how they ended",
    "outcomes": "forwarded calls, by how they ended",
    "dropped": "messages of servers that were not passed on, by reason",
    "sessions_opened": "handshake sessions opened",
    "streams_closed": "open streams closed because they were no longer allowed",
    "failures": "failures inside the proxy, by place",
}


TIMES: Final = {
    "decide": "seconds that policy took to decide",
    "record": "seconds until a decision was durable",
    "upstream": "seconds that a server took to answer",
}
BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of times, in seconds."""

RULES: Final = 2000
"""Rules that are counted by name; revisions come and go, and so may theirs."""

OTHERS: Final = "others"


class Histogram:
    """How often something took how long: counts by class, the last one open, and the sum of all."""

    __slots__ = ("classes", "total")

    def __init__(self) -> None:
        self.classes = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.classes[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counters by name and labels, and times by name."""

    def __init__(self) -> None:
        self.counts: Counter[Key] = Counter()
        self.times = {name: Histogram() for name in TIMES}
        self._rules: set[str] = set()

    def decided(self, decision: Decision, decide_us: int | None, record_seconds: float) -> None:
        """A row that decides a call is durable."""
        effect, enforced = decision.effect.value, decision.enforced.value
        self.count("decisions", effect=effect, enforced=enforced, reason_code=decision.reason_code.value)
        for rule in decision.rules:
            known = rule.name in self._rules or len(self._rules) < RULES
            if known:
                self._rules.add(rule.name)
            self.count("rules", rule=rule.name if known else OTHERS)
        if decide_us is not None:
            self.times["decide"].add(decide_us / 1e6)
        self.times["record"].add(record_seconds)

    def count(self, name: str, **labels: str) -> None:
        """Add one."""
        self.counts[name, tuple(labels.items())] += 1

    def of(self, name: str, **labels: str) -> int:
        """How many so far, of all whose labels include these."""
        wanted = set(labels.items())
        return sum(n for (key, has), n in self.counts.items() if key == name and wanted <= set(has))
