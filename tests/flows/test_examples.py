"""The flows that a reader of `core/mediate.py` should know, one test each."""

from __future__ import annotations

from dataclasses import replace

from policylayer.core.commands import (
    AlreadyConsumed,
    Found,
    Kind,
    OverLimit,
    Recorded,
    Refused,
    Relayed,
    Round,
    Unavailable,
    Undecided,
    Unrecorded,
    Waited,
)
from policylayer.core.decision import Effect, ReasonCode
from policylayer.core.mediate import mediate
from tests.flows.play import (
    DONE,
    Play,
    allowed,
    approved,
    ask,
    close,
    denied,
    ends,
    held,
    seek,
    send,
    wait,
    write,
)

ROUND = Round(parent="r0", number=1, nonce="n1", approval_id="a0", rules=frozenset({"p/hold"}))


def test_allowed_calls_are_recorded_then_forwarded_then_closed() -> None:
    (
        Play(mediate())
        >> ask() << allowed()
        >> write(kind=Kind.DECISION, charge=True, hold=False, consume=None) << Recorded("r1")
        >> send("r1", approval_id=None) << DONE
        >> close("r1", outcome=DONE) << Recorded("r2")
        >> ends(Relayed, row_id="r1")
    )  # fmt: skip


def test_denied_calls_are_only_recorded() -> None:
    (
        Play(mediate())
        >> ask() << denied()
        >> write(kind=Kind.DECISION, charge=False) << Recorded("r1")
        >> ends(Refused, row_id="r1", approval_id=None)
    )  # fmt: skip


def test_a_servers_question_hangs_below_its_call() -> None:
    (
        Play(mediate(parent="r0"))
        >> ask() << denied()
        >> write(kind=Kind.DECISION, parent="r0") << Recorded("r1")
        >> ends(Refused)
    )  # fmt: skip


def test_a_held_call_is_decided_again_and_uses_its_approval_up() -> None:
    (
        Play(mediate())
        >> ask() << held()
        >> seek() << None
        >> write(kind=Kind.DECISION, hold=True, charge=False) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1")
        >> ask("p/hold") << allowed()
        >> write(kind=Kind.RELEASE, parent="r1", consume="a1", charge=True, hold=False) << Recorded("r2")
        >> send("r2", approval_id="a1", rules=frozenset({"p/hold"})) << DONE
        >> close("r2") << Recorded("r3")
        >> ends(Relayed)
    )  # fmt: skip


def test_a_later_identical_call_uses_a_granted_approval() -> None:
    (
        Play(mediate())
        >> ask() << held()
        >> seek() << Found("a1", "approved", frozenset({"p/hold"}))
        >> ask("p/hold") << allowed()
        >> write(kind=Kind.RELEASE, parent=None, consume="a1") << Recorded("r1")
        >> send("r1") << DONE
        >> close("r1") << Recorded("r2")
        >> ends(Relayed)
    )  # fmt: skip


def test_after_a_denial_an_identical_call_gets_it_with_its_note() -> None:
    (
        Play(mediate())
        >> ask() << held()
        >> seek() << Found("a1", "denied", note="not today")
        >> write(kind=Kind.DECISION, hold=False) << Recorded("r1")
        >> ends(Refused, approval_id="a1", note="not today")
    )  # fmt: skip


def test_policy_may_have_changed_to_a_denial_at_release() -> None:
    (
        Play(mediate())
        >> ask() << held()
        >> seek() << None
        >> write(hold=True) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1")
        >> ask("p/hold") << denied()
        >> write(kind=Kind.RELEASE, parent="r1", consume=None) << Recorded("r2")
        >> ends(Refused, row_id="r2", approval_id="a1")
    )  # fmt: skip


def test_a_new_hold_rule_sends_a_released_call_back_with_what_is_missing() -> None:
    (
        Play(mediate())
        >> ask() << held("hold")
        >> seek() << None
        >> write(hold=True) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1")
        >> ask("p/hold") << held("second")
        >> write(hold=True, consume="a1", parent="r1", approved=frozenset({"p/hold"})) << Recorded("r2", "a2")
        >> wait("a2") << approved("a2", "p/second")
        >> ask("p/hold", "p/second") << allowed()
        >> write(kind=Kind.RELEASE, consume="a2", parent="r2") << Recorded("r3")
        >> send("r3") << DONE
        >> close("r3") << Recorded("r4")
        >> ends(Relayed)
    )  # fmt: skip


def test_of_two_waiters_the_later_one_waits_for_a_new_approval() -> None:
    (
        Play(mediate())
        >> ask() << held()
        >> seek() << None
        >> write(hold=True) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1")
        >> ask("p/hold") << allowed()
        >> write(consume="a1") << AlreadyConsumed()
        >> ask() << held()
        >> write(hold=True, consume=None, approved=frozenset(), parent="r1") << Recorded("r2", "a2")
        >> wait("a2") << Waited("pending", "a2")
        >> close("r2") << Recorded("r3")
        >> ends(Refused, row_id="r2", approval_id="a2")
    )  # fmt: skip


def test_a_limit_may_ask_for_approval_when_it_is_met() -> None:
    over = held("spend")
    (
        Play(mediate())
        >> ask() << allowed()
        >> write(charge=True) << OverLimit(over)
        >> seek() << None
        >> write(hold=True, decision=over, charge=False) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1", "p/spend")
        >> ask("p/spend") << allowed()
        >> write(kind=Kind.RELEASE, charge=True, approved=frozenset({"p/spend"})) << Recorded("r2")
        >> send("r2") << DONE
        >> close("r2") << Recorded("r3")
        >> ends(Relayed)
    )  # fmt: skip


def test_a_limit_that_denies_has_already_written_the_denial() -> None:
    over = denied(ReasonCode.OVER_LIMIT)
    (
        Play(mediate())
        >> ask() << allowed()
        >> write(charge=True) << OverLimit(over, "r1")
        >> ends(Refused, decision=over, row_id="r1")
    )  # fmt: skip


def test_a_client_that_goes_away_ends_its_wait_only() -> None:
    (
        Play(mediate())
        >> ask() << held()
        >> seek() << None
        >> write(hold=True) << Recorded("r1", "a1")
        >> wait("a1") << Waited("gone", "a1")
        >> close("r1") << Recorded("r2")
        >> ends(Refused, approval_id="a1")
    )  # fmt: skip


def test_a_round_redeems_its_nonce_with_its_row() -> None:
    (
        Play(mediate(ROUND))
        >> ask("p/hold") << allowed()
        >> write(kind=Kind.ROUND, parent="r0", redeem=ROUND, consume=None) << Recorded("r1")
        >> send("r1", approval_id="a0", rules=frozenset({"p/hold"})) << DONE
        >> close("r1") << Recorded("r2")
        >> ends(Relayed)
    )  # fmt: skip


def test_a_round_is_answered_once() -> None:
    (
        Play(mediate(ROUND))
        >> ask("p/hold") << allowed()
        >> write(kind=Kind.ROUND, redeem=ROUND) << AlreadyConsumed("round")
        >> write(kind=Kind.ROUND, redeem=None) << Recorded("r1")
        >> ends(Refused)
    )  # fmt: skip


def test_an_approval_of_each_round_is_not_handed_to_the_next() -> None:
    (
        Play(mediate())
        >> ask() << held("hold", each_round=True)
        >> seek() << Found("a1", "approved", frozenset({"p/hold"}))
        >> ask("p/hold") << allowed()
        >> write(consume="a1") << Recorded("r1")
        >> send("r1", rules=frozenset()) << DONE
        >> close("r1") << Recorded("r2")
        >> ends(Relayed)
    )  # fmt: skip


def test_a_waiver_satisfies_a_rule_and_is_no_approval() -> None:
    (
        Play(mediate())
        >> ask() << held("hold", "second")
        >> seek() << Found(None, "approved", frozenset({"p/hold"}))
        >> ask("p/hold") << held("second")
        >> write(kind=Kind.DECISION, hold=True, consume=None, approved=frozenset({"p/hold"})) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1", "p/second")
        >> ask("p/hold", "p/second") << allowed()
        >> write(kind=Kind.RELEASE, consume="a1") << Recorded("r2")
        >> send("r2", approval_id="a1") << DONE
        >> close("r2") << Recorded("r3")
        >> ends(Relayed)
    )  # fmt: skip


def test_no_decision_is_a_recorded_denial() -> None:
    (
        Play(mediate())
        >> ask() << Undecided(reason="it took too long")
        >> write(kind=Kind.DECISION, charge=False) << Recorded("r1")
        >> ends(Unavailable, reason_code=ReasonCode.ENGINE_ERROR, row_id="r1")
    )  # fmt: skip


def test_no_row_no_call() -> None:
    (
        Play(mediate())
        >> ask() << allowed()
        >> write() << Unrecorded("disk full")
        >> ends(Unavailable, reason_code=ReasonCode.AUDIT_UNAVAILABLE, reason="disk full")
    )  # fmt: skip


def test_observed_servers_forward_what_policy_denies() -> None:
    observed = replace(denied(), enforced=Effect.ALLOW)
    (
        Play(mediate())
        >> ask() << observed
        >> write(decision=observed) << Recorded("r1")
        >> send("r1") << DONE
        >> close("r1") << Recorded("r2")
        >> ends(Relayed)
    )  # fmt: skip


def test_a_limit_exceeded_only_at_release_sends_the_call_back() -> None:
    """Nobody who approved was told of it: the same rule is asked again."""
    told = frozenset({"p/spend", "p/other", "limit p/day"})
    (
        Play(mediate())
        >> ask() << held("spend", "other")
        >> seek() << None
        >> write(hold=True) << Recorded("r1", "a1")
        >> wait("a1") << approved("a1", "p/spend", "p/other")
        >> ask("p/spend", "p/other") << allowed()
        >> write(charge=True, consume="a1") << OverLimit(held("spend"))
        >> write(hold=True, consume="a1", approved=frozenset({"p/other"})) << Recorded("r2", "a2")
        >> wait("a2") << approved("a2", *told)
        >> ask(*told) << allowed()
        >> write(charge=True, consume="a2", approved=told) << Recorded("r3")
        >> send("r3") << DONE
        >> close("r3") << Recorded("o1")
        >> ends(Relayed)
    )  # fmt: skip


def test_a_later_round_is_the_same_call_and_charges_nothing_again() -> None:
    (
        Play(mediate(ROUND))
        >> ask("p/hold") << allowed()
        >> write(kind=Kind.ROUND, charge=False, redeem=ROUND) << Recorded("r1")
        >> send("r1") << DONE
        >> close("r1") << Recorded("o1")
        >> ends(Relayed)
    )  # fmt: skip
