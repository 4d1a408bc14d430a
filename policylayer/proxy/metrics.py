"""Plain counters of the data path; whoever exposes them reads `counts`.

Knows no format. Labels are small closed sets (a server, a method of the table, a reason), never what an agent sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

from policylayer.core.decision import Decision, RuleRef

Key: TypeAlias = "tuple[str, tuple[tuple[str, str], ...]]"

COUNTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "requests": ("treatment", "kind"),
    "refused": ("reason",),
    "decisions": ("effect", "enforced", "reason_code"),
    "rules": ("rule",),
    "verdicts": ("verdict",),
    "outcomes": ("state",),
    "dropped": ("reason",),
    "credentials_hidden": ("server",),
    "sessions_opened": ("server",),
    "streams_closed": (),
    "failures": ("place",),
}
"""The labels of each counter."""

HELP: Final = {
    "requests": "messages of agents, by what was done with them",
    "refused": "input refused before policy, by reason",
    "decisions": "rows that decide a call, by what policy said, what was done, and why",
    "rules": "rows that decide a call, by the rules that decided it",
    "verdicts": "judged calls, by how they ended",
    "outcomes": "forwarded calls, by how they ended",
    "dropped": "messages of servers that were not passed on, by reason",
    "credentials_hidden": "messages of servers that held a credential of the proxy's, which was masked",
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
    """Counters by name and the values of their labels, and times by name."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self.times = {name: Histogram() for name in TIMES}
        self._rules: dict[tuple[str, str], str] = {}

    @property
    def counts(self) -> Counter[Key]:
        """All counters, with their labels by name."""
        return Counter(
            {(name, tuple(zip(COUNTERS[name], values, strict=True))): n for (name, *values), n in self._counts.items()}
        )

    def decided(self, decision: Decision, decide_us: int | None, record_seconds: float) -> None:
        """A row that decides a call is durable."""
        self.count("decisions", decision.effect, decision.enforced, decision.reason_code)
        for rule in decision.rules:
            self.count("rules", self._rules.get((rule.policy, rule.rule)) or self._named(rule))
        if decide_us is not None:
            self.times["decide"].add(decide_us / 1e6)
        self.times["record"].add(record_seconds)

    def _named(self, rule: RuleRef) -> str:
        if len(self._rules) >= RULES:
            return OTHERS
        return self._rules.setdefault((rule.policy, rule.rule), rule.name)

    def count(self, name: str, *values: str) -> None:
        """Add one, for these values of the counter's labels."""
        key = (name, *values)
        counts = self._counts
        counts[key] = counts.get(key, 0) + 1

    def of(self, name: str, **labels: str) -> int:
        """How many so far, of all whose labels include these."""
        wanted = set(labels.items())
        return sum(n for (key, has), n in self.counts.items() if key == name and wanted <= set(has))
