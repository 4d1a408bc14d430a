"""Who may vote on which rule of an approval, and when its rules are satisfied.

Decided from the people's standing now: groups and owners as the active policy set has them, never as they were when the
call was held. Must not know the database; `voting.py` applies this in one transaction.

Never the actor, under any of its names: a principal also stands for whoever owns it. The owner of the actor votes only
where a rule lists `owner`, the user acted for only where it lists `on_behalf_of`, whatever groups they are in.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol

from policylayer.core.call import Subject
from policylayer.core.decision import HoldRule
from policylayer.core.errors import ApprovalError
from policylayer.core.immutable import immutable
from policylayer.core.satisfied import demand
from policylayer.identity.person import Person, Role

OWNER: Final = "owner"
ON_BEHALF_OF: Final = "on_behalf_of"
_CHAIN: Final = 16
"""Owners of owners that are followed; loading refuses circles, this bounds what it might miss."""


class Directory(Protocol):
    """What is asked of the active policy set."""

    def groups_of(self, subject: Subject, now: datetime) -> frozenset[str]:
        """The groups of a principal, transitive, as `group:x`."""

    def owner_of(self, principal: str, /) -> str | None:
        """The owner that principals.yaml gives it."""


@immutable
class Parties:
    """Whose call it is."""

    actor: str
    on_behalf_of: str | None


@immutable
class Standing:
    """How a voter stands to a call: the names and groups that a rule may list, and what must be listed.

    `person` is the last of the owners, so that one human under several names counts once.
    """

    person: str
    names: frozenset[str]
    must_list: frozenset[str]
    is_actor: bool

    def may_vote(self, rule: HoldRule) -> bool:
        """Whether this voter counts for that rule."""
        if self.is_actor or not self.must_list <= set(rule.approvers):
            return False
        return not rule.approvers or any(_lists(each, self.names) for each in rule.approvers)


def standing(directory: Directory, now: datetime, parties: Parties, principal: str) -> Standing:
    """How `principal` stands to the call of these parties, now."""
    selves = [principal, *_owners(directory, principal)]
    owners = _owners(directory, parties.actor)
    words = set() if set(owners).isdisjoint(selves) else {OWNER}
    if parties.on_behalf_of is not None and parties.on_behalf_of in selves:
        words.add(ON_BEHALF_OF)
    named = {principal, *directory.groups_of(Subject(principal), now), *_earned(principal, parties, owners)}
    return Standing(selves[-1], frozenset(named), frozenset(words), parties.actor in selves)


def may_vote(directory: Directory, now: datetime, principal: str, parties: Parties, rule: HoldRule) -> bool:
    """Whether this principal counts for that rule, now, for a call of these parties."""
    return standing(directory, now, parties, principal).may_vote(rule)


def open_rules(
    directory: Directory, now: datetime, parties: Parties, rules: Iterable[HoldRule], person: Person
) -> tuple[HoldRule, ...] | ApprovalError:
    """The rules that this person may vote on, or why there are none."""
    if not person.role.covers(Role.APPROVER):
        return ApprovalError("not_an_approver", "this token's role may not approve", "use an approver's token")
    voter = standing(directory, now, parties, person.principal)
    found = tuple(rule for rule in rules if voter.may_vote(rule))
    if found:
        return found
    if voter.is_actor or voter.must_list:
        return ApprovalError("self_approval", "nobody approves their own call, or one of an agent they own")
    return ApprovalError("not_an_approver", "no rule of this approval names you", "ask one of its approvers")


def satisfied(
    directory: Directory, now: datetime, parties: Parties, rules: Sequence[HoldRule], approvers: Iterable[str]
) -> frozenset[str]:
    """The rules (`core.satisfied.demand`) whose quorum the approvers so far make up; each counts once per rule."""
    counted: dict[str, set[str]] = defaultdict(set)
    for each in set(approvers):
        voter = standing(directory, now, parties, each)
        for rule in rules:
            if voter.may_vote(rule):
                counted[demand(rule)].add(voter.person)
    return frozenset(asked for rule in rules if len(counted[asked := demand(rule)]) >= max(rule.quorum, 1))


def _lists(pattern: str, names: frozenset[str]) -> bool:
    """Whether a name or glob of a rule (`*` matches anything) is one of these names."""
    if "*" not in pattern:
        return pattern in names
    glob = ".*".join(re.escape(part) for part in pattern.split("*"))
    return any(re.fullmatch(glob, name, re.DOTALL) for name in names)


def _earned(principal: str, parties: Parties, owners: list[str]) -> set[str]:
    """The words that name this principal. Only the nearest owner is `owner`; all of them need it to be listed."""
    words = {OWNER} if owners[:1] == [principal] else set()
    return words | ({ON_BEHALF_OF} if parties.on_behalf_of == principal else set())


def _owners(directory: Directory, principal: str) -> list[str]:
    """The owner, the owner's owner, and so on."""
    found: list[str] = []
    owner = directory.owner_of(principal)
    while owner is not None and owner not in found and len(found) < _CHAIN:
        found.append(owner)
        owner = directory.owner_of(owner)
    return found
