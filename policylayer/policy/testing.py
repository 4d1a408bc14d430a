"""Pure: policy tests run: each is a question to the whole set, and what policy is expected to say of it.

`parse_tests` reads them from text. A test asks what policy says, so a server in observe mode is asked as one that
enforces; counters stand where the test says, at zero otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Decision, Effect
from policylayer.core.immutable import immutable
from policylayer.policy import ast, numbers, resources
from policylayer.policy.decide import over_limit
from policylayer.policy.directory import as_group
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.selectors import PROMPTS, TOOLS
from policylayer.policy.times import EPOCH

PROTOCOL: Final = "2025-11-25"
"""What a test's call is made with unless it says otherwise."""

NOTHING_USED: Final = Decimal(0)


@immutable
class TestResult:
    """How one test went. `message` says each mismatch; empty where it passed."""

    __test__ = False
    name: str
    span: ast.Span
    passed: bool
    message: str = ""

    def __str__(self) -> str:
        """One line, beginning with the place of what was expected."""
        place = f"{self.span.file}:{self.span.line}"
        return f"{place}: {'passed' if self.passed else 'failed'}: {self.name}{self.message and ': ' + self.message}"


def run(policy_set: PolicySet, tests: Iterable[ast.TestCase]) -> list[TestResult]:
    """All results, in the order of the tests."""
    return [run_one(policy_set, test) for test in tests]


def run_one(policy_set: PolicySet, test: ast.TestCase, asked: Question | None = None) -> TestResult:
    """Ask, and compare. `asked` is the test's question with what another engine said of it."""
    decision = decided(policy_set, test, asked)
    message = "; ".join(_mismatches(test.expected, decision))
    return TestResult(test.name, test.expected.span, not message, message)


def decided(policy_set: PolicySet, test: ast.TestCase, asked: Question | None = None) -> Decision:
    """What policy says of a test's call, its counters included."""
    decision = policy_set.decide(asked or question(test))
    if decision.effect is not Effect.ALLOW:
        return decision
    used = test.limits
    exceeded = [
        charge
        for charge in decision.charges
        if numbers.add(used.get(charge.counter, NOTHING_USED), charge.amount) > charge.max
    ]
    window = max((charge.window for charge in exceeded), default=0)
    return over_limit(decision, exceeded, test.approved, window)


def question(test: ast.TestCase) -> Question:
    """The question that a test asks."""
    fixture = test.servers.get(test.call.server, ast.Fixture())
    return Question(
        call=_call(test),
        subject=_subject(test.subject),
        server=ServerFacts(test.call.server, cwd=fixture.cwd, unwrap=fixture.unwrap),
        now=test.at or EPOCH,
        on_behalf_of=None if test.on_behalf_of is None else _subject(test.on_behalf_of),
        approved=test.approved,
        labels=test.labels,
        ip=test.ip,
        client=test.client,
    )


def _subject(subject: ast.TestSubject) -> Subject:
    return Subject(subject.id, frozenset(map(as_group, subject.groups)), subject.attributes)


def _call(test: ast.TestCase) -> Call:
    call = test.call
    method, target, arguments = _named(call)
    return Call(call.server, method, target, arguments, b"", b"", test.protocol or PROTOCOL, test.input)


def _named(call: ast.TestCall) -> tuple[str, str | None, dict[str, Any]]:
    """Method, target and arguments of what is called."""
    arguments = dict(call.arguments)
    if call.kind == "tool":
        return TOOLS, call.name, arguments
    if call.kind == "prompt":
        return PROMPTS, call.name, arguments
    if call.kind == "resource":
        return "resources/read", call.name, {"uri": call.name}
    uri = arguments.get("uri")
    return call.name, uri if call.name in resources.METHODS and isinstance(uri, str) else None, arguments


def _mismatches(expected: ast.Expected, decision: Decision) -> Iterable[str]:
    if decision.effect is not expected.effect:
        yield f"expected {expected.effect}, got {decision.effect} ({decision.reason})"
    if expected.reason_code is not None and decision.reason_code != expected.reason_code:
        yield f"expected reason_code {expected.reason_code}, got {decision.reason_code}"
    if expected.rules is not None:
        wanted, found = set(expected.rules), {ref.name for ref in decision.rules}
        if wanted - found:
            yield f"rules expected and not matched: {', '.join(sorted(wanted - found))}"
        if found - wanted:
            yield f"rules matched and not expected: {', '.join(sorted(found - wanted))}"
