"""Rows back to questions: what was decided comes out again, and what a row does not hold is said, never made up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from policylayer.audit.legible import legible
from policylayer.audit.shown import Family, decision_json
from policylayer.core.call import Question, ServerFacts, Subject
from policylayer.core.commands import Kind
from policylayer.core.decision import Charge, Decision, Effect, ReasonCode
from policylayer.core.redact import Mode
from policylayer.policy.decide import effect_of, over_limit
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import Kept, Recorded, kept, recorded
from tests.policy.cases import compiled, question_of
from tests.policy.made import ALLOW, DENY, HOLD, path, policy, policy_set, question, rule
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets
from tests.support.kept import decided, kept_of, row_of

TOOLS_OWN = (("risk",), ("traits",))


def asked_again(made: PolicySet, question: Question, mode: Mode) -> Recorded:
    """The question, recorded and read back, where the server is as it was."""
    return recorded(decided(made, question, mode), lambda _: question.server, made.reads)


def random_questions(seed: str, number: int) -> list[tuple[PolicySet, Question]]:
    """Questions of every kind, but for what no row holds of a tool."""
    random = Random(seed)
    calls = Calls(random)
    made = compiled({name: json.dumps(said) for name, said in Sets(random).files().items()})
    holds = [rule.ref.name for rule in made.compiled if rule.effect is Effect.REQUIRE_APPROVAL]
    questions = [question_of(calls.question(holds)) for _ in range(number)]
    return [(made, replace(each, risk=None, traits=None)) for each in questions]


@pytest.mark.parametrize("seed", range(40))
def test_a_whole_record_is_decided_as_it_was(seed: int) -> None:
    for made, asked in random_questions(f"whole {seed}", 25):
        found = asked_again(made, asked, "full")
        unknown = replace(found.unknown, paths=tuple(p for p in found.unknown.paths if p not in TOOLS_OWN))
        assert found.effect in (made.decide(asked).effect, None)
        effects = made.outlook(found.question, unknown).effects
        if asked.server.trust_annotations and asked.annotations is None:
            assert made.decide(asked).effect in effects  # that the tool was not known then is not kept
        else:
            assert effects == {made.decide(asked).effect}


@pytest.mark.parametrize("mode", ["none", "digest", "read", "redacted"])
@pytest.mark.parametrize("seed", range(12))
def test_a_record_that_keeps_less_leaves_no_effect_out(mode: Mode, seed: int) -> None:
    for made, asked in random_questions(f"{mode} {seed}", 25):
        found = asked_again(made, asked, mode)
        assert made.decide(asked).effect in made.outlook(found.question, found.unknown).effects


@pytest.mark.parametrize("seed", range(12))
def test_what_rules_read_is_enough_for_the_set_that_read_it(seed: int) -> None:
    for made, asked in random_questions(f"read {seed}", 25):
        full, read = asked_again(made, asked, "full"), asked_again(made, asked, "read")
        effects = made.outlook(full.question, full.unknown).effects
        assert effects <= made.outlook(read.question, read.unknown).effects


@pytest.mark.parametrize("seed", range(30))
def test_the_effect_alone_is_that_of_deciding(seed: int) -> None:
    for made, asked in random_questions(f"effect {seed}", 40):
        assert effect_of(*made.asked(asked)) is made.decide(asked).effect


def test_as_shown_and_as_stored_are_one_row() -> None:
    asked = question(
        arguments={"amount": 5, "password": "x"},
        approved=frozenset({"p/h"}),
        labels=frozenset({"untrusted"}),
        ip="10.0.0.1",
        client="c",
        on_behalf_of=Subject("user:x"),
    )
    row = row_of(asked, policy_set(policy(rule("a", ALLOW, {"tools": ["t"], "on_behalf_of": ["*"]}))).decide(asked))
    whole = legible((*row, "c", 1, "k", b""))
    facts = {"s": ServerFacts("s")}.get
    shown = recorded(kept(decision_json(whole, Family())), facts, lambda *_: ())
    assert shown == recorded(kept_of(row), facts, lambda *_: ())
    assert shown.question.call.arguments["amount"] == 5
    assert shown.unknown.paths == (path("args.password"), *TOOLS_OWN)


# --- what decided besides the call ------------------------------------------------------------------------------------


def test_satisfied_holds_are_those_of_the_row_and_no_others() -> None:
    held = policy_set(policy(rule("h", HOLD, {"tools": ["t"]}), rule("a", ALLOW, {"tools": ["t"]})))
    released = decided(held, question(approved=frozenset({"p/h"})))
    assert recorded(released, lambda _: None, held.reads).question.approved == {"p/h"}
    # The same name is a hold now, and was an allow then: nobody approved it.
    before = policy_set(policy(rule("h", ALLOW, {"tools": ["t"]})))
    found = recorded(decided(before, question()), lambda _: None, held.reads)
    assert found.question.approved == frozenset()
    assert held.outlook(found.question, found.unknown).effects == {HOLD}


def test_what_a_credential_adds_is_kept() -> None:
    actor = Subject("agent:a", frozenset({"group:okta/x"}), {"tenant": "acme"})
    user = Subject("user:x", frozenset({"group:okta/y"}))
    asked = question(subject=actor, on_behalf_of=user)
    found = recorded(decided(policy_set(policy()), asked), lambda _: None, lambda *_: ())
    assert found.question.subject == actor
    assert found.question.on_behalf_of == replace(user, attributes={})


def test_hints_are_kept_where_they_were_believed() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"annotations": {"readOnlyHint": True}})))
    hints: dict[str, Any] = {"readOnlyHint": True, "title": "a title"}
    trusted, distrusted = ServerFacts("s", trust_annotations=True), ServerFacts("s")

    def effects(then: ServerFacts, now: ServerFacts | None) -> frozenset[Effect]:
        row = decided(made, question(server=then, annotations=hints))
        found = recorded(row, lambda _: now, made.reads)
        return made.outlook(found.question, found.unknown).effects

    assert effects(trusted, trusted) == {ALLOW}
    assert effects(distrusted, distrusted) == {DENY}  # it is not believed, whatever it was
    assert effects(distrusted, trusted) == {ALLOW, DENY}  # nobody kept it
    assert effects(trusted, None) == {ALLOW, DENY}


# --- what a row is no question of -------------------------------------------------------------------------------------


def row(effect: Effect, code: ReasonCode, reason: str = "", **more: Any) -> Kept:
    decision = Decision(effect, code, more.pop("enforced", effect), "r1", reason=reason, rules=more.pop("rules", ()))
    asked = question()
    call = replace(asked.call, method=more.pop("method", "tools/call"))
    return kept_of(row_of(replace(asked, call=call), decision, **more))


REFS = policy_set(policy(rule("a", ALLOW, {"tools": ["t"]}))).rules


@pytest.mark.parametrize(
    ("made", "effect", "why"),
    [
        (row(ALLOW, ReasonCode.RULE, rules=REFS), ALLOW, ""),
        (row(DENY, ReasonCode.NOT_APPLICABLE), DENY, ""),
        (row(DENY, ReasonCode.INDETERMINATE), DENY, ""),
        (row(HOLD, ReasonCode.PENDING, "rule p/h", enforced=DENY), HOLD, ""),
        (row(HOLD, ReasonCode.APPROVAL_DENIED, "rule p/h", enforced=DENY), HOLD, ""),
        (row(ALLOW, ReasonCode.RULE, "filtered"), None, "not decided by policy: passed or filtered"),
        (row(DENY, ReasonCode.FROZEN), None, "not decided by policy: frozen"),
        (row(DENY, ReasonCode.ENGINE_ERROR), None, "not decided by policy: engine_error"),
        (row(ALLOW, ReasonCode.RULE, rules=REFS, method="tasks/get"), None, "judged as the calls it stands for"),
    ],
)
def test_which_rows_policy_decided(made: Kept, effect: Effect | None, why: str) -> None:
    found = recorded(made, lambda _: None, lambda *_: ())
    assert (found.effect, found.why) == (effect, why)


def test_what_a_limit_made_of_a_call_is_not_what_policy_said() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"]})))
    charge = Charge("p/a#1", "[]", Decimal(1), Decimal(1), 60, made.rules[0])
    denied = over_limit(made.decide(question()), [charge], frozenset(), 5)
    assert recorded(kept_of(row_of(question(), denied)), lambda _: None, made.reads).effect is ALLOW
    ended = replace(denied, effect=HOLD, enforced=DENY, reason_code=ReasonCode.APPROVAL_EXPIRED)
    assert recorded(kept_of(row_of(question(), ended)), lambda _: None, made.reads).effect is ALLOW


def test_responses_are_known_to_be_none_where_the_row_would_hold_them() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"], "when": {"input.q": {"exists": False}}})))
    for kind in (Kind.DECISION, Kind.ROUND, Kind.RELEASE):
        found = recorded(kept_of(row_of(question(), made.decide(question()), kind=kind)), lambda _: None, made.reads)
        assert made.outlook(found.question, found.unknown).effects == {ALLOW}
    bare = recorded(kept_of(row_of(question(), made.decide(question()), mode="digest")), lambda _: None, made.reads)
    assert made.outlook(bare.question, bare.unknown).effects == {ALLOW, DENY}


def test_a_text_that_the_database_changed_is_not_what_it_was() -> None:
    asked = question("a\x00b", client="c\x00", arguments={"x": "y\x00"})
    found = recorded(decided(policy_set(policy()), asked, "full"), lambda _: None, lambda *_: ())
    assert found.unknown.paths[:2] == (path("target"), path("request.client"))
    assert found.question.call.arguments == {"x": "y\x00"}


def test_time_is_exact_to_the_microsecond() -> None:
    at = question().now + timedelta(microseconds=123_457)
    assert recorded(decided(policy_set(policy()), question(now=at)), lambda _: None, lambda *_: ()).question.now == at


def test_nothing_is_known_where_more_places_are_masked_than_are_named() -> None:
    many = {f"password{n}": "x" for n in range(120)}
    found = recorded(decided(policy_set(policy()), question(arguments=many)), lambda _: None, lambda *_: ())
    assert ("args",) in found.unknown.paths
