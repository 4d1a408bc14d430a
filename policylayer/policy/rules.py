"""Pure: a compiled rule, and whom it concerns before any argument is looked at.

`compile` makes these, `engine` keeps those that concern a caller and a target, `decide` asks them about a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policylayer.core.call import Call
from policylayer.core.decision import Effect, HoldRule, Mask, RuleRef
from policylayer.core.immutable import immutable
from policylayer.policy.charges import LimitPlan
from policylayer.policy.conditions import Node
from policylayer.policy.selectors import Names, Target, Who
from policylayer.policy.truth import Truth


@immutable
class Asker:
    """Who asks: the actor, and the user it acts for (None on direct calls), with their groups now."""

    id: str
    groups: frozenset[str]
    user: str | None = None
    user_groups: frozenset[str] = frozenset()

    def actor_in(self, who: Who) -> bool:
        """Whether the list names the actor."""
        return who.match(self.id, self.groups)

    def user_in(self, who: Who) -> bool:
        """Whether the list names the user acted for."""
        return self.user is not None and who.match(self.user, self.user_groups)

    def either_in(self, who: Who) -> bool:
        """Whether the list names one of them."""
        return self.actor_in(who) or self.user_in(who)


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """An `applies_to`: of a file, or of a folder's scope.yaml."""

    who: Who
    servers: Names


@dataclass(frozen=True, slots=True, eq=False)
class Selector:
    """Target and selectors of a rule or an except block. `facts` and `when` are asked for each call."""

    target: Target
    principals: Who | None
    user: Who | None
    servers: Names | None
    facts: Node | None
    when: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Duties:
    """A rule's obligations."""

    redact: tuple[str, ...] = ()
    mask: tuple[Mask, ...] = ()
    cap: int | None = None
    label: frozenset[str] = frozenset()
    earn: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.redact or self.mask or self.label or self.earn) and self.cap is None


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """One rule. `order` is its place by name; `hold` is set for require_approval; `scopes` are its scope.yaml files."""

    order: int
    name: str
    ref: RuleRef
    effect: Effect | None
    observe: bool
    applies_to: Scope
    scopes: tuple[Scope, ...]
    selector: Selector
    excepts: tuple[Selector, ...]
    hold: HoldRule | None
    limits: tuple[LimitPlan, ...]
    duties: Duties | None
    reason: str | None
    instead: str | None
    listed: bool

    def concerns(self, asker: Asker, server: str) -> bool:
        """Whether the rule is about this server and these principals."""
        selector = self.selector
        if selector.servers is not None and not selector.servers.match(server):
            return False
        if not all(scope.servers.match(server) for scope in (self.applies_to, *self.scopes)):
            return False
        if selector.user is None:
            return self._concerns_without_for(asker)
        return self._concerns_with_for(asker, selector.user)

    def _concerns_without_for(self, asker: Asker) -> bool:
        """An allow: direct calls of the actor only. Any other rule: each list may name either."""
        lists = [scope.who for scope in (self.applies_to, *self.scopes)]
        if self.selector.principals is not None:
            lists.append(self.selector.principals)
        if self.effect is Effect.ALLOW:
            return asker.user is None and all(map(asker.actor_in, lists))
        return all(map(asker.either_in, lists))

    def _concerns_with_for(self, asker: Asker, user: Who) -> bool:
        """Actor and user each by their own list; a folder's scope opens things only to its own for its own."""
        principals = self.selector.principals
        if not asker.user_in(user) or not (principals is None or asker.actor_in(principals)):
            return False
        if not asker.either_in(self.applies_to.who):
            return False
        if self.effect is Effect.ALLOW:
            return all(asker.actor_in(scope.who) and asker.user_in(scope.who) for scope in self.scopes)
        return all(asker.either_in(scope.who) for scope in self.scopes)

    def excused_by(self, block: Selector, asker: Asker, call: Call) -> Truth:
        """Whether an except block may excuse the call, as far as can be told without its arguments."""
        if block.principals is not None:
            direct_only = self.effect is not Effect.ALLOW and block.user is None
            if not asker.actor_in(block.principals) or (direct_only and asker.user is not None):
                return False
        if block.user is not None and not asker.user_in(block.user):
            return False
        if block.servers is not None and not block.servers.match(call.server):
            return False
        return block.target.truth(call)


@dataclass(frozen=True, slots=True, eq=False)
class FileRedaction:
    """What a file redacts in the record of every call that it applies to."""

    redact: tuple[str, ...]
    applies_to: Scope
    scopes: tuple[Scope, ...]

    def concerns(self, asker: Asker, server: str) -> bool:
        """Whether the file applies."""
        scopes = (self.applies_to, *self.scopes)
        return all(scope.servers.match(server) and asker.either_in(scope.who) for scope in scopes)
