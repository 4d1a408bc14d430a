"""Random lives of approvals against a model of a few lines: every transition is one the table allows, and no other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from sqlalchemy import StaticPool, create_engine, select

from policylayer.approvals import ending, opening, rows, voting
from policylayer.approvals.opening import Opening
from policylayer.approvals.rows import LIVE, Desk
from policylayer.approvals.voting import Ballot, Moment
from policylayer.core.approval import TRANSITIONS, Move, State, after
from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Role
from policylayer.store.tables import approvals, metadata
from tests.approvals.desk import KEYS, People, call, caller, held, hold, person
from tests.support.hand_clock import START

VOTERS = ("user:a", "user:b", "user:c")
SECOND = 1_000_000
MOVES = {
    "approval.approved": Move.APPROVE,
    "approval.denied": Move.DENY,
    "approval.expired": Move.EXPIRE,
    "approval.cancelled": Move.CANCEL,
}


@dataclass
class Model:
    """What should be so of one approval."""

    call: int
    quorum: int
    expires_us: int
    state: State = State.PENDING
    approved_by: set[str] = field(default_factory=set)

    def at(self, now_us: int) -> State:
        return State.EXPIRED if self.state in LIVE and now_us >= self.expires_us else self.state

    def vote(self, who: str, decision: str) -> None:
        if decision == "deny":
            self.state = State.DENIED
            return
        self.approved_by.add(who)
        if len(self.approved_by) >= self.quorum:
            self.state = State.APPROVED


class Lives(RuleBasedStateMachine):
    """Opens, votes, uses, withdraws, lets time pass and sweeps, in any order."""

    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        self.conn = self.engine.connect()
        metadata.create_all(self.conn)
        self.now_us = int(START.timestamp()) * SECOND
        self.models: dict[str, Model] = {}
        self.walked: dict[str, State] = {}
        numbers = itertools.count()
        self.desk = Desk(KEYS, self.on_event, lambda: f"v{next(numbers)}")

    def teardown(self) -> None:
        self.conn.close()
        self.engine.dispose()

    def on_event(self, type: str, actor: str, detail: dict[str, Any]) -> None:
        """Each told transition must be one that the table allows from where the approval stood."""
        if type in MOVES:
            before = self.walked[detail["approval_id"]]
            step = after(before, MOVES[type])
            assert step is not None, f"{type} from {before}"
            self.walked[detail["approval_id"]] = step

    @rule(target=ids, number=st.integers(0, 2), quorum=st.integers(1, 2), expires=st.sampled_from([10, 60]))
    def open(self, number: int, quorum: int, expires: int) -> str:
        what = held(hold("h", quorum=quorum, expires=expires))
        wish = Opening(caller(), call(number=number), what, "r")
        approval, _ = opening.open_or_join(self.conn, self.desk, wish, self.now_us, 3600)
        standing = [
            each
            for each, model in self.models.items()
            if model.call == number
            and (model.at(self.now_us) in LIVE or (model.state is State.DENIED and self.now_us < model.expires_us))
        ]
        assert standing in ([], [approval])
        if not standing:
            assert approval not in self.models
            self.models[approval] = Model(number, quorum, self.now_us + expires * SECOND)
            self.walked[approval] = State.PENDING
        return approval

    @rule(approval=ids, who=st.sampled_from(VOTERS), decision=st.sampled_from(["approve", "approve", "deny"]))
    def vote(self, approval: str, who: str, decision: Any) -> None:
        model, at = self.models[approval], Moment(self.now_us, START, People())
        told = voting.cast(self.conn, self.desk, Ballot(approval, person(who), decision), at)
        if model.at(self.now_us) is State.PENDING:
            assert not isinstance(told, ApprovalError)
            model.vote(who, decision)
        else:
            assert isinstance(told, ApprovalError)
            assert (told.reason, told.state) == ("state", model.at(self.now_us))
            model.state = model.at(self.now_us)

    @rule(approval=ids)
    def use(self, approval: str) -> None:
        model = self.models[approval]
        used = opening.use_up(self.conn, self.desk, approval, "r", self.now_us)
        assert used is (model.at(self.now_us) is State.APPROVED)
        if used:
            model.state = State.CONSUMED
            self.walked[approval] = State.CONSUMED

    @rule(approval=ids)
    def withdraw(self, approval: str) -> None:
        model, root = self.models[approval], person("user:root", Role.OPERATOR)
        told = ending.withdraw(self.conn, self.desk, approval_id=approval, person=root, note=None, now_us=self.now_us)
        live = model.at(self.now_us) in LIVE
        assert isinstance(told, ApprovalError) is not live
        model.state = State.CANCELLED if live else model.at(self.now_us)

    @rule(seconds=st.sampled_from([1, 9, 30]))
    def let_time_pass(self, seconds: int) -> None:
        self.now_us += seconds * SECOND

    @rule()
    def sweep(self) -> None:
        ending.sweep(self.conn, self.desk, now_us=self.now_us, passed={})
        for model in self.models.values():
            model.state = model.at(self.now_us)

    @rule(approval=consumes(ids))
    def never_heard_of_again(self, approval: str) -> None:
        """Nobody asks for it any more; it must not be in anyone's way."""

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        found = {row["id"]: row for row in rows.fetch(self.conn, select(approvals))}
        assert set(found) == set(self.models)
        live = [model.call for model in self.models.values() if model.at(self.now_us) in LIVE]
        assert len(live) == len(set(live))
        for approval, model in self.models.items():
            row = found[approval]
            assert rows.state_at(row, self.now_us) is model.at(self.now_us)
            assert (row["arguments_sealed"] is not None) is (row["state"] in LIVE)
            assert row["state"] == self.walked[approval]

    @invariant()
    def what_is_known_of_a_call_is_what_stands(self) -> None:
        for number in range(3):
            found = opening.seek(self.conn, keys=KEYS, caller=caller(), call=call(number=number), now_us=self.now_us)
            standing = {
                each: model.state
                for each, model in self.models.items()
                if model.call == number
                and (model.at(self.now_us) in LIVE or (model.state is State.DENIED and self.now_us < model.expires_us))
            }
            assert (found is None and not standing) or (
                found is not None and standing == {found.approval_id: found.state}
            )


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=50, stateful_step_count=30)
TestLives = pytest.mark.shows("proxy.8")(TestLives)


def test_final_states_are_final() -> None:
    assert {state for state, moves in TRANSITIONS.items() if not moves} == set(State) - set(LIVE)
