"""Pure: the rules that concern one caller, server, method and target, ready to be asked about arguments.

What depends on names only is worked out once and kept in a bounded cache (`PolicySet`); what is left of each rule is
one function of the call. Must not know effects (`decide`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from policylayer.core.call import Call
from policylayer.core.decision import Effect
from policylayer.policy import outcomes
from policylayer.policy.conditions import Node, every_part, inverse
from policylayer.policy.rules import Asker, CompiledRule, FileRedaction, Selector
from policylayer.policy.truth import Truth
from policylayer.policy.values import Context


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A rule that concerns the caller and the target. `node` is what remains to be asked (None: it matches).

    `ask` is the node's `truth`, kept here for speed.
    """

    rule: CompiledRule
    node: Node | None
    ask: Callable[[Context], Truth] | None

    def possible(self, ctx: Context) -> int:
        """What the rule may be once the arguments are known."""
        return outcomes.TRUE if self.node is None else self.node.possible(ctx)


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Candidates by effect, each group in the order of their names."""

    denies: tuple[Candidate, ...]
    holds: tuple[Candidate, ...]
    allows: tuple[Candidate, ...]
    plain: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """All candidates: those that count, and those of files in observe mode (None: there are none).

    `redact` is what files redact. `redacts`, `duties` and `limits` say whether any rule redacts, has obligations at
    all, or limits.
    """

    counted: Groups
    observed: Groups | None
    redact: tuple[str, ...]
    redacts: bool
    duties: bool
    limits: bool


def entry(rules: Iterable[CompiledRule], files: Sequence[FileRedaction], asker: Asker, call: Call) -> Entry:
    """The entry of those rules that concern the asker and the call's target."""
    found = [made for rule in rules if (made := candidate(rule, asker, call)) is not None]
    observed = [made for made in found if made.rule.observe]
    redact = sorted({path for file in files if file.concerns(asker, call.server) for path in file.redact})
    return Entry(
        counted=_grouped([made for made in found if not made.rule.observe]),
        observed=_grouped(observed) if observed else None,
        redact=tuple(redact),
        redacts=any(made.rule.duties is not None and made.rule.duties.redact for made in found),
        duties=any(made.rule.duties is not None for made in found),
        limits=any(made.rule.limits for made in found),
    )


def _grouped(found: list[Candidate]) -> Groups:
    def having(effect: Effect | None) -> tuple[Candidate, ...]:
        return tuple(made for made in found if made.rule.effect is effect)

    return Groups(having(Effect.DENY), having(Effect.REQUIRE_APPROVAL), having(Effect.ALLOW), having(None))


def candidate(rule: CompiledRule, asker: Asker, call: Call) -> Candidate | None:
    """What is left to ask of a rule; None where its names, or an except block's, already say no."""
    if not rule.concerns(asker, call.server):
        return None
    target = rule.selector.target.truth(call)
    if target is False:
        return None
    uri = call.target or ""
    parts = _parts(rule.selector, target, uri)
    for block in rule.excepts:
        excused = rule.excused_by(block, asker, call)
        if excused is False:
            continue
        left = _parts(block, excused, uri)
        if not left:
            return None
        parts.append(inverse(every_part(left)))
    node = every_part(parts) if parts else None
    return Candidate(rule, node, node.truth if node else None)


def _parts(selector: Selector, target: Truth, uri: str) -> list[Node]:
    parts = [node for node in (selector.facts, selector.when) if node is not None]
    return parts if target is True else [_unread_target(target, selector.target.may_match_expansion(uri)), *parts]


def _unread_target(problem: Truth, may_match: bool) -> Node:
    """A target that cannot be read; one that is still open, in a list of templates, may turn out anything it can."""
    may_be = outcomes.FALSE | outcomes.WRONG | (outcomes.TRUE if may_match else 0)
    constant: Callable[[Context], Truth] = lambda ctx: problem  # noqa: E731
    return Node(
        constant,
        lambda ctx: may_be if ctx.open_target else outcomes.of(problem),
        lambda ctx: ("target",),
        frozenset((("target",),)),
    )
