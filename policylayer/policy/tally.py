"""Pure: what became of recorded decisions under another policy set, counted: same, changed, and what cannot be told.

Changes are grouped by rules and principal, with how often, since when, and one row to look at. Memory is bounded: past
so many groups only effects are counted. Must not know how an answer is found (`replay`), nor how a report is shown
(`replay_shown`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from policylayer.core.decision import Effect, RuleRef
from policylayer.policy.recorded import Kept

MOST: Final = 10_000
"""Groups of each kind that are kept apart."""

WORD: Final = "-to-"
ANY: Final = "any"
UNDECIDABLE: Final = "undecidable"

Refs = tuple[RuleRef, ...]


class Turn(NamedTuple):
    """From one effect to another."""

    before: Effect
    after: Effect

    def __str__(self) -> str:
        return f"{self.before}{WORD}{self.after}"


class Key(NamedTuple):
    """What changed rows of one group have in common: rules by their names, since lines move."""

    turn: Turn
    before: tuple[str, ...]
    after: tuple[str, ...]
    principal: str | None
    user: str | None


class Example(NamedTuple):
    """One row to look at."""

    id: str
    server: str | None
    method: str | None
    target: str | None


@dataclass(slots=True)
class Group:
    """Rows that are alike: how many, when, one of them, and where the rules of that one stand."""

    count: int
    first_us: int
    last_us: int
    example: Example
    before: Refs = ()
    after: Refs = ()

    @classmethod
    def of(cls, row: Kept, before: Refs = (), after: Refs = ()) -> Group:
        """A group of one."""
        example = Example(row.id, row.server, row.method, row.target)
        return cls(1, row.time_us, row.time_us, example, before, after)

    def add(self, row: Kept) -> None:
        """One more, whenever it was."""
        self.count += 1
        self.first_us = min(self.first_us, row.time_us)
        self.last_us = max(self.last_us, row.time_us)


@dataclass(slots=True)
class Tally:
    """The counts. `unlisted` are changes and undecidable rows past the groups that are kept."""

    same: int = 0
    turns: Counter[Turn] = field(default_factory=Counter)
    undecidable: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    changes: dict[Key, Group] = field(default_factory=dict)
    undecided: dict[tuple[str, ...], Group] = field(default_factory=dict)
    unlisted: int = 0

    @property
    def changed(self) -> int:
        """Rows that get another effect."""
        return self.turns.total()

    @property
    def rows(self) -> int:
        """All rows looked at."""
        return self.same + self.changed + self.undecidable + self.skipped.total()

    def change(self, row: Kept, turn: Turn, before: Refs, after: Refs) -> None:
        """A row that gets another effect."""
        self.turns[turn] += 1
        key = Key(turn, _names(before), _names(after), row.principal, row.on_behalf_of)
        group = self.changes.get(key)
        if group is not None:
            group.add(row)
        elif len(self.changes) < MOST:
            self.changes[key] = Group.of(row, before, after)
        else:
            self.unlisted += 1

    def undecide(self, row: Kept, fields: tuple[str, ...]) -> None:
        """A row of which these fields would have to be known."""
        self.undecidable += 1
        group = self.undecided.get(fields)
        if group is not None:
            group.add(row)
        elif len(self.undecided) < MOST:
            self.undecided[fields] = Group.of(row)
        else:
            self.unlisted += 1

    def fails(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Which of these happened: `deny-to-allow` and its like, `any-to-allow`, `any`, `undecidable`."""
        return tuple(each for each in wanted if self._happened(each))

    def _happened(self, wanted: str) -> bool:
        if wanted == UNDECIDABLE:
            return self.undecidable > 0
        before, _, after = wanted.partition(WORD)
        return any(before in (ANY, turn.before) and after in ("", ANY, turn.after) for turn in self.turns)


def is_wish(text: str) -> bool:
    """Whether `Tally.fails` knows such a word."""
    effects = {*map(str, Effect), ANY}
    before, word, after = text.partition(WORD)
    return text in (ANY, UNDECIDABLE) or (word == WORD and {before, after} <= effects)


def _names(refs: Refs) -> tuple[str, ...]:
    return tuple(ref.name for ref in refs)
