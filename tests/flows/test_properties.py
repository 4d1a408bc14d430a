"""Properties of a call's life over random scripts of replies: sensible ones, failing ones, and nonsense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policylayer.core.commands import (
    AlreadyConsumed,
    Decide,
    Forward,
    Found,
    Hold,
    Kind,
    Outcome,
    OutcomeState,
    OverLimit,
    Record,
    Recorded,
    RecordOutcome,
    Refused,
    Relayed,
    Round,
    Seek,
    Unavailable,
    Undecided,
    Unrecorded,
    Waited,
)
from policylayer.core.decision import Effect, ReasonCode
from policylayer.core.mediate import mediate
from tests.flows.play import allowed, denied, held

pytestmark = pytest.mark.shows("proxy.7")

LONGEST = 60
rules = st.frozensets(st.sampled_from(["p/hold", "p/second", "p/each"]), max_size=3)
decisions = st.one_of(
    st.builds(allowed),
    st.builds(denied, st.sampled_from(ReasonCode)),
    st.builds(held, st.sampled_from(["hold", "second"])),
    st.builds(held, st.just("each"), each_round=st.just(True)),
)
nonsense = st.one_of(st.none(), st.builds(object), st.booleans())
REPLIES: dict[type, st.SearchStrategy[Any]] = {
    Decide: decisions | st.builds(Undecided, st.sampled_from([ReasonCode.ENGINE_ERROR])) | nonsense,
    Seek: st.one_of(
        st.none(),
        st.builds(Found, st.just("found"), st.sampled_from(["pending", "approved", "denied"]), rules),
        st.builds(Found, st.none(), st.just("approved"), rules),
        st.builds(Unrecorded),
        nonsense,
    ),
    Record: st.one_of(
        st.just(Recorded),
        st.builds(OverLimit, st.builds(denied, st.just(ReasonCode.OVER_LIMIT)), st.just("over")),
        st.builds(OverLimit, st.builds(held, st.just("second"))),
        st.builds(AlreadyConsumed, st.sampled_from(["approval", "round"])),
        st.builds(Unrecorded),
        nonsense,
    ),
    Hold: st.builds(
        Waited,
        st.sampled_from(
            [
                "approved",
                "approved",
                "denied",
                "withdrawn",
                "frozen",
                "revoked",
                "cancelled",
                "expired",
                "pending",
                "gone",
            ]
        ),
        st.just("waited"),
        rules,
    ),
    Forward: st.builds(Outcome, st.sampled_from(OutcomeState)),
    RecordOutcome: st.sampled_from([Recorded("outcome"), Unrecorded(), None]),
}
rounds = st.none() | st.builds(Round, st.just("r0"), st.just(1), st.just("n"), st.none() | st.just("a0"), rules)


@dataclass
class Life:
    """One call as it went: commands with their replies, and the verdict if it came to one."""

    steps: list[tuple[Any, Any]] = field(default_factory=list)
    verdict: Any = None

    def of(self, kind: type) -> list[tuple[Any, Any]]:
        return [step for step in self.steps if isinstance(step[0], kind)]

    def durable(self) -> list[tuple[Record, Recorded]]:
        return [step for step in self.of(Record) if isinstance(step[1], Recorded)]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Drive one call with drawn replies, to its end or for LONGEST steps."""
    life, reply = Life(), None
    steps = mediate(draw(rounds))
    for number in range(LONGEST):
        try:
            command = steps.send(reply)
        except StopIteration as stop:
            life.verdict = stop.value
            return life
        reply = draw(REPLIES[type(command)])
        if reply is Recorded:
            reply = Recorded(f"row{number}", f"approval{number}" if command.hold else None)
        life.steps.append((command, reply))
    return life


@given(lives())
@settings(max_examples=1500)
def test_nothing_is_forwarded_without_a_durable_row_that_lets_it(life: Life) -> None:
    for position, (command, _) in enumerate(life.steps):
        if isinstance(command, Forward):
            record, reply = life.steps[position - 1]
            assert isinstance(record, Record)
            assert isinstance(reply, Recorded)
            assert record.decision.enforced is Effect.ALLOW
            assert not record.hold
            assert command.row_id == reply.row_id
            assert command.decision is record.decision


@given(lives())
def test_a_call_is_forwarded_at_most_once(life: Life) -> None:
    assert len(life.of(Forward)) <= 1


@given(lives())
@settings(max_examples=1000)
def test_a_hold_forwards_only_after_deciding_again(life: Life) -> None:
    commands = [command for command, _ in life.steps]
    for position, (command, _) in enumerate(life.steps):
        if isinstance(command, Forward):
            before = [type(c) for c in commands[:position]]
            assert before[-2:] == [Decide, Record]
            asked = commands[position - 2]
            record = commands[position - 1]
            assert record.approved == asked.approved
            if Hold in before:
                assert record.kind is Kind.RELEASE


@given(lives())
@settings(max_examples=1000)
def test_what_was_approved_is_used_up_by_the_row_that_lets_it_through(life: Life) -> None:
    for position, (command, _) in enumerate(life.steps):
        if isinstance(command, Forward) and command.approval_id in ("found", "waited"):
            assert life.steps[position - 1][0].consume == command.approval_id


@given(lives())
@settings(max_examples=1000)
def test_a_round_is_redeemed_by_the_row_that_lets_it_through(life: Life) -> None:
    for record, _ in life.of(Record):
        assert record.redeem is None or record.decision.enforced is Effect.ALLOW
    for position, (command, _) in enumerate(life.steps):
        if isinstance(command, Forward) and any(r.kind is Kind.ROUND for r, _ in life.of(Record)):
            assert life.steps[position - 1][0].redeem is not None


@given(lives())
@settings(max_examples=1500)
def test_each_call_ends_in_exactly_one_terminal_record(life: Life) -> None:
    if life.verdict is None:
        return
    refusals = [r for r, _ in life.durable() if r.decision.enforced is Effect.DENY]
    sending = [r for c, r in life.of(Record) if c.decision.enforced is Effect.ALLOW]
    over = [r for r in sending if isinstance(r, OverLimit) and r.row_id is not None]
    outcomes = life.of(RecordOutcome)
    terminal = len(refusals) + len(over) + len(outcomes)
    if isinstance(life.verdict, Unavailable) and life.verdict.row_id is None:
        holding = [reply.row_id for record, reply in life.durable() if record.hold]
        # A row that holds the call is not left open by the failure to write the next.
        assert [record.row_id for record, _ in outcomes] == holding[-1:]
        assert not refusals
        assert not over
    else:
        assert terminal == 1


@given(lives())
@settings(max_examples=1500)
def test_any_failure_to_decide_or_record_ends_in_a_denial(life: Life) -> None:
    failed = [c for c, r in life.of(Decide) if isinstance(r, Undecided) or r is None]
    failed += [c for c, r in life.of(Record) if isinstance(r, Unrecorded) or r is None]
    if failed:
        assert not life.of(Forward)
        assert isinstance(life.verdict, (Unavailable, type(None)))
    if isinstance(life.verdict, Relayed):
        assert len(life.of(Forward)) == 1
    if isinstance(life.verdict, (Refused, Unavailable)):
        assert not life.of(Forward)


@given(lives())
def test_holding_rows_carry_a_decision_that_asks_for_it(life: Life) -> None:
    for record, _ in life.of(Record):
        assert record.hold == (record.decision.enforced is Effect.REQUIRE_APPROVAL)
        assert not (record.hold and record.charge)


@given(lives())
def test_a_held_row_without_an_approval_is_no_hold(life: Life) -> None:
    for position, (command, _) in enumerate(life.steps):
        if isinstance(command, Hold):
            record, reply = life.steps[position - 1]
            assert record.hold
            assert reply.approval_id == command.approval_id


def test_a_recorded_hold_without_an_approval_id_is_a_failure_to_record() -> None:
    steps = mediate()
    steps.send(None)
    steps.send(held())
    steps.send(None)
    ended = steps.send(Recorded("r1", None))
    assert isinstance(ended, RecordOutcome)
    assert (ended.row_id, ended.outcome.state) == ("r1", OutcomeState.NEVER_SENT)
    with pytest.raises(StopIteration) as stop:
        steps.send(Recorded("o1"))
    assert isinstance(stop.value.value, Unavailable)
