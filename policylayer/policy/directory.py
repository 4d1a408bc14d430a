"""Pure: principals.yaml as it is asked: groups of a principal at a time, owners, attributes.

Groups nest and members may have an end (`until`); what a principal belongs to is worked out once for each principal
and set of claimed groups, and kept in a bounded cache. Must not know rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from policylayer.core.call import Subject
from policylayer.core.immutable import immutable
from policylayer.policy.ast import Directory
from policylayer.policy.times import microseconds

GROUP: Final = "group:"
REMEMBERED: Final = 4096
"""How many principals' groups are kept; more are worked out again."""

_FOR_GOOD: Final = float("inf")


@immutable
class Membership:
    """Groups held for good, and those held while t < until (microseconds since 1970)."""

    always: frozenset[str]
    until: tuple[tuple[str, float], ...] = ()

    def at(self, now: datetime) -> frozenset[str]:
        """The groups held at `now`."""
        if not self.until:
            return self.always
        now_us = microseconds(now)
        return self.always | {group for group, end in self.until if now_us < end}


class People:
    """The principals and groups of one policy set."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._containers = _containers(directory)
        self._known = {*directory.principals, *(name for name in self._containers if not name.startswith(GROUP))}
        self._membership = lru_cache(maxsize=REMEMBERED)(self._work_out)

    def groups_of(self, subject: Subject, now: datetime) -> frozenset[str]:
        """All groups (`group:x`) that the principal belongs to at `now`, directly, by claim, or through others."""
        return self._membership(subject.id, subject.groups).at(now)

    def ending(self, subject: Subject) -> tuple[str, ...]:
        """The groups of the principal that end, so that whether it holds them depends on the time."""
        return tuple(group for group, _ in self._membership(subject.id, subject.groups).until)

    def _work_out(self, name: str, claimed: frozenset[str]) -> Membership:
        """The latest end of each group over all ways that lead to it; a way ends with its first member that does."""
        best: dict[str, float] = {}
        waiting: list[tuple[str, float]] = [] if name.startswith(GROUP) else [(name, _FOR_GOOD)]
        for group in claimed:
            group = as_group(group)
            best[group] = _FOR_GOOD
            waiting.append((group, _FOR_GOOD))
        while waiting:
            member, end = waiting.pop()
            for group, until in self._containers.get(member, ()):
                reached = min(end, until)
                if reached > best.get(group, float("-inf")):
                    best[group] = reached
                    waiting.append((group, reached))
        always = frozenset(group for group, end in best.items() if end == _FOR_GOOD)
        ending = tuple(sorted((group, end) for group, end in best.items() if end != _FOR_GOOD))
        return Membership(always, ending)

    def owner_of(self, name: str) -> str | None:
        """The principal that answers for `name`."""
        return self._directory.owners.get(name)

    def knows(self, name: str) -> bool:
        """Whether principals.yaml names this principal."""
        return name in self._known

    def attributes_of(self, subject: Subject) -> dict[str, Any]:
        """All declared attributes that the principal has."""
        found = {name: self.attribute(subject, name) for name in self._directory.attributes}
        return {name: value for name, value in found.items() if value is not None}

    def attribute(self, subject: Subject, name: str) -> Any:
        """A declared attribute: what principals.yaml says, else what the credential claims."""
        if name not in self._directory.attributes:
            return None
        written = self._directory.principals.get(subject.id, {}).get(name)
        return subject.attributes.get(name) if written is None else written


def principals_of(directory: Directory) -> frozenset[str]:
    """The principals that principals.yaml names, itself or as members of groups."""
    members = {member.name for group in directory.groups.values() for member in group}
    return frozenset(name for name in {*directory.principals, *members} if not name.startswith(GROUP))


def as_group(name: str) -> str:
    """A group's name with its `group:`."""
    return name if name.startswith(GROUP) else GROUP + name


def _containers(directory: Directory) -> Mapping[str, tuple[tuple[str, float], ...]]:
    """For each member, the groups that list it and until when."""
    found: dict[str, list[tuple[str, float]]] = {}
    for group, members in directory.groups.items():
        for member in members:
            end = _FOR_GOOD if member.until_us is None else member.until_us
            found.setdefault(member.name, []).append((as_group(group), end))
    return {name: _latest(pairs) for name, pairs in found.items()}


def _latest(pairs: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    best: dict[str, float] = {}
    for group, end in pairs:
        best[group] = max(end, best.get(group, float("-inf")))
    return tuple(best.items())
