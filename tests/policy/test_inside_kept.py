"""What a record of a meta-tool's call keeps, and what may be told from it: never another answer than it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from policylayer.core.call import Question, ServerFacts, Unwrap
from policylayer.core.decision import Effect
from policylayer.core.redact import Mode, Redactor
from policylayer.policy.explain import explain
from policylayer.policy.explain_lines import lines
from policylayer.policy.explain_shown import Told, as_json
from policylayer.policy.inside_kept import reads_inside
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import kept as of_shown
from policylayer.policy.recorded import recorded
from policylayer.policy.values import Unknown
from tests.policy.cases import compiled, question_of
from tests.policy.made import question
from tests.policy.test_inside import HUB, POLICY, about, batch, call
from tests.reference.pools import FIELDS, TOOLS
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets

ALLOW, DENY, HOLD = Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL
CARD = {"number": "4111", "holder": "Ada"}


@pytest.fixture(scope="module")
def hub() -> PolicySet:
    return compiled({"p.yaml": POLICY})


def kept(policy_set: PolicySet, asked: Question, mode: Mode = "redacted") -> dict[str, Any]:
    """The row of a call as the API shows it, kept as the mode says."""
    decision = policy_set.decide(asked)
    one = asked.call
    view = Redactor.of(lambda value: str(len(repr(value)))).view(
        mode,
        one.arguments,
        paths=decision.obligations.redact,
        reads=reads_inside(one, asked.server.unwrap, policy_set.reads),
    )
    return {
        "id": "1",
        "kind": "decision",
        "time": asked.now.isoformat(),
        "principal": asked.subject.id,
        "for": asked.on_behalf_of.id if asked.on_behalf_of else None,
        "server": one.server,
        "method": one.method,
        "target": one.target,
        "effect": str(decision.effect),
        "reason_code": str(decision.reason_code),
        "reason": decision.reason,
        "client": asked.client,
        "protocol": one.protocol,
        "latency": {"decide_us": 40},
        "rules": [{"policy": ref.policy, "rule": ref.rule} for ref in decision.rules],
        "arguments": None if view.text is None else json.loads(view.text),
        "arguments_mode": view.mode,
        "input": None,
        "labels": sorted(asked.labels),
        "ip": asked.ip,
        "detail": {"masked_arguments": list(view.masked)},
    }


def arguments(row: Mapping[str, Any]) -> Any:
    return row["arguments"]


def possible(policy_set: PolicySet, row: Mapping[str, Any], facts: ServerFacts = HUB) -> frozenset[Effect]:
    """What the row may have come to, by this set."""
    found = recorded(of_shown(row), lambda _: facts, policy_set.reads)
    return policy_set.possible(found.question, found.unknown)


# --- what is masked ---------------------------------------------------------------------------------------------------


def test_what_a_rule_redacts_of_an_inner_call_is_masked_where_it_stands(hub: PolicySet) -> None:
    row = kept(hub, call("refund", amount=5, card=CARD, token_x=1))
    assert set(row["detail"]["masked_arguments"]) >= {"/with/card/number", "/with/card/holder"}
    assert arguments(row)["with"]["amount"] == 5
    assert arguments(row)["tool"] == "refund"
    row = kept(hub, batch(("refund", {"amount": 5}), ("refund", {"amount": 6, "card": CARD})))
    assert row["detail"]["masked_arguments"] == ["/calls/1/with/card/number", "/calls/1/with/card/holder"]


def test_also_in_a_text_of_json(hub: PolicySet) -> None:
    text = json.dumps({"amount": 5, "card": CARD})
    row = kept(hub, about("text", tool="refund", **{"with": text}))
    inside = json.loads(arguments(row)["with"])
    assert inside["amount"] == 5
    assert inside["card"]["number"].startswith("[redacted:")
    assert "4111" not in json.dumps(row["arguments"])


@pytest.mark.parametrize(
    "asked",
    [
        about("text", tool="refund", **{"with": '{"amount": 5, "card": {"number": "4111"'}),
        about("call", tool="refund", **{"with": ["4111"]}),
        about("call", tool=["4111"], **{"with": {}}),
        about("call", **{"with": {"card": CARD}}),
        about("batch", calls="4111"),
        about("batch", calls=[{"tool": "refund"}, {"tool": 5, "with": {"card": CARD}}]),
        about("batch", calls=["4111"]),
        about("call", tool="call", **{"with": {"tool": "call", "with": {"tool": 5, "with": {"card": CARD}}}}),
    ],
)
@pytest.mark.parametrize("mode", ["redacted", "read"])
def test_of_what_could_not_be_read_nothing_is_shown(hub: PolicySet, asked: Question, mode: Mode) -> None:
    row = kept(hub, asked, mode)
    assert row["effect"] == "deny"
    assert "4111" not in json.dumps(row["arguments"])
    assert "Ada" not in json.dumps(row["arguments"])


# --- what is kept where only what rules read is ---------------------------------------------------------------------


def test_what_rules_read_of_an_inner_call_is_kept(hub: PolicySet) -> None:
    assert arguments(kept(hub, call("refund", amount=5, note="x"), "read")) == {"tool": "refund", "with": {"amount": 5}}
    text = about("text", tool="refund", **{"with": '{"amount": 5, "note": "x"}'})
    assert arguments(kept(hub, text, "read")) == {"tool": "refund", "with": '{"amount": 5}'.replace(" ", "")}
    listed = batch(("refund", {"amount": 5, "note": "x"}))
    assert arguments(kept(hub, listed, "read")) == dict(listed.call.arguments)
    assert arguments(kept(hub, about("refund", amount=5, note="x"), "read")) == {"amount": 5}


def test_a_set_that_does_not_say_what_it_reads_keeps_nothing() -> None:
    assert reads_inside(call("refund").call, HUB.unwrap, lambda *_: None) is None
    assert reads_inside(question("x").call, (), lambda *_: None) is None


@pytest.mark.parametrize("mode", ["full", "redacted", "read", "digest", "none"])
@pytest.mark.parametrize(
    "asked",
    [
        call("refund", amount=5),
        call("refund", amount=80),
        call("refund", note="x"),
        call("refund", amount="5"),
        call("delete_x", a=1),
        call("unknown"),
        about("call"),
        about("call", tool="refund", **{"with": []}),
        about("call", tool="refund", TOOL="x", **{"with": {"amount": 5}}),
        about("text", tool="refund", **{"with": '{"amount": 5, "card": {"number": "1"}}'}),
        about("text", tool="refund", **{"with": "{"}),
        batch(("refund", {"amount": 5}), ("refund", {"amount": 80})),
        about("call", tool="call", **{"with": {"tool": "refund", "with": {"amount": 80}}}),
    ],
)
def test_a_record_never_tells_another_effect(hub: PolicySet, asked: Question, mode: Mode) -> None:
    found = possible(hub, kept(hub, asked, mode))
    assert hub.decide(asked).effect in found
    if mode == "full":
        assert len(found) == 1


def test_a_record_that_holds_enough_tells_it_for_certain(hub: PolicySet) -> None:
    for mode in ("redacted", "read"):
        assert possible(hub, kept(hub, call("refund", amount=5), mode)) == {ALLOW}  # type: ignore[arg-type]
        assert possible(hub, kept(hub, call("refund", amount=80), mode)) == {HOLD}  # type: ignore[arg-type]


# --- what is not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("args", "with", "amount"), {ALLOW, DENY, HOLD}),
        (("args", "with", "note"), {ALLOW}),
        (("args", "tool"), {ALLOW, DENY, HOLD}),
        (("args", "with"), {ALLOW, DENY, HOLD}),
        (("args",), {ALLOW, DENY, HOLD}),
        (("args", "other"), {ALLOW}),
    ],
)
def test_what_hangs_on_what_is_not_known(hub: PolicySet, path: tuple[str, ...], expected: set[Effect]) -> None:
    assert hub.possible(call("refund", amount=5), Unknown((path,))) == expected


def test_an_outer_denial_is_certain_whatever_is_inside() -> None:
    made = compiled({"p.yaml": POLICY.replace("tools: [call, text, batch]", "tools: [text, batch]")})
    assert made.possible(call("refund"), Unknown((("args",),))) == {DENY}


def test_an_explanation_says_what_of_it_is_not_known(hub: PolicySet) -> None:
    unknown = Unknown((("args", "with", "amount"),))
    told = as_json(Told(explain(hub, call("refund", amount=5), unknown)))
    assert told["possible"] == ["allow", "deny", "require_approval"]
    (inner,) = told["inside"]
    assert (inner["possible"], inner["not_known"]) == (["allow", "deny", "require_approval"], ["args.amount"])
    open_ = as_json(Told(explain(hub, call("refund", amount=5), Unknown((("args", "tool"),)))))
    assert "inside" not in open_
    assert open_["not_known"] == ["args.tool"]


def test_an_explanation_tells_of_each_call(hub: PolicySet) -> None:
    told = as_json(Told(explain(hub, batch(("refund", {"amount": 5}), ("delete_x", {})))))
    assert [each["decision"]["effect"] for each in told["inside"]] == ["allow", "deny"]
    assert told["decision"]["effect"] == "deny"
    decided = [rule["rule"] for rule in told["rules"] if rule["decided"]]
    assert decided == []
    assert [rule["rule"] for rule in told["inside"][1]["rules"] if rule["decided"]] == ["no-delete"]
    shown = list(lines(told))
    assert 'Inside it, refund {"amount": 5}:' in shown
    assert "deny (rule): inner call delete_x: rule hub/no-delete: Never." in shown


# --- properties -------------------------------------------------------------------------------------------------------

METAS = (Unwrap("t", ("args", "m_tool"), ("args", "m_args")),)


@pytest.mark.parametrize("seed", range(40))
def test_no_effect_is_left_out(seed: int) -> None:
    random = Random(f"kept {seed}")
    sets, calls = Sets(random), Calls(random)
    made = compiled({name: json.dumps(said) for name, said in sets.files().items()})
    for _ in range(15):
        inner = {"m_tool": random.choice(TOOLS[:3]), "m_args": calls.arguments()}
        asked = question_of({**calls.question([]), "tool": "t", "args": inner})
        if asked.call.target != "t":
            continue
        asked = replace(asked, server=replace(asked.server, unwrap=METAS), risk=None, traits=None, annotations=None)
        hidden = random.sample(sorted(FIELDS), random.randint(1, 4))
        found = made.possible(asked, Unknown(tuple(("args", "m_args", field) for field in hidden)))
        for _ in range(6):
            left = {field: value for field, value in inner["m_args"].items() if field not in hidden}
            others = {field: value for field, value in calls.arguments().items() if field in hidden}
            varied = replace(asked.call, arguments={**inner, "m_args": left | others})
            assert made.decide(replace(asked, call=varied)).effect in found
        for mode in ("redacted", "read", "digest"):
            if not (asked.labels or asked.approved or asked.call.input or asked.subject.groups):
                assert made.decide(asked).effect in possible(made, kept(made, asked, mode), asked.server)  # type: ignore[arg-type]


def test_what_one_set_read_is_not_guessed_for_another(hub: PolicySet) -> None:
    """A rule that is new reads what was not kept: that is said, also inside a text."""
    newer = compiled({"p.yaml": POLICY.replace("when: {args.amount: {lte: 50}}", "when: {args.note: x}")})
    for asked in (
        call("refund", amount=5, note="x"),
        about("text", tool="refund", **{"with": '{"amount": 5, "note": "x"}'}),
    ):
        assert possible(newer, kept(hub, asked, "read")) == {ALLOW, DENY}
