"""Pure: policies and principals.yaml, as parsed, to a `PolicySet`; what cannot be compiled is reported, all of it.

Patterns are compiled here and nowhere later: expressions, globs, networks, schemas and time zones that are wrong are
errors of the policy, never of a call. Must not know how text became the AST (`parse_policy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from policylayer.core.decision import Effect, HoldRule, Mask, RuleRef
from policylayer.policy import ast, charges
from policylayer.policy.codes import Code
from policylayer.policy.conditions import Node, compile_condition
from policylayer.policy.diagnostics import Diagnostic, error
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.regexes import BadRegex, compile_regex
from policylayer.policy.rules import CompiledRule, Duties, FileRedaction, Scope, Selector
from policylayer.policy.selectors import Names, Who, checked, compile_facts, compile_target


def compile(
    policies: Sequence[ast.Policy], directory: ast.Directory, revision: str
) -> tuple[PolicySet | None, list[Diagnostic]]:
    """The policy set, or None where something in it is an error."""
    work = _Work()
    rules: list[CompiledRule] = []
    files: list[FileRedaction] = []
    for policy in sorted(policies, key=lambda policy: policy.name):
        compiled, redaction = work.policy(policy)
        rules += compiled
        files += [redaction] if redaction else []
    if any(found.is_error for found in work.sink):
        return None, work.sink
    return PolicySet(rules, files, directory, revision, policies), work.sink


@dataclass(slots=True)
class _Work:
    """One compilation: what was found wrong, and lists of names that several rules share."""

    sink: list[Diagnostic] = field(default_factory=list)
    who: dict[tuple[str, ...], Who] = field(default_factory=dict)
    names: dict[tuple[str, ...], Names] = field(default_factory=dict)
    count: int = 0

    def policy(self, policy: ast.Policy) -> tuple[list[CompiledRule], FileRedaction | None]:
        """A file's rules in the order of their names, and its own redaction."""
        applies_to = self._scope(policy.applies_to)
        scopes = tuple(map(self._scope, policy.scopes))
        rules = [
            self._rule(policy, rule, applies_to, scopes) for rule in sorted(policy.rules, key=lambda rule: rule.id)
        ]
        redact = tuple(path.text for path in policy.redact)
        return rules, FileRedaction(redact, applies_to, scopes) if redact else None

    def _scope(self, scope: ast.AppliesTo) -> Scope:
        return Scope(self._who(scope.principals), self._names(scope.servers))

    def _who(self, patterns: Iterable[ast.Pattern]) -> Who:
        texts = checked(patterns, self.sink)
        return self.who.setdefault(texts, Who(texts))

    def _names(self, patterns: Iterable[ast.Pattern]) -> Names:
        texts = checked(patterns, self.sink)
        return self.names.setdefault(texts, Names(texts))

    def _rule(self, policy: ast.Policy, rule: ast.Rule, applies_to: Scope, scopes: tuple[Scope, ...]) -> CompiledRule:
        ref = RuleRef(policy.name, rule.id, rule.span.file, rule.span.line)
        approval = _hold(ref, rule.approval or ast.Approval())
        self.count += 1
        return CompiledRule(
            order=self.count,
            name=ref.name,
            ref=ref,
            effect=rule.effect,
            observe=policy.observe,
            applies_to=applies_to,
            scopes=scopes,
            selector=self._selector(rule.selection),
            excepts=tuple(map(self._selector, rule.except_)),
            hold=approval if rule.effect is Effect.REQUIRE_APPROVAL else None,
            limits=tuple(self._limits(policy, rule, ref, approval)),
            duties=self._duties(rule),
            reason=rule.reason,
            instead=rule.instead,
            listed=rule.list,
        )

    def _selector(self, selection: ast.Selection) -> Selector:
        return Selector(
            target=compile_target(selection, self.sink),
            principals=None if selection.principals is None else self._who(selection.principals),
            user=None if selection.on_behalf_of is None else self._who(selection.on_behalf_of),
            servers=None if selection.servers is None else self._names(selection.servers),
            facts=compile_facts(selection, self.sink),
            when=self._when(selection.when),
        )

    def _when(self, condition: ast.Condition | None) -> Node | None:
        return None if condition is None else compile_condition(condition, self.sink)

    def _limits(
        self, policy: ast.Policy, rule: ast.Rule, ref: RuleRef, approval: HoldRule
    ) -> Iterable[charges.LimitPlan]:
        """Named limits are `policy/limit`, inline ones `policy/rule#n`, counted from 1."""
        inline = 0
        for written in rule.limits:
            if isinstance(written, ast.Limit):
                inline += 1
                limit: ast.Limit | None = written
                counter = f"{ref.name}#{inline}"
            else:
                limit = policy.limits.get(written)
                counter = f"{policy.name}/{written}"
                if limit is None:
                    message = f"there is no limit `{written}` in this file"
                    self.sink.append(error(Code.UNKNOWN_LIMIT, rule.span, message))
            plan = None if limit is None else charges.plan(limit, counter, ref, approval, self.sink)
            if plan is not None:
                yield plan

    def _duties(self, rule: ast.Rule) -> Duties | None:
        duties = Duties(
            redact=tuple(path.text for path in rule.redact),
            mask=tuple(map(self._mask, rule.mask)),
            cap=rule.cap,
            label=frozenset(rule.label),
            earn=dict(rule.earn),
        )
        return None if duties.is_empty else duties

    def _mask(self, mask: ast.MaskRule) -> Mask:
        if mask.regex is not None:
            try:
                compile_regex(mask.regex, whole=False)
            except BadRegex as problem:
                self.sink.append(error(Code.BAD_REGEX, mask.span, str(problem), problem.help))
        return Mask(mask.path.text if mask.path else None, mask.pattern, mask.regex)


def _hold(ref: RuleRef, approval: ast.Approval) -> HoldRule:
    return HoldRule(
        ref=ref,
        approvers=tuple(pattern.text for pattern in approval.approvers),
        quorum=approval.quorum,
        expires=approval.expires,
        note_required=approval.note_required,
        each_round=approval.each_round,
    )
