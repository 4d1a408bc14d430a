"""Meta-tools as policy judges them: never through what the call itself, or one inside it, would be denied."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from policylayer.core.call import Question, ServerFacts, Unwrap
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.core.finding import Finding
from policylayer.core.unwrap import DEEPEST
from policylayer.policy.inside import asked as asked_inside
from policylayer.policy.inside import questions
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.texts import render
from policylayer.policy.together import BADNESS
from policylayer.rego.asking import with_findings
from tests.policy.cases import compiled, question_of
from tests.policy.made import question
from tests.policy.test_foreign import REF, finding
from tests.reference.pools import TOOLS
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets

ALLOW, DENY, HOLD = Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL
ONE = Unwrap("call", ("args", "tool"), ("args", "with"))
TEXT = Unwrap("text", ("args", "tool"), ("args", "with"), as_json=True)
BATCH = Unwrap("batch", ("item", "tool"), ("item", "with"), ("args", "calls"))
METAS = (ONE, TEXT, BATCH)
HUB = ServerFacts("s", unwrap=METAS)

POLICY = """
policy: hub
applies_to: {principals: ["*"], servers: ["*"]}
limits:
  spend: {sum: args.amount, max: 100, per: day}
rules:
  - {id: metas, tools: [call, text, batch], effect: allow, label: [outer]}
  - id: small
    tools: [refund]
    when: {args.amount: {lte: 50}}
    effect: allow
    limits: [spend]
    redact: [args.card.**, 'args."a b"', input.x]
    mask: [{pattern: email}]
    cap: 64KiB
    label: [untrusted]
    instead: Refund 50 or less.
  - {id: large, tools: [refund], when: {args.amount: {gt: 50}}, effect: require_approval, limits: [spend], reason: Ask.}
  - {id: no-delete, tools: ["delete_*"], effect: deny, reason: Never.}
  - {id: no-night, tools: ["*"], when: {time: {during: {between: ["00:00", "05:00"], zone: UTC}}}, effect: deny}
  - {id: hints, tools: [hinted], annotations: {readOnlyHint: true}, effect: allow}
  - {id: every, tools: ["*"], limits: [30/hour]}
redact: [args.token]
"""


@pytest.fixture(scope="module")
def hub() -> PolicySet:
    return compiled({"p.yaml": POLICY})


def about(called: str, /, **arguments: Any) -> Question:
    return question(called, arguments, server=HUB)


def call(tool: str, /, **arguments: Any) -> Question:
    return about("call", tool=tool, **{"with": arguments})


def batch(*calls: tuple[str, dict[str, Any]]) -> Question:
    return about("batch", calls=[{"tool": tool, "with": arguments} for tool, arguments in calls])


def names(decision: Decision) -> list[str]:
    return sorted(ref.rule for ref in decision.rules)


# --- the worst of all -------------------------------------------------------------------------------------------------


def test_both_must_be_allowed(hub: PolicySet) -> None:
    allowed = hub.decide(call("refund", amount=5))
    assert (allowed.effect, allowed.reason_code, names(allowed)) == (ALLOW, "rule", ["every", "metas", "small"])
    (inner,) = allowed.inner
    assert (inner.target, inner.effect, [ref.rule for ref in inner.rules]) == (
        "refund",
        ALLOW,
        ["small", "every"][::-1],
    )


def test_what_the_inner_call_is_denied_the_whole_is(hub: PolicySet) -> None:
    denied = hub.decide(call("delete_all"))
    assert (denied.effect, denied.reason_code, names(denied)) == (DENY, "rule", ["no-delete"])
    assert denied.reason == "inner call delete_all: rule hub/no-delete: Never."
    assert render(denied, call("delete_all").call, "id").split("\n") == [
        "Refused: call on s.",
        "Inner call delete_all: Rule hub/no-delete: Never.",
        "Retry: no, the answer will be the same.",
        "Decision: id",
    ]
    nothing = hub.decide(call("unknown"))
    assert (nothing.effect, nothing.reason_code) == (DENY, "not_applicable")


def test_the_inner_calls_advice_reaches_the_agent(hub: PolicySet) -> None:
    denied = hub.decide(call("refund", amount="5"))
    assert denied.reason_code == "indeterminate"
    assert denied.said == ("Inner call refund: Rule hub/large: these arguments cannot be checked (args.amount).",)
    assert denied.retry == "changed"


def test_what_the_outer_call_is_denied_the_whole_is() -> None:
    made = compiled({"p.yaml": POLICY.replace("tools: [call, text, batch]", "tools: [text, batch]")})
    denied = made.decide(call("refund", amount=5))
    assert (denied.effect, denied.reason_code, denied.reason) == (DENY, "not_applicable", "no rule allows the call")
    assert [inner.effect for inner in denied.inner] == [ALLOW]


def test_a_hold_of_either_holds_the_whole(hub: PolicySet) -> None:
    held = hub.decide(call("refund", amount=80))
    assert (held.effect, names(held), [hold.ref.rule for hold in held.holds]) == (HOLD, ["large"], ["large"])
    assert held.holds[0].bound == ("tool",)
    released = hub.decide(replace(call("refund", amount=80), approved=frozenset({"hub/large"})))
    assert (released.effect, names(released)) == (ALLOW, ["every", "large", "metas"])


def test_one_denial_in_a_batch_is_enough(hub: PolicySet) -> None:
    good, large, bad = ("refund", {"amount": 5}), ("refund", {"amount": 80}), ("delete_x", {})
    assert hub.decide(batch(good, good)).effect is ALLOW
    assert hub.decide(batch(good, large, good)).effect is HOLD
    assert hub.decide(batch(good, large, bad)).effect is DENY
    assert [each.effect for each in hub.decide(batch(good, large, bad)).inner] == [ALLOW, HOLD, DENY]
    assert hub.decide(batch(good, large)).holds[0].bound == ("calls",)


def test_calls_within_calls_are_judged_to_the_innermost(hub: PolicySet) -> None:
    inner: dict[str, Any] = {"tool": "delete_x", "with": {}}
    for _ in range(DEEPEST - 1):
        inner = {"tool": "call", "with": inner}
    denied = hub.decide(about("call", **inner))
    assert (denied.reason_code, names(denied)) == ("rule", ["no-delete"])
    deeper = hub.decide(about("call", tool="call", **{"with": inner}))
    assert (deeper.effect, deeper.reason_code) == (DENY, "indeterminate")
    assert deeper.reason == "what call is to call cannot be read: too many calls within calls"


def test_an_outer_rule_that_reads_the_whole_still_counts(hub: PolicySet) -> None:
    made = compiled({"p.yaml": POLICY, "q.yaml": POLICY_OF_ARGUMENTS})
    assert made.decide(call("refund", amount=5)).effect is ALLOW
    assert names(made.decide(call("refund", amount=13))) == ["unlucky"]


POLICY_OF_ARGUMENTS = """
policy: outer
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: unlucky, tools: [call], when: {args.with.amount: 13}, effect: deny, reason: No.}
"""


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        (about("call"), ("args.tool",)),
        (about("call", tool=5, **{"with": {}}), ("args.tool",)),
        (about("call", tool=" x"), ("args.tool",)),
        (about("call", tool="refund", **{"with": "{}"}), ("args.with",)),
        (about("call", tool="refund", Tool="delete_x", **{"with": {"amount": 5}}), ("args.tool",)),
        (about("text", tool="refund", **{"with": {"amount": 5}}), ("args.with",)),
        (about("text", tool="refund", **{"with": '{"amount": 5, "amount": 500}'}), ("args.with",)),
        (about("batch", calls=[]), ("args.calls",)),
        (about("batch", calls=[{"tool": "refund", "with": {"amount": 5}}, {}]), ("args.calls[].tool",)),
        (about("call", tool="call", **{"with": {"tool": 7}}), ("args.with.tool",)),
    ],
)
def test_what_cannot_be_unwrapped_is_denied_and_says_which_fields(
    hub: PolicySet, asked: Question, fields: tuple[str, ...]
) -> None:
    denied = hub.decide(asked)
    assert (denied.effect, denied.enforced, denied.reason_code) == (DENY, DENY, ReasonCode.INDETERMINATE)
    assert denied.fields == fields
    assert denied.retry == "changed"
    assert f"({fields[0]})" in render(denied, asked.call, "id")
    assert denied.holds == denied.charges == ()
    observed = hub.decide(replace(asked, server=replace(HUB, mode="observe")))
    assert (observed.effect, observed.enforced) == (DENY, ALLOW)


def test_what_was_not_read_is_not_kept(hub: PolicySet) -> None:
    assert hub.decide(about("call", tool="refund", **{"with": 5})).obligations.redact == ("args.token", "args.with")
    assert "args.calls" in hub.decide(about("batch", calls="x")).obligations.redact
    flat = ServerFacts("s", unwrap=(Unwrap("flat", ("args", "tool"), ("args",)),))
    denied = hub.decide(question("flat", {"tool": 5}, server=flat))
    assert set(denied.obligations.redact) >= {"args.tool"}


def test_a_plain_denial_is_told_before_what_cannot_be_read(hub: PolicySet) -> None:
    denied = hub.decide(about("batch", calls=[{"tool": "delete_x"}, {"tool": 5}]))
    assert (denied.reason_code, names(denied)) == ("rule", ["no-delete"])


# --- limits and obligations -------------------------------------------------------------------------------------------


def charges(decision: Decision) -> dict[str, Decimal]:
    return {charge.counter: charge.amount for charge in decision.charges}


def test_a_call_and_the_one_inside_it_charge_a_counter_once(hub: PolicySet) -> None:
    assert charges(hub.decide(call("refund", amount=5))) == {"hub/spend": 5, "hub/every#1": 1}
    nested = about("call", tool="call", **{"with": {"tool": "refund", "with": {"amount": 5}}})
    assert charges(hub.decide(nested)) == {"hub/spend": 5, "hub/every#1": 1}


def test_several_calls_inside_one_add_up(hub: PolicySet) -> None:
    found = charges(hub.decide(batch(*[("refund", {"amount": 0.1})] * 3)))
    assert found == {"hub/spend": Decimal("0.3"), "hub/every#1": 3}
    held = hub.decide(batch(("refund", {"amount": 60}), ("refund", {"amount": 30})))
    assert charges(held) == {"hub/spend": 90, "hub/every#1": 2}
    both = {charge.rule.rule for charge in held.charges if charge.counter == "hub/spend"}
    assert both == {"small", "large"}
    assert all(charge.amount == 90 for charge in held.charges if charge.counter == "hub/spend")


def test_a_limit_that_cannot_be_counted_denies(hub: PolicySet) -> None:
    uncounted = compiled({"p.yaml": POLICY.replace("when: {args.amount: {lte: 50}}", "when: {args.note: x}")})
    denied = uncounted.decide(call("refund", note="x", amount=-1))
    assert (denied.effect, denied.reason_code) == (DENY, "indeterminate")


def test_obligations_of_both_apply_in_their_places(hub: PolicySet) -> None:
    obligations = hub.decide(call("refund", amount=5)).obligations
    assert obligations.label == {"outer", "untrusted"}
    assert obligations.cap == 64 * 1024
    assert [mask.pattern for mask in obligations.mask] == ["email"]
    assert obligations.redact == (
        "args.token",
        'args.with."a b"',
        "args.with.card.**",
        "args.with.token",
        "input.x",
    )
    many = hub.decide(batch(("refund", {"amount": 5}))).obligations
    assert "args.calls.0.with.card.**" in many.redact


def test_a_denied_call_is_still_redacted(hub: PolicySet) -> None:
    obligations = hub.decide(batch(("refund", {"amount": 5}), ("delete_x", {}))).obligations
    assert "args.calls.0.with.card.**" in obligations.redact
    assert (obligations.label, obligations.cap) == (frozenset(), None)


def test_hints_of_an_inner_tool_are_those_of_its_own(hub: PolicySet) -> None:
    asked = replace(call("hinted"), server=replace(HUB, trust_annotations=True), annotations={"readOnlyHint": True})
    assert hub.decide(asked).effect is DENY
    known = replace(asked, others={"hinted": {"readOnlyHint": True}})
    assert hub.decide(known).effect is ALLOW
    assert hub.decide(replace(known, others={"hinted": {"readOnlyHint": False}})).effect is DENY


def test_a_server_in_observe_mode_lets_all_pass_and_says_what_it_would_have_been(hub: PolicySet) -> None:
    observed = hub.decide(replace(call("delete_x"), server=replace(HUB, mode="observe")))
    assert (observed.effect, observed.enforced, names(observed)) == (DENY, ALLOW, ["no-delete"])
    assert observed.charges == ()


def test_files_in_observe_mode_are_told_of_inner_calls_too() -> None:
    watching = (
        "policy: w\napplies_to: {principals: ['*'], servers: ['*']}\nmode: observe\n"
        "rules: [{id: nope, tools: [refund], effect: deny, reason: No.}]\n"
    )
    made = compiled({"p.yaml": POLICY, "w.yaml": watching})
    decision = made.decide(call("refund", amount=5))
    assert (decision.effect, decision.would, [ref.rule for ref in decision.observed]) == (ALLOW, DENY, ["nope"])


# --- another engine ---------------------------------------------------------------------------------------------------


def test_another_engine_is_asked_about_each_call(hub: PolicySet) -> None:
    asked: list[str | None] = []

    async def engine(question: Question) -> tuple[Finding, ...]:
        asked.append(question.call.target)
        return (finding(DENY),) if question.call.target == "refund" else ()

    whole = asyncio.run(with_findings(call("refund", amount=5), engine))
    assert asked == ["call", "refund"]
    denied = hub.decide(whole)
    assert (denied.effect, denied.rules) == (DENY, (REF,))
    asked.clear()
    assert hub.decide(asyncio.run(with_findings(question("refund", {"amount": 5}), engine))).effect is DENY
    assert asked == ["refund"]


def test_an_inner_call_that_another_engine_was_not_asked_about_is_denied(hub: PolicySet) -> None:
    forgotten = hub.decide(replace(call("refund", amount=5), findings=()))
    assert (forgotten.effect, forgotten.reason_code) == (DENY, ReasonCode.ENGINE_ERROR)


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_meta_tool_is_listed_as_itself(hub: PolicySet) -> None:
    assert hub.listed(about("call"))
    assert not hub.listed(about("unknown"))


# --- properties -------------------------------------------------------------------------------------------------------

TOOL_METAS = (
    Unwrap("t", ("args", "m_tool"), ("args", "m_args")),
    Unwrap("get_x", ("item", "m"), ("item", "a"), ("args", "l")),
)


def wrapped(random: Random, one: dict[str, Any]) -> dict[str, Any]:
    """A question about a meta-tool's call that holds another question's call, and its own arguments."""
    inner = {"m_tool": one["tool"], "m_args": one["args"]}
    if random.random() < 0.5:
        return {"tool": "t", "args": inner}
    return {"tool": "get_x", "args": {"l": [{"m": one["tool"], "a": one["args"]}]}}


@pytest.mark.shows("policy.1")
@pytest.mark.parametrize("seed", range(40))
def test_nothing_passes_that_either_judgement_would_stop(seed: int) -> None:
    """The whole is exactly the worst of the call as what it is, and the call inside as a call of its own."""
    random = Random(f"inside {seed}")
    sets, calls = Sets(random), Calls(random)
    made = compiled({name: json.dumps(said) for name, said in sets.files().items()})
    for _ in range(25):
        asked = calls.question([])
        if "tool" not in asked:
            continue
        inner = question_of(asked)
        facts = replace(inner.server, unwrap=TOOL_METAS)
        outer_said = asked | wrapped(random, asked)
        outer = question_of(outer_said)
        own = made.decide(outer).effect
        alone = made.decide(replace(inner, risk=None, traits=None, annotations=None))
        whole = made.decide(replace(outer, server=facts))
        if inner.call.target in ("t", "get_x"):
            # The inner call is a meta-tool's itself, and holds what nobody can read.
            assert whole.effect is DENY
            continue
        assert whole.effect is max(own, alone.effect, key=BADNESS.__getitem__)
        assert BADNESS[whole.enforced] >= BADNESS[alone.enforced]
        assert {ref.name for ref in alone.rules} <= {
            ref.name for ref in whole.rules
        } or whole.effect is not alone.effect
        assert [each.target for each in whole.inner] == [inner.call.target]
        if whole.effect is not DENY:
            assert {charge.counter for charge in alone.charges} <= {charge.counter for charge in whole.charges}


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_is_as_good_as_its_worst_call_whatever_the_order(seed: int) -> None:
    random = Random(f"batches {seed}")
    sets, calls = Sets(random), Calls(random)
    made = compiled({name: json.dumps(said) for name, said in sets.files().items()})
    meta = (Unwrap("t", ("item", "m"), ("item", "a"), ("args", "l")),)
    for _ in range(15):
        inner = [(random.choice(TOOLS[:3]), calls.arguments()) for _ in range(random.randint(1, 4))]
        base = question_of({"tool": "t", "args": {"l": [{"m": tool, "a": args} for tool, args in inner]}})
        whole = made.decide(replace(base, server=replace(base.server, unwrap=meta)))
        each = [made.decide(question_of({"tool": tool, "args": args})).effect for tool, args in inner]
        assert whole.effect is max([made.decide(base).effect, *each], key=BADNESS.__getitem__)
        random.shuffle(inner)
        other = question_of({"tool": "t", "args": {"l": [{"m": tool, "a": args} for tool, args in inner]}})
        again = made.decide(replace(other, server=replace(base.server, unwrap=meta)))
        assert (again.effect, set(again.rules)) == (whole.effect, set(whole.rules))
        assert {(c.counter, c.key): c.amount for c in again.charges} == {
            (c.counter, c.key): c.amount for c in whole.charges
        }


def test_an_ordinary_call_is_not_looked_into(hub: PolicySet) -> None:
    assert asked_inside(question("refund", {"amount": 5})) is None
    assert asked_inside(about("refund", amount=5)) is None
    assert questions(about("refund", amount=5)) == ()
    assert hub.decide(about("refund", amount=5)) == hub.decide(question("refund", {"amount": 5}))
