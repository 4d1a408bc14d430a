"""What one decision may look at is bounded, and comparing two lists takes as many steps as they are long: counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.decision import Effect
from policylayer.policy import matchers_scalar, values
from policylayer.policy.matchers_scalar import fold, kind_of
from policylayer.policy.numbers import compare
from policylayer.policy.policy_set import PolicySet
from tests.policy.made import question
from tests.policy.parsed import HEAD, loaded

pytestmark = pytest.mark.shows("policy.5")

N = 1_000


def rules(when: str) -> PolicySet:
    """An allow of `opened` and a deny of `closed` with one condition, beside an allow of `closed`."""
    said = f"when: {{{when}}}"
    policy_set = loaded(
        f"{HEAD}rules:\n"
        f"  - {{id: a, tools: [opened], {said}, effect: allow}}\n"
        f"  - {{id: d, tools: [closed], {said}, effect: deny, reason: r}}\n"
        "  - {id: e, tools: [closed], effect: allow}\n"
    ).policy_set
    assert policy_set is not None
    return policy_set


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """What a function of `matchers_scalar` is called with from now on."""
    seen: list[Any] = []
    real = getattr(matchers_scalar, name)

    def wrapped(*args: Any) -> Any:
        seen.append(args)
        return real(*args)

    monkeypatch.setattr(matchers_scalar, name, wrapped)
    return seen


@pytest.mark.parametrize(
    "matcher", ["in: {ref: args.b}", "not_in: {ref: args.b}", "in: {ref: args.b}, ignore_case: true"]
)
def test_a_list_compared_with_another_is_read_once(monkeypatch: pytest.MonkeyPatch, matcher: str) -> None:
    policy_set = rules(f"args.a: {{every: {{{matcher}}}}}")
    keys = counted(monkeypatch, "_key")
    texts = [str(number) for number in range(N)]
    policy_set.decide(question(tool="opened", arguments={"a": texts, "b": texts}))
    assert N < len(keys) <= 2 * N


def test_so_is_what_takes_work_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    readings = values.target_readings
    monkeypatch.setattr(values, "target_readings", lambda ctx: reads.append("") or readings(ctx))
    rules("args.a: {every: {neq: {ref: target}}}").decide(question(tool="opened", arguments={"a": ["x"] * N}))
    assert len(reads) == 1
    folded = counted(monkeypatch, "fold")
    when = "args.a: {every: {neq: {ref: args.b}, ignore_case: true}}"
    rules(when).decide(question(tool="opened", arguments={"a": ["x"] * N, "b": "B" * N}))
    assert len([text for (text,) in folded if text == "B" * N]) == 1


SCALARS = st.one_of(
    st.sampled_from(["a", "A", "ä", "Ä", "1", True, False, None, 0, -0.0, 1, 1.0, 2**53, float(2**53), 2**53 + 1]),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(SCALARS, min_size=1, max_size=4), st.lists(SCALARS, max_size=6), st.booleans())
def test_membership_is_equality_with_an_element(own: list[Any], others: list[Any], folds: bool) -> None:
    case = ", ignore_case: true" if folds else ""
    policy_set = _SETS.setdefault(case, rules(f"args.a: {{every: {{in: {{ref: args.b}}{case}}}}}"))
    decision = policy_set.decide(question(tool="opened", arguments={"a": own, "b": others}))
    truths = [_is_in(value, others, folds) for value in own]
    wanted = Effect.ALLOW if all(truth is True for truth in truths) else Effect.DENY
    assert decision.effect is wanted
    if wanted is Effect.DENY:
        assert (decision.reason_code == "indeterminate") is (False not in truths)


_SETS: dict[str, PolicySet] = {}


def _is_in(value: Any, others: list[Any], folds: bool) -> bool | None:
    """One by one, as the reference says; None: an error."""
    kind = kind_of(value)
    alike = [other for other in others if kind_of(other) == kind]
    if kind is None or (others and not alike):
        return None
    if kind == "number":
        return any(compare(value, other) == 0 for other in alike)
    if kind == "string" and folds:
        return fold(value) in map(fold, alike)
    return value in alike


@pytest.mark.parametrize(
    ("when", "args"),
    [
        ("args.a: {every: {gte: 0}}", {"a": [1] * 250_001}),
        ("args.a: {every: {gte: 0, lt: 5}}", {"a": [1] * 125_001}),
        ("args.a: {every: {within: /srv}}", {"a": ["/srv/x"] * 12_501}),
        ("args.a: {every: {host: a.com}}", {"a": ["https://a.com"] * 25_001}),
        ("args.a: {every: {item.x: {gte: 0}, item.y: {gte: 0}}}", {"a": [{"x": 1, "y": 1}] * 125_001}),
        ("args.a: {every: {every: {gte: 0}}}", {"a": [[1] * 1000] * 250}),
        ("args.a: {in: {ref: args.b}}", {"a": 1, "b": [1] * 250_001}),
        ("args.a: {schema: {items: {allOf: [" + "{type: integer}, " * 99 + "]}}}", {"a": [1] * 80_000}),
        ("args.a: {every: {schema: {type: integer}}}", {"a": [1] * 12_501}),
        ("args.a: {within: /srv}", {"a": "/srv/" + "%41" * 170_000}),
        ("args.a: {url_glob: 'https://a.com/**'}", {"a": "https://a.com/" + "%41" * 170_000}),
    ],
)
def test_what_takes_too_many_steps_is_a_wrong_type(when: str, args: dict[str, Any]) -> None:
    policy_set = rules(when)
    opened = policy_set.decide(question(tool="opened", arguments=args))
    closed = policy_set.decide(question(tool="closed", arguments=args))
    assert (opened.effect, opened.reason_code) == (Effect.DENY, "indeterminate")
    assert (closed.effect, closed.reason_code) == (Effect.DENY, "indeterminate")
    assert policy_set.decide(question(tool="opened", arguments=args)) == opened


def test_what_takes_fewer_is_not() -> None:
    allowed = rules("args.a: {every: {gte: 0}}").decide(question(tool="opened", arguments={"a": [1] * 250_000}))
    assert allowed.effect is Effect.ALLOW
    listed = rules("args.a: {schema: {items: {type: integer}}}")
    allowed = listed.decide(question(tool="opened", arguments={"a": [1] * 200_000}))
    assert allowed.effect is Effect.ALLOW
    allowed = rules("args.a: {schema: {type: array}}").decide(question(tool="opened", arguments={"a": [1] * 200_000}))
    assert allowed.effect is Effect.ALLOW
