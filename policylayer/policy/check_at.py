"""Pure: that a policy test says when it is, where its outcome may depend on that: else it would be run in 1970.

Time is read by conditions on `time` of the rules that may concern the call, and by memberships that end (`until`) of
whoever makes it. Names are checked in `check_tests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from policylayer.core.call import Question
from policylayer.policy import ast, testing
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote
from policylayer.policy.directory import GROUP, People
from policylayer.policy.references import refs_in
from policylayer.policy.selectors import Names, compile_target

_GROUPS: Final = frozenset((("principal", "groups"), ("for", "groups")))
HELP: Final = 'say when: `at: "2026-12-01T09:00:00Z"`'


def check_at(
    tests: Iterable[ast.TestCase], policies: Sequence[ast.Policy], directory: ast.Directory, sink: list[Diagnostic]
) -> None:
    """Report tests that read the time and do not say it."""
    people = People(directory)
    for test in tests:
        if test.at is None:
            question = testing.question(test)
            ending = tuple(_ending(question, people))
            for policy, rule in _concerning(question, policies):
                why = _why(policy, rule, ending)
                if why is not None:
                    message = f"`at` is missing in test {quote(test.name)}: {why}"
                    sink.append(error(Code.MISSING_KEY, test.span, message, HELP))
                    break


def _concerning(question: Question, policies: Sequence[ast.Policy]) -> Iterator[tuple[ast.Policy, ast.Rule]]:
    """The rules that may concern the call, or a call inside it."""
    call = question.call
    unwraps = any(meta.tool == call.target for meta in question.server.unwrap)
    for policy in policies:
        for rule in policy.rules:
            lists = (policy.applies_to.servers, *(scope.servers for scope in policy.scopes), rule.selection.servers)
            here = all(Names(each.text for each in names).match(call.server) for names in lists if names is not None)
            if here and (unwraps or compile_target(rule.selection, []).truth(call) is not False):
                yield policy, rule


def _ending(question: Question, people: People) -> Iterator[tuple[str, str]]:
    """Whose membership ends, and in what."""
    for subject in (question.subject, question.on_behalf_of):
        if subject is not None:
            yield from ((subject.id, group) for group in people.ending(subject))


def _why(policy: ast.Policy, rule: ast.Rule, ending: Iterable[tuple[str, str]]) -> str | None:
    """Why the time matters to a rule."""
    name = quote(f"{policy.name}/{rule.id}")
    blocks = (rule.selection, *rule.except_)
    parts = [leaf for block in blocks for leaf, _ in ast.leaves(block.when)]
    if any(isinstance(part, ast.During | ast.Bound) for part in parts):
        return f"rule {name} reads the time"
    whom = [policy.applies_to.principals, *(scope.principals for scope in policy.scopes)]
    whom += [names for block in blocks for names in (block.principals, block.on_behalf_of) if names is not None]
    reads_groups = any(isinstance(part, ast.Test) and _GROUPS & _paths(part) for part in parts)
    groups = Names(each.text for names in whom for each in names if each.text.startswith(GROUP))
    for subject, group in ending:
        if reads_groups or groups.match(group):
            return f"rule {name} reads the groups of {quote(subject)}, whose membership in {quote(group)} ends"
    return None


def _paths(test: ast.Test) -> set[ast.Path]:
    matchers = [matcher for each in ast.all_tests_of(test) for matcher in each.matchers]
    return {test.path, *(ref.path for matcher in matchers for ref in refs_in(matcher))}
