"""What the agent reads: five lines, 600 characters, author's text made harmless, never a value."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.call import Call
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.core.endings import ended
from policylayer.policy.texts import MAX_TEXT, clean, render
from tests.policy.made import ALLOW, DENY, HOLD, SPAN, policy, policy_set, question, rule

ID = "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e"
CALL = Call("stripe", "tools/call", "create_refund", {}, b"", b"", "")
DENIED = Decision(DENY, ReasonCode.RULE, DENY, "r", said=("Rule p/r: No.", "Instead: Ask."))


def lines(decision: Decision, call: Call = CALL, **more: str | None) -> list[str]:
    return render(decision, call, ID, **more).split("\n")


def test_a_denial_by_rule() -> None:
    assert lines(DENIED) == [
        "Refused: create_refund on stripe.",
        "Rule p/r: No.",
        "Instead: Ask.",
        "Retry: no, the answer will be the same.",
        f"Decision: {ID}",
    ]


@pytest.mark.parametrize(
    ("code", "retry", "second"),
    [
        (ReasonCode.PENDING, "same_call", "A person must approve this call and has not answered yet."),
        (ReasonCode.APPROVAL_DENIED, "never", "A person refused this call."),
        (ReasonCode.APPROVAL_EXPIRED, "same_call", "Nobody answered the request for approval in time."),
        (ReasonCode.FROZEN, "never", "An operator has stopped this principal or server."),
        (ReasonCode.UNKNOWN_METHOD, "never", "This method is not supported here."),
        (ReasonCode.ENGINE_ERROR, "same_call", "The policy could not be evaluated."),
        (ReasonCode.AUDIT_UNAVAILABLE, "same_call", "The decision could not be recorded."),
        (ReasonCode.REJECTED, "never", "The request was not accepted."),
    ],
)
def test_what_is_not_said_by_a_rule(code: ReasonCode, retry: str, second: str) -> None:
    text = lines(replace(DENIED, reason_code=code, retry=retry))
    assert text[1] == second
    assert text[0].startswith("Pending" if code is ReasonCode.PENDING else "Refused")
    assert len(text) <= 5


def test_a_pending_call_names_its_approval() -> None:
    text = lines(replace(DENIED, reason_code=ReasonCode.PENDING, retry="same_call"), approval_id="ap-1")
    assert text[1] == "A person must approve this call and has not answered yet. Approval: ap-1"
    assert text[2] == "Rule p/r: No."


def test_an_approvers_note_is_told() -> None:
    text = lines(replace(DENIED, reason_code=ReasonCode.APPROVAL_DENIED), note="Wrong\ncustomer \u202e!")
    assert text[1:3] == ["A person refused this call.", "Note: Wrong customer !"]


@pytest.mark.parametrize(
    ("state", "second", "retry"),
    [
        ("denied", "A person refused this call.", "Retry: no, the answer will be the same."),
        ("withdrawn", "An operator withdrew the request for approval.", "Retry: yes, with the same arguments."),
        ("cancelled", "The request for approval was cancelled.", "Retry: yes, with the same arguments."),
        ("frozen", "An operator has stopped this principal or server.", "Retry: no, the answer will be the same."),
        ("revoked", "The credential is no longer valid.", "Retry: no, the answer will be the same."),
    ],
)
def test_how_a_hold_ended_is_said_in_words_of_its_own(state: str, second: str, retry: str) -> None:
    text = lines(ended(DENIED, state))
    assert (text[0], text[1]) == ("Refused: create_refund on stripe.", second)
    assert retry in text


def test_a_later_retry_says_when() -> None:
    assert lines(replace(DENIED, retry="after", retry_after=90))[3] == "Retry: yes, in 90 seconds."
    assert lines(replace(DENIED, retry="after"))[3] == "Retry: yes, later."


def test_what_was_refused() -> None:
    def first(method: str, target: str | None) -> str:
        return lines(DENIED, replace(CALL, method=method, target=target))[0]

    assert first("prompts/get", "review") == "Refused: prompt review on stripe."
    assert first("resources/read", "file:///srv/secret") == "Refused: resources/read on stripe."
    assert first("logging/setLevel", None) == "Refused: logging/setLevel on stripe."
    assert first("tools/call", "a\nDecision: x") == "Refused: a Decision: x on stripe."


def test_a_decision_without_words_falls_back_to_its_reason() -> None:
    assert lines(Decision(DENY, ReasonCode.INDETERMINATE, DENY, "r", reason="odd"))[1] == "odd."
    assert lines(Decision(DENY, ReasonCode.INDETERMINATE, DENY, "r"))[1] == "No rule allows this."


@given(st.text(max_size=400), st.text(max_size=1200), st.text(max_size=1200), st.sampled_from(ReasonCode), st.text())
def test_always_five_short_harmless_lines(tool: str, said: str, note: str, code: ReasonCode, more: str) -> None:
    made = policy_set(policy(rule("r", DENY, {"tools": ["*"]}, reason=said, instead=more)))
    decision = replace(made.decide(question(tool)), reason_code=code)
    text = render(decision, replace(CALL, target=tool), ID, note, "ap")
    assert len(text) <= MAX_TEXT
    assert len(text.split("\n")) <= 5
    assert text.endswith(f"\nDecision: {ID}")
    assert not {unicodedata.category(char) for char in text.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_clean() -> None:
    assert clean(" a\t\nb\x00\u202ec\u2028d\u200b ") == "a b c d"
    assert clean("x" * 300) == "x" * 219 + "…"


SECRET = "CANARY-7f3a"


@pytest.mark.parametrize("effect", [ALLOW, DENY, HOLD])
@pytest.mark.parametrize(
    "matchers",
    [
        {"eq": "THRESHOLD-1"},
        {"gt": 424242},
        {"in": ["THRESHOLD-2"]},
        {"matches": "THRESHOLD-3"},
        {"within": "/THRESHOLD"},
    ],
)
def test_no_value_and_no_threshold_is_ever_told(effect: Effect, matchers: dict[str, object]) -> None:
    made = policy_set(
        policy(
            rule("shown", effect, {"tools": ["t"], "when": {"args.x": matchers, "args.y": {"exists": True}}}),
            rule("other", DENY, {"tools": ["t"], "when": {"args.z": 1}}),
        )
    )
    for arguments in ({"x": SECRET, "z": 2}, {"x": {SECRET: 1}, "y": SECRET, "z": 2}, {SECRET: SECRET, "z": 2}):
        decision = made.decide(question(arguments=arguments))
        told = render(decision, question(arguments=arguments).call, ID) + decision.reason + "".join(decision.fields)
        assert SECRET not in told
        assert "THRESHOLD" not in told
        assert "424242" not in told
        assert "other" not in told


def test_many_fields_are_cut() -> None:
    when = {f"args.f{number}": {"exists": True} for number in range(9)}
    decision = policy_set(policy(rule("r", ALLOW, {"tools": ["t"], "when": when}))).decide(question())
    assert len(decision.fields) == 9
    assert lines(decision)[1].endswith("(args.f0, args.f1, args.f2, args.f3, args.f4, …).")
    assert SPAN.line == 1
