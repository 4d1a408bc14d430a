"""Pure: a compiled policy set: `decide` a question, say what a list may show, and what rules read.

What depends on who asks and on names only is kept in bounded caches: a hundred thousand callers cost time, not memory.
Made by `compile`; immutable to everyone else, and two equal questions get equal decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from policylayer.core.call import Call, Question, Subject
from policylayer.core.decision import Decision, Effect, RuleRef
from policylayer.policy import inside, inside_kept, resources
from policylayer.policy.ast import Directory, Path, Policy
from policylayer.policy.decide import decide
from policylayer.policy.directory import People
from policylayer.policy.engine import Entry, entry
from policylayer.policy.foreign import covers
from policylayer.policy.index import Index
from policylayer.policy.listing import listed
from policylayer.policy.partial import Outlook, Together
from policylayer.policy.reading import argument_paths
from policylayer.policy.rules import Asker, CompiledRule, FileRedaction, Scope
from policylayer.policy.values import NOT_ARRIVED, Context, Unknown

REMEMBERED: Final = 4096
"""How many pairs of caller and target are kept ready."""
LONGEST_REMEMBERED: Final = 256
"""Longer targets (resources, mostly) are worked out each time, so that nobody can fill the memory with them."""

OPENING: Final = frozenset({Effect.ALLOW, Effect.REQUIRE_APPROVAL})

_NO_GROUPS: Final[frozenset[str]] = frozenset()


class PolicySet:
    """All policies of one revision."""

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        files: Sequence[FileRedaction],
        directory: Directory,
        revision: str,
        policies: Sequence[Policy] = (),
    ) -> None:
        self.revision = revision
        self.policies = tuple(policies)
        """What the files say, for explaining."""
        self.directory = directory
        self.rules: tuple[RuleRef, ...] = tuple(rule.ref for rule in rules)
        self._rules = tuple(rules)
        self._files = tuple(files)
        self._people = People(directory)
        self._index = Index(self._rules)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._entry)
        self._read = lru_cache(maxsize=REMEMBERED)(self._reads)

    # --- deciding ---

    def decide(self, question: Question) -> Decision:
        """What policy says of a call, and of all that is inside it."""
        if question.server.unwrap:
            found = inside.asked(question)
            if found is not None:
                return inside.decided(found, [self.alone(each) for each in found.questions])
        return self.alone(question)

    def alone(self, question: Question) -> Decision:
        """What policy says of a call as what it is, whatever is inside it."""
        ctx = self._context(question)
        return decide(self._entry_of(ctx), ctx, self.revision)

    def listed(self, question: Question) -> bool:
        """Whether a list may show the question's target, whose arguments are not there yet.

        A resource template is asked with the template as its target, of `resources/read`.
        """
        target = question.call.target
        is_open = question.call.method in resources.METHODS and target is not None and "{" in target
        ctx = self._context(question, is_open)
        return listed(self._entry_of(ctx), ctx)

    def asked(self, question: Question, unknown: Unknown = NOT_ARRIVED) -> tuple[Entry, Context]:
        """The rules that concern a question, and what they are asked with: for whoever looks at each of them.

        Of a meta-tool's call, those about the call itself; each inner one is a question of its own (`inside`).
        """
        ctx = self._context(question, unknown=unknown)
        return self._entry_of(ctx), ctx

    def context(self, question: Question) -> Context:
        """What conditions are asked with."""
        return self._context(question)

    def asker_of(self, ctx: Context) -> Asker:
        """Who asks, with their groups."""
        user = ctx.question.on_behalf_of
        return Asker(ctx.question.subject.id, ctx.groups, None if user is None else user.id, ctx.user_groups)

    def opens(self, principal: str, server: str, now: datetime) -> bool:
        """Whether some rule may let this principal's own calls to this server through, or hold them."""
        asker = Asker(principal, self._people.groups_of(Subject(principal), now), None, _NO_GROUPS)
        return any(rule.effect in OPENING and rule.concerns(asker, server) for rule in self._rules)

    @property
    def compiled(self) -> tuple[CompiledRule, ...]:
        """All rules, in the order of their names."""
        return self._rules

    def possible(self, question: Question, unknown: Unknown) -> frozenset[Effect]:
        """The effects that the question may get, where not all of it is known."""
        return self.outlook(question, unknown).effects

    def outlook(self, question: Question, unknown: Unknown) -> Outlook | Together:
        """What may become of a question of which not all is known, by which rules, and on what that hangs."""
        found = inside.asked(question)
        if found is None:
            return Outlook(*self.asked(question, unknown))
        return inside_kept.outlook(found, unknown, lambda *each: Outlook(*self.asked(*each)))

    def _context(self, question: Question, open_target: bool = False, unknown: Unknown = NOT_ARRIVED) -> Context:
        now, user = question.now, question.on_behalf_of
        groups = self._people.groups_of(question.subject, now)
        user_groups = _NO_GROUPS if user is None else self._people.groups_of(user, now)
        return Context(question, self._people, groups, user_groups, open_target, unknown)

    def _entry_of(self, ctx: Context) -> Entry:
        question = ctx.question
        call, user = question.call, question.on_behalf_of
        short = call.target is None or len(call.target) <= LONGEST_REMEMBERED
        find = self._remembered if short else self._entry
        return find(
            question.subject.id,
            ctx.groups,
            None if user is None else user.id,
            ctx.user_groups,
            call.server,
            call.method,
            call.target,
        )

    def _entry(
        self,
        actor: str,
        groups: frozenset[str],
        user: str | None,
        user_groups: frozenset[str],
        server: str,
        method: str,
        target: str | None,
    ) -> Entry:
        asker = Asker(actor, groups, user, user_groups)
        rules = (self._rules[number] for number in self._index.find(asker, server, method, target))
        return entry(rules, self._files, asker, _bare(server, method, target))

    # --- for another engine beside this one ---

    def describe(self, subject: Subject, now: datetime) -> dict[str, Any]:
        """What principals.yaml and the credential say of a principal: `{id, kind, groups, owner, attributes}`."""
        owner = self._people.owner_of(subject.id)
        made = {
            "id": subject.id,
            "kind": subject.id.partition(":")[0],
            "groups": sorted(self._people.groups_of(subject, now)),
            "attributes": self._people.attributes_of(subject),
        }
        return made if owner is None else {**made, "owner": owner}

    def covers(self, scopes: tuple[Scope, ...], question: Question, effect: Effect | None) -> bool:
        """Whether files under these scopes may concern the question, for a rule of this effect (None: of any)."""
        if not scopes:
            return True
        return covers(scopes, self.asker_of(self._context(question)), question.call.server, effect)

    # --- asking about the set ---

    def groups_of(self, subject: Subject, now: datetime) -> frozenset[str]:
        """The groups (`group:x`) of a principal at `now`."""
        return self._people.groups_of(subject, now)

    def owner_of(self, name: str) -> str | None:
        """The principal that answers for `name`."""
        return self._people.owner_of(name)

    def knows(self, name: str) -> bool:
        """Whether principals.yaml names this principal."""
        return self._people.knows(name)

    def reads(self, server: str, method: str, target: str | None) -> frozenset[Path]:
        """The paths under `args` and `input` that rules look at for some caller of this target.

        A path stands for its whole value. What is not read may change without any decision changing.
        """
        find = self._read if len(method) + len(target or "") <= LONGEST_REMEMBERED else self._reads
        return find(server, method, target)

    def _reads(self, server: str, method: str, target: str | None) -> frozenset[Path]:
        rules = [self._rules[number] for number in self._index.at(server, method, target)]
        return argument_paths(rules, _bare(server, method, target))


def _bare(server: str, method: str, target: str | None) -> Call:
    """A call without arguments: names are all that is looked at."""
    return Call(server, method, target, {}, b"", b"", "")
