"""Pure: edits that would make a whole rule match, or no longer match: its people, its facts, its conditions, `except`.

The rule's server and target stay what they are: another tool would be another call. Must not know effects (`change`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from policylayer.core.call import Question
from policylayer.core.immutable import immutable
from policylayer.policy import ast, written
from policylayer.policy.change_edits import edited
from policylayer.policy.change_solve import COMBINED, Conditions, Edit, Option, cheapest, merged, values
from policylayer.policy.change_values import REMOVED
from policylayer.policy.directory import GROUP
from policylayer.policy.explain import truth_of
from policylayer.policy.names import is_glob
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.rules import Asker, CompiledRule, Selector
from policylayer.policy.selectors import TOOLS, compile_facts
from policylayer.policy.truth import Truth

PEOPLE: Final = 60
"""Names tried in the place of a principal."""
WAYS: Final = 3
"""Other people that are kept as a way."""


@immutable
class Said:
    """A rule as it was compiled, and as its file says it."""

    compiled: CompiledRule
    policy: ast.Policy
    rule: ast.Rule

    @property
    def name(self) -> str:
        """`policy/id`."""
        return self.compiled.name


class Rules:
    """Solves rules of one policy set."""

    def __init__(self, policy_set: PolicySet, conditions: Conditions) -> None:
        self._policy_set = policy_set
        self._conditions = conditions
        written_as = {(policy.name, rule.id): (policy, rule) for policy in policy_set.policies for rule in policy.rules}
        self.said = {
            compiled.name: Said(compiled, *written_as[compiled.ref.policy, compiled.ref.rule])
            for compiled in policy_set.compiled
        }

    def truth(self, said: Said, question: Question) -> Truth:
        """What a rule comes to."""
        ctx = self._policy_set.context(question)
        return truth_of(said.compiled, self._policy_set.asker_of(ctx), ctx)

    def about_target(self, said: Said, question: Question) -> bool:
        """Whether a rule is about the call's server and target, whoever asks."""
        compiled, call = said.compiled, question.call
        own = compiled.selector.servers
        servers = [scope.servers for scope in (compiled.applies_to, *compiled.scopes)] + ([own] if own else [])
        return all(names.match(call.server) for names in servers) and compiled.selector.target.truth(call) is True

    # --- to match -----------------------------------------------------------------------------------------------------

    def to_match(self, said: Said, question: Question) -> list[Option]:
        """Ways to have the rule come out true."""
        if not self.about_target(said, question):
            return []
        found: list[Option] = []
        for who in self._who(said, question, wanted=True):
            asked = edited(question, values(who))
            each = [self._facts(said.rule.selection, True, asked, said.name), self._when(said, True, asked)]
            each += [self._block(said, number, False, asked) for number in range(len(said.rule.except_))]
            if all(each):
                found += [
                    option for way in self._conditions.together(each) if (option := merged([who, way])) is not None
                ]
        return cheapest(found, COMBINED)

    # --- to match no longer -------------------------------------------------------------------------------------------

    def not_to_match(self, said: Said, question: Question) -> list[Option]:
        """Ways to have the rule come out false."""
        found = [*self._when(said, False, question), *self._facts(said.rule.selection, False, question, said.name)]
        for number in range(len(said.rule.except_)):
            found += self._block(said, number, True, question)
        found += self._who(said, question, wanted=False)
        return cheapest(filter(None, found), COMBINED)

    def _when(self, said: Said, wanted: bool, question: Question) -> list[Option]:
        condition = said.rule.selection.when
        if condition is None:
            return [{}] if wanted else []
        return self._conditions.solve(condition, wanted, question, said.name)

    # --- who ----------------------------------------------------------------------------------------------------------

    def _asker(self, question: Question) -> Asker:
        return self._policy_set.asker_of(self._policy_set.context(question))

    def _who(self, said: Said, question: Question, wanted: bool) -> list[Option]:
        """Other people whom the rule concerns, or not; nobody else where that is so already."""
        server = question.call.server
        if said.compiled.concerns(self._asker(question), server) is wanted:
            return [{}] if wanted else []
        ways: list[Option] = []
        for option in self._people(said, question):
            asker = self._asker(edited(question, values(option)))
            if said.compiled.concerns(asker, server) is wanted:
                ways.append(option)
                if len(ways) == WAYS:
                    break
        return ways

    def _people(self, said: Said, question: Question) -> Iterator[Option]:
        says = "whom the rule concerns"
        if question.on_behalf_of is not None:
            yield {("for",): Edit(REMOVED, said.name, says)}
        lists = list(_lists(said))
        groups = [name for name in lists if name.startswith(GROUP) and not is_glob(name)]
        known = [*(name for name in lists if not name.startswith(GROUP) and not is_glob(name))]
        known += [name for name in self._policy_set.directory.principals if name not in known]
        for root in ("principal", "for"):
            for group in groups:
                yield {(root, "groups"): Edit((group,), said.name, says)}
            for name in known[:PEOPLE]:
                yield {(root, "id"): Edit(name, said.name, says)}

    # --- what is known of the tool ------------------------------------------------------------------------------------

    def _facts(self, selection: ast.Selection, wanted: bool, question: Question, rule: str) -> list[Option]:
        """Ways to have risk, traits and annotations as wanted."""
        alone = ast.Selection(risk=selection.risk, traits=selection.traits, annotations=selection.annotations)
        node = compile_facts(alone, [])
        if node is None:
            return [{}] if wanted else []
        if node.truth(self._policy_set.context(question)) is wanted:
            return [{}]
        if question.call.method != TOOLS:
            return []
        if wanted:
            return cheapest([option for option in (merged(_facts_as_said(alone, rule)),) if option], 1)
        return list(_facts_otherwise(alone, rule))

    # --- except -------------------------------------------------------------------------------------------------------

    def _block(self, said: Said, number: int, wanted: bool, question: Question) -> list[Option]:
        """Ways to have a block of `except` come out true (it excuses the call), or false."""
        block, selector = said.rule.except_[number], said.compiled.excepts[number]
        excused = said.compiled.excused_by(selector, self._asker(question), question.call)
        if wanted:
            return self._to_excuse(said, block, selector, question)
        if excused is False:
            return [{}]
        ways = list(self._facts(block, False, question, said.name))
        if block.when is not None:
            ways += self._conditions.solve(block.when, False, question, said.name)
        return ways

    def _to_excuse(self, said: Said, block: ast.Selection, selector: Selector, question: Question) -> list[Option]:
        found: list[Option] = []
        people: Iterable[Option] = ({}, *self._people(said, question))
        for who in people:
            asked = edited(question, values(who))
            if said.compiled.excused_by(selector, self._asker(asked), question.call) is not True:
                continue
            each = [self._facts(block, True, asked, said.name)]
            each += [self._conditions.solve(block.when, True, asked, said.name)] if block.when is not None else []
            if all(each):
                found += [
                    option for way in self._conditions.together(each) if (option := merged([who, way])) is not None
                ]
            if len(found) >= WAYS:
                break
        return found


def _lists(said: Said) -> Iterator[str]:
    """All names that the rule, its file, its scopes and its `except` list."""
    places = [said.policy.applies_to.principals, *(scope.principals for scope in said.policy.scopes)]
    for selection in (said.rule.selection, *said.rule.except_):
        places += [patterns for patterns in (selection.principals, selection.on_behalf_of) if patterns is not None]
    yield from dict.fromkeys(pattern.text for patterns in places for pattern in patterns)


def _facts_as_said(selection: ast.Selection, rule: str) -> Iterator[Option]:
    if selection.risk is not None:
        yield {("risk",): Edit(selection.risk[0].text, rule, f"risk: {written.names(selection.risk)}")}
    if selection.traits is not None:
        yield {("traits",): Edit((selection.traits[0].text,), rule, f"traits: {written.names(selection.traits)}")}
    for name, value in (selection.annotations or {}).items():
        yield {("annotations", name): Edit(value, rule, f"annotations: {{{name}: {str(value).lower()}}}")}


def _facts_otherwise(selection: ast.Selection, rule: str) -> Iterator[Option]:
    if selection.risk is not None:
        said = {pattern.text for pattern in selection.risk}
        others = (risk for risk in ("read", "write", "execute", "destructive", "financial") if risk not in said)
        for risk in others:
            yield {("risk",): Edit(risk, rule, f"risk: {written.names(selection.risk)}")}
    if selection.traits is not None:
        yield {("traits",): Edit((), rule, f"traits: {written.names(selection.traits)}")}
    for name, value in (selection.annotations or {}).items():
        yield {("annotations", name): Edit(not value, rule, f"annotations: {{{name}: {str(value).lower()}}}")}
