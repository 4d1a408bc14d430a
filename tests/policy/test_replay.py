"""Rows asked again: as deciding would, at whatever moment policy was asked; by names alone where those are enough."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from policylayer.core.call import Question, ServerFacts, Subject, Unwrap
from policylayer.core.decision import Effect, RuleRef
from policylayer.core.finding import Finding
from policylayer.core.redact import Mode
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import Kept, Recorded, recorded
from policylayer.policy.replay import Answer, Replay
from tests.policy.cases import compiled, question_of
from tests.policy.made import ALLOW, DENY, HOLD, policy, policy_set, question, rule
from tests.reference.pools import TOOLS
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets
from tests.support.kept import decided, kept_of, row_of

FACTS = {"s": ServerFacts("s")}.get


def asked(made: PolicySet, row: Kept) -> Recorded:
    return recorded(row, FACTS, made.reads)


def effect(found: Effect | Answer) -> Effect | None:
    return found.effect if isinstance(found, Answer) else found


# --- as deciding would ------------------------------------------------------------------------------------------------


def test_answers_are_those_of_outlooks() -> None:
    """What is plain is decided, what is not is worked out; by names only, the same comes out."""
    by_names = sum(answered(Random(f"replay {seed}")) for seed in range(60))
    assert by_names > 50


def answered(random: Random) -> int:
    """Some rows of one random set; how many were answered by their names."""
    calls = Calls(random)
    made = compiled({name: json.dumps(said) for name, said in Sets(random).files().items()})
    replay = Replay(made)
    by_names = 0
    for _ in range(40):
        said = replace(question_of(calls.question([])), risk=None, traits=None, annotations=None)
        row = decided(made, said, random.choice(("full", "redacted", "digest", "read")))
        facts = {said.server.name: said.server}.get
        found = recorded(row, facts, made.reads)
        whole = made.outlook(found.question, found.unknown).effects
        answer = effect(replay.ask(found))
        assert answer is None or whole == {answer}
        assert effect(replay.answer(found)) is answer
        plain = replay.by_names(row, facts)
        assert plain is None or {plain} == whole == {made.decide(said).effect}
        by_names += plain is not None
    return by_names


def test_by_names_where_rules_look_at_nothing_else() -> None:
    made = policy_set(
        policy(
            rule("a", ALLOW, {"tools": ["t", "u"]}),
            rule("d", DENY, {"tools": ["u"], "when": {"args.x": 1}}),
            rule("i", DENY, {"tools": ["v"], "when": {"principal.id": "agent:z"}}),
        )
    )
    replay = Replay(made)

    def told(tool: str, **more: object) -> Effect | None:
        return replay.by_names(decided(made, question(tool, **more)), FACTS)

    assert (told("t"), told("v"), told("w")) == (ALLOW, DENY, DENY)
    assert told("u") is None
    assert told("t", approved=frozenset({"p/a"})) is None  # the row says more than names
    assert told("t", subject=Subject("agent:a", frozenset({"group:x"}))) is None
    assert told("t" * 500) is None
    assert replay.by_names(decided(made, question("t")), lambda _: None) is None


# --- calls inside a call ----------------------------------------------------------------------------------------------

HUB = ServerFacts("s", unwrap=(Unwrap("call", ("args", "tool"), ("args", "with")),))
INNER = policy_set(
    policy(
        rule("call", ALLOW, {"tools": ["call"]}),
        rule("small", ALLOW, {"tools": ["pay"], "when": {"args.n": {"lte": 5}}}),
        rule("large", HOLD, {"tools": ["pay"], "when": {"args.n": {"gt": 5}}}),
        rule("never", DENY, {"tools": ["drop"]}),
    )
)


def inner(tool: str, **arguments: object) -> Question:
    return question("call", {"tool": tool, "with": arguments}, server=HUB)


@pytest.mark.parametrize(
    ("said", "told", "rules"),
    [
        (inner("pay", n=1), ALLOW, ["call", "small"]),
        (inner("pay", n=9), HOLD, ["large"]),
        (inner("drop"), DENY, ["never"]),
        (inner("other"), DENY, []),
        (question("call", {"tool": 5}, server=HUB), DENY, []),
        (question("pay", {"n": 9}, server=HUB), HOLD, ["large"]),
    ],
)
def test_a_request_is_as_good_as_the_worst_call_in_it(said: Question, told: Effect, rules: list[str]) -> None:
    assert INNER.decide(said).effect is told
    row = decided(INNER, said, "full")
    found = recorded(row, lambda _: HUB, INNER.reads)
    assert Replay(INNER).by_names(row, lambda _: HUB) is None
    assert effect(Replay(INNER).ask(found)) is told
    answer = Replay(INNER).answer(found)
    assert (answer.effect, [ref.rule for ref in answer.rules]) == (told, rules)


def test_fields_of_a_call_inside_are_named_where_they_stand() -> None:
    found = recorded(decided(INNER, inner("pay", n=9)), lambda _: HUB, INNER.reads)
    hidden = replace(found.unknown, paths=(*found.unknown.paths, ("args", "with", "n")))
    assert Replay(INNER).ask(found._replace(unknown=hidden)) == Answer(None, (), ("args.with.n",))
    told = Replay(INNER).ask(recorded(decided(INNER, inner("pay", n=9), "digest"), lambda _: HUB, INNER.reads))
    assert told == Answer(None, (), ("args.tool", "args.with"))


@pytest.mark.parametrize("mode", ["full", "redacted", "read", "digest"])
@pytest.mark.parametrize("seed", range(10))
def test_calls_inside_are_answered_as_they_were_decided(mode: Mode, seed: int) -> None:
    random = Random(f"inside {seed}")
    calls = Calls(random)
    made = compiled({name: json.dumps(said) for name, said in Sets(random).files().items()})
    metas = (Unwrap("t", ("args", "m_tool"), ("args", "m_args")),)
    for _ in range(25):
        arguments = {"m_tool": random.choice(TOOLS[:3]), "m_args": calls.arguments()}
        said = question_of({**calls.question([]), "tool": "t", "args": arguments})
        if said.call.target != "t":
            continue
        said = replace(said, server=replace(said.server, unwrap=metas), risk=None, traits=None, annotations=None)
        found = recorded(decided(made, said, mode), lambda _, facts=said.server: facts, made.reads)
        answer = effect(Replay(made).ask(found))
        assert answer in (None, made.decide(said).effect)


# --- when it was ------------------------------------------------------------------------------------------------------

TIMED = """\
policy: t
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: day, tools: [day], when: {time: {during: {between: ["09:00", "17:00"], zone: UTC}}}, effect: allow}
  - id: gap
    tools: [gap]
    when: {time: {after: "2026-11-23T12:00:02Z"}, all: [{time: {before: "2026-11-23T12:00:04Z"}}]}
    effect: allow
  - {id: member, tools: [member], principals: ["group:guests"], effect: allow}
  - {id: always, tools: [always], effect: allow}
"""
GUESTS = 'principals: {"agent:a": {}}\ngroups: {guests: [{member: "agent:a", until: "2026-11-23T12:00:03Z"}]}\n'
BEGIN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def timed() -> PolicySet:
    return compiled({"t.yaml": TIMED, "principals.yaml": GUESTS})


def late(said: Question, made: PolicySet, seconds: float) -> Recorded:
    """A row that was written so much later than policy was asked."""
    row = row_of(said, made.decide(said))
    return asked(made, kept_of(row._replace(time_us=row.time_us + int(seconds * 1e6))))


@pytest.mark.parametrize("tool", ["day", "gap", "member", "always"])
@pytest.mark.parametrize("seed", range(20))
def test_a_row_is_a_little_later_than_its_decision(tool: str, seed: int) -> None:
    random = Random(f"{tool} {seed}")
    made = timed()
    replay = Replay(made)
    for _ in range(40):
        at = BEGIN + timedelta(seconds=random.choice((0, -3 * 3600, 5 * 3600)) + random.uniform(-15, 15))
        said = question(tool, now=at)
        found = effect(replay.ask(late(said, made, random.choice((0, 0.001, 1, 9.9)))))
        assert found in (None, made.decide(said).effect)


def test_what_turned_meanwhile_is_not_told_and_time_is_named() -> None:
    made = timed()
    replay = Replay(made)
    nine = datetime(2026, 11, 23, 9, 0, 1, tzinfo=UTC)
    assert replay.ask(asked(made, decided(made, question("day", now=nine)))) == Answer(None, (), ("time",))
    far = nine + timedelta(seconds=30)
    assert replay.ask(asked(made, decided(made, question("day", now=far)))) is ALLOW
    between = decided(made, question("gap", now=BEGIN + timedelta(seconds=6)))
    assert replay.ask(asked(made, between)) == Answer(None, (), ("time",))
    member = decided(made, question("member", now=BEGIN + timedelta(seconds=6)))
    assert effect(replay.ask(asked(made, member))) is None
    assert replay.by_names(member, FACTS) is None
    assert replay.by_names(decided(made, question("always", subject=Subject("agent:b"))), FACTS) is ALLOW


def test_deciding_may_have_taken_long() -> None:
    made = timed()
    row = decided(made, question("gap", now=BEGIN + timedelta(seconds=40)))
    assert Replay(made).ask(asked(made, row)) is DENY
    slow = asked(made, row._replace(decide_us=60_000_000))
    assert effect(Replay(made).ask(slow)) is None


# --- what cannot be told ----------------------------------------------------------------------------------------------


def test_fields_that_would_decide_are_named() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"], "when": {"args.x": {"gt": 5}, "args.y": 1}})))
    found = Replay(made).answer(asked(made, decided(made, question(arguments={"x": 9, "y": 1}), "digest")))
    assert found == Answer(None, (), ("args.x", "args.y"))


def test_a_name_that_the_database_changed_finds_no_rules() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["*"]})))
    row = decided(made, question("a\x00b"))
    assert Replay(made).ask(asked(made, row)) == Answer(None, (), ("target",))
    assert Replay(made).answer(asked(made, row)) == Answer(None, (), ("target",))
    assert Replay(made).by_names(row, FACTS) is None


def test_rules_are_those_that_surely_decide() -> None:
    made = policy_set(
        policy(
            rule("a", ALLOW, {"tools": ["t"]}),
            rule("b", ALLOW, {"tools": ["t"], "when": {"args.x": 1}}),
            rule("h", HOLD, {"tools": ["t"], "when": {"args.x": {"gt": 5, "absent": "no_match"}}}),
            rule("l", None, {"tools": ["t"]}, label=("seen",)),
        )
    )

    def names(**arguments: object) -> tuple[Effect | None, list[str]]:
        found = Replay(made).answer(asked(made, decided(made, question(arguments=arguments))))
        return found.effect, [ref.rule for ref in found.rules]

    assert names() == (ALLOW, ["a"])
    assert names(x=1) == (ALLOW, ["a", "b"])
    assert names(x=9) == (HOLD, ["h"])


def test_findings_of_another_engine_count() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"]})))
    row = asked(made, decided(made, question()))
    denies = (Finding(RuleRef("rego", "r", "a.rego", 3), DENY),)
    assert Replay(made).ask(row) is ALLOW
    denied = row._replace(question=replace(row.question, findings=denies))
    assert Replay(made).ask(denied) is DENY
    assert Replay(made).answer(denied).rules == (denies[0].rule,)
    unasked = row._replace(unknown=replace(row.unknown, engine=True))
    assert Replay(made).ask(unasked) == Answer(None, (), ("rego",))
    assert not Replay(made).is_denied(row)
    assert Replay(made).is_denied(asked(made, decided(made, question("u")))) is False
    shut = policy_set(policy(rule("d", DENY, {"tools": ["t"]})))
    assert Replay(shut).is_denied(row)
