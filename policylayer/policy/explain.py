"""Pure: why a call gets its decision: every rule considered, what each of its parts came to, and what decided.

What a rule comes to is asked of the compiled rule, as deciding does; its parts are asked one by one, of conditions
compiled again from what the file says. Must not know what would change it (`change`), nor how it is shown
(`explain_shown`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, Literal

from policylayer.core.call import Question
from policylayer.core.decision import Decision, Effect, RuleRef
from policylayer.core.immutable import immutable
from policylayer.core.unwrap import Layer
from policylayer.policy import ast, inside, inside_kept, outcomes, written
from policylayer.policy.conditions import Node, compile_condition, every_part
from policylayer.policy.engine import Candidate, candidate
from policylayer.policy.partial import ENGINE, Outlook
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.rules import Asker, CompiledRule, Selector
from policylayer.policy.selectors import compile_facts
from policylayer.policy.truth import Problem, Truth, conjunction
from policylayer.policy.values import BROKEN, Context, Unknown, reader, text_of

Outcome = Literal["true", "false", "missing", "wrong", "unknown"]
"""`unknown`: it hangs on what is not known of the call."""

KNOWN: Final = Unknown(())
"""All of the call is known."""


class Unset:
    """No value was read."""


UNSET: Final = Unset()


@immutable
class Part:
    """One thing that a rule says: what it is, as written, and what it came to.

    `fields` are those at fault; `value` is what a condition read (None: missing). A block of `except` that is true
    excuses the call.
    """

    what: str
    written: str
    outcome: Outcome
    fields: tuple[str, ...] = ()
    line: int | None = None
    value: object = UNSET
    parts: tuple[Part, ...] = ()


@immutable
class Considered:
    """One rule, what it came to, and its parts. `decided`: it is one of those that the decision names."""

    ref: RuleRef
    effect: Effect | None
    observed: bool
    outcome: Outcome
    fields: tuple[str, ...]
    decided: bool
    reason: str | None
    parts: tuple[Part, ...]

    @property
    def concerns(self) -> bool:
        """Whether it is about this caller, server and target, its conditions aside."""
        return all(part.outcome != "false" for part in self.parts if part.what not in ("when", "except"))


@immutable
class Explanation:
    """A decision, and how every rule of the set came out.

    Where not all of the call is known, `possible` has the effects that it may have had, and `decision` is only what it
    gets as it stands; `not_known` names what rules would read. `inside` are the calls inside a meta-tool's, each as
    what it is; `decision` is then that on all of them, and `rules` are about the call itself.
    """

    question: Question
    decision: Decision
    rules: tuple[Considered, ...]
    possible: frozenset[Effect] = frozenset()
    not_known: tuple[str, ...] = ()
    inside: tuple[Explanation, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether the decision does not hang on what is not known."""
        return len(self.possible) <= 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing that rules read is unknown: only then can be told what would change the decision."""
        return self.is_certain and not self.not_known and all(each.is_whole for each in self.inside)


def explain(policy_set: PolicySet, question: Question, unknown: Unknown = KNOWN) -> Explanation:
    """Why the question gets its decision."""
    decision = policy_set.decide(question)
    found = inside.asked(question)
    if found is None:
        return _alone(policy_set, question, unknown, decision, frozenset(decision.rules))
    own = frozenset(policy_set.alone(question).rules) & frozenset(decision.rules)
    made = _alone(policy_set, question, unknown, decision, own)
    if inside_kept.is_open(found, unknown):
        missing = {text_of(path) for path in unknown.paths if path[0] == "args"}
        return replace(made, not_known=tuple(sorted({*made.not_known, *missing})))
    pairs = zip(found.layers[1:], found.questions[1:], strict=True)
    return replace(made, inside=tuple(_inner(policy_set, *pair, unknown) for pair in pairs))


def _inner(policy_set: PolicySet, layer: Layer, question: Question, unknown: Unknown) -> Explanation:
    decision = policy_set.alone(question)
    known = inside_kept.unknown_in(layer, unknown)
    made = _alone(policy_set, question, known, decision, frozenset(decision.rules))
    possible = Outlook(*policy_set.asked(question, known)).effects if made.possible else made.possible
    return replace(made, possible=possible)


def _alone(
    policy_set: PolicySet, question: Question, unknown: Unknown, decision: Decision, named: frozenset[RuleRef]
) -> Explanation:
    """The rules of the set as they are about one call."""
    _, ctx = policy_set.asked(question, unknown)
    asker = policy_set.asker_of(ctx)
    said = {(policy.name, rule.id): (policy, rule) for policy in policy_set.policies for rule in policy.rules}
    rules = [
        _considered(compiled, *said[compiled.ref.policy, compiled.ref.rule], ctx, asker, compiled.ref in named)
        for compiled in policy_set.compiled
    ]
    if unknown == KNOWN:
        return Explanation(question, decision, tuple(rules))
    return Explanation(
        question, decision, tuple(rules), policy_set.possible(question, unknown), _not_known(policy_set, ctx)
    )


def _not_known(policy_set: PolicySet, ctx: Context) -> tuple[str, ...]:
    """What rules read of such calls that is not known."""
    call = ctx.question.call
    reads = policy_set.reads(call.server, call.method, call.target)
    engine = (ENGINE,) if ctx.unknown.engine else ()
    return (*sorted({text_of(path) for path in reads if ctx.unknown.touches(path)}), *engine)


def outcome_of(truth: Truth) -> Outcome:
    """A truth in one word."""
    if isinstance(truth, Problem):
        return "wrong" if truth.wrong else "missing"
    return "true" if truth else "false"


def outcome_in(node: Node | Candidate, ctx: Context) -> Outcome:
    """What a condition or a rule comes to, as far as that is known."""
    words: dict[int, Outcome] = {
        outcomes.TRUE: "true",
        outcomes.FALSE: "false",
        outcomes.MISSING: "missing",
        outcomes.WRONG: "wrong",
    }
    return words.get(node.possible(ctx), "unknown")


def _considered(
    compiled: CompiledRule, policy: ast.Policy, rule: ast.Rule, ctx: Context, asker: Asker, decided: bool
) -> Considered:
    truth = truth_of(compiled, asker, ctx)
    found = candidate(compiled, asker, ctx.question.call)
    return Considered(
        ref=compiled.ref,
        effect=compiled.effect,
        observed=compiled.observe,
        outcome="false" if found is None else outcome_in(found, ctx),
        fields=truth.fields if isinstance(truth, Problem) else (),
        decided=decided,
        reason=compiled.reason,
        parts=tuple(_parts(compiled, policy, rule, ctx, asker)),
    )


def truth_of(compiled: CompiledRule, asker: Asker, ctx: Context) -> Truth:
    """What a rule comes to, as deciding finds it."""
    found = candidate(compiled, asker, ctx.question.call)
    if found is None:
        return False
    return True if found.ask is None else found.ask(ctx)


# --- the parts of a rule ----------------------------------------------------------------------------------------------


def _parts(compiled: CompiledRule, policy: ast.Policy, rule: ast.Rule, ctx: Context, asker: Asker) -> Iterator[Part]:
    selection, server = rule.selection, ctx.question.call.server
    for name, scope, place in _scopes(compiled, policy):
        yield part(f"{name}.servers", written.names(place.servers), scope.servers.match(server), place.span)
    yield from _who(compiled, policy, rule, asker)
    if selection.servers is not None and compiled.selector.servers is not None:
        yield part("servers", written.names(selection.servers), compiled.selector.servers.match(server), rule.span)
    truth = compiled.selector.target.truth(ctx.question.call)
    yield part("target", written.target(selection), truth, rule.span)
    yield from _facts(selection, ctx, rule.span)
    if selection.when is not None:
        yield condition_part("when", selection.when, ctx)
    for block, compiled_block in zip(rule.except_, compiled.excepts, strict=True):
        yield _block(block, compiled_block, compiled, ctx, asker)


def _scopes(compiled: CompiledRule, policy: ast.Policy) -> Iterator[tuple[str, Any, ast.AppliesTo]]:
    yield "applies_to", compiled.applies_to, policy.applies_to
    for scope, place in zip(compiled.scopes, policy.scopes, strict=True):
        yield place.span.file, scope, place


def _who(compiled: CompiledRule, policy: ast.Policy, rule: ast.Rule, asker: Asker) -> Iterator[Part]:
    """Whom the rule is about; which list looks at whom depends on its effect and on `for`."""
    selection, allow = rule.selection, compiled.effect is Effect.ALLOW
    user = compiled.selector.user
    if user is None and allow:
        yield part("for", "an allow without `for` is about direct calls", asker.user is None, rule.span)
    if user is not None and selection.on_behalf_of is not None:
        yield part("for", written.names(selection.on_behalf_of), asker.user_in(user), rule.span)
    looks = asker.actor_in if user is not None or allow else asker.either_in
    principals = compiled.selector.principals
    if principals is not None and selection.principals is not None:
        yield part("principals", written.names(selection.principals), looks(principals), rule.span)
    for name, scope, place in _scopes(compiled, policy):
        if user is None:
            answer = looks(scope.who)
        elif name != "applies_to" and allow:
            answer = asker.actor_in(scope.who) and asker.user_in(scope.who)
        else:
            answer = asker.either_in(scope.who)
        yield part(f"{name}.principals", written.names(place.principals), answer, place.span)


def _facts(selection: ast.Selection, ctx: Context, span: ast.Span) -> Iterator[Part]:
    said: list[tuple[str, str, ast.Selection]] = []
    if selection.risk is not None:
        said.append(("risk", written.names(selection.risk), ast.Selection(risk=selection.risk)))
    if selection.traits is not None:
        said.append(("traits", written.names(selection.traits), ast.Selection(traits=selection.traits)))
    for name, wanted in sorted((selection.annotations or {}).items()):
        text = "true" if wanted else "false"
        said.append((f"annotations.{name}", text, ast.Selection(annotations={name: wanted})))
    for what, text, alone in said:
        node = compile_facts(alone, [])
        assert node is not None
        yield _from_node(part(what, text, node.truth(ctx), span), node, ctx)


def _from_node(made: Part, node: Node, ctx: Context) -> Part:
    """A part whose condition may hang on what is not known."""
    outcome = outcome_in(node, ctx)
    return made if outcome == made.outcome else replace(made, outcome=outcome, fields=(), value=UNSET)


def _block(block: ast.Selection, selector: Selector, rule: CompiledRule, ctx: Context, asker: Asker) -> Part:
    """One block of `except`: true where it excuses the call."""
    who = rule.excused_by(selector, asker, ctx.question.call)
    parts = [part("who and what", _block_text(block), who)]
    parts += _facts(block, ctx, block_span(block) or rule_span(rule))
    if block.when is not None:
        parts.append(condition_part("when", block.when, ctx))
    nodes = [node for node in (selector.facts, selector.when) if node is not None]
    truth = conjunction([who, *(node.truth(ctx) for node in nodes)])
    made = part("except", _block_text(block), truth, block_span(block), tuple(parts))
    return _from_node(made, every_part(nodes), ctx) if who is True and nodes else made


def _block_text(block: ast.Selection) -> str:
    said = [written.target(block)] if any(getattr(block, name) is not None for name in written.TARGETS) else []
    lists = {"principals": block.principals, "for": block.on_behalf_of, "servers": block.servers}
    said += [f"{name}: {written.names(patterns)}" for name, patterns in lists.items() if patterns is not None]
    return ", ".join(said) or "any call"


def block_span(block: ast.Selection) -> ast.Span | None:
    """Where a block stands: its first name or condition."""
    lists = (block.tools, block.prompts, block.resources, block.methods, block.principals, block.servers)
    found = next((patterns[0].span for patterns in (*lists, block.on_behalf_of) if patterns), None)
    return found or next((test.span for test in ast.tests_of(block.when)), None)


def rule_span(rule: CompiledRule) -> ast.Span:
    """Where a rule stands."""
    return ast.Span(rule.ref.file, rule.ref.line, 1)


def part(
    what: str,
    text: str,
    truth: Truth,
    span: ast.Span | None = None,
    parts: tuple[Part, ...] = (),
    value: object = UNSET,
) -> Part:
    """A part from what it came to."""
    fields = truth.fields if isinstance(truth, Problem) else ()
    return Part(what, text, outcome_of(truth), fields, span.line if span else None, value, parts)


# --- conditions -------------------------------------------------------------------------------------------------------


def condition_part(what: str, condition: ast.Condition, ctx: Context) -> Part:
    """A condition with everything in it."""
    node = compile_condition(condition, [])
    return _from_node(_condition_part(what, condition, node.truth(ctx), ctx), node, ctx)


def _condition_part(what: str, condition: ast.Condition, truth: Truth, ctx: Context) -> Part:
    match condition:
        case ast.All(parts):
            return part(what, written.short(written.condition(condition)), truth, None, _each(parts, ctx))
        case ast.Any_(parts):
            return part("any", written.short(written.condition(condition)), truth, None, _each(parts, ctx))
        case ast.Not(inner):
            below = _each(inner.parts if isinstance(inner, ast.All) else (inner,), ctx)
            return part("not", written.short(written.condition(condition)), truth, None, below)
        case ast.Test():
            return part(
                "test", written.short(written.test(condition)), truth, condition.span, (), _read(condition, ctx)
            )
        case _:
            text = f"time: {{{written.time(condition)}}}"
            return part("time", text, truth, condition.span, (), written.instant(ctx.question.now))


def _each(parts: tuple[ast.Condition, ...], ctx: Context) -> tuple[Part, ...]:
    return tuple(condition_part("all", each, ctx) for each in parts)


def _read(test: ast.Test, ctx: Context) -> object:
    read = reader(test.path)
    value = None if read is None else read(ctx)
    return UNSET if value is BROKEN else value
