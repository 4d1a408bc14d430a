"""The approval table: final states stay final, every state but the first is reached, no move is undefined."""

from __future__ import annotations

import pytest

from policylayer.core.approval import TRANSITIONS, Move, State, after, sources

FINAL = {State.DENIED, State.EXPIRED, State.CANCELLED, State.CONSUMED}


@pytest.mark.parametrize("state", list(State))
def test_final_states_have_no_way_out(state: State) -> None:
    assert (TRANSITIONS[state] == {}) == (state in FINAL)


def test_every_state_but_the_first_is_reached() -> None:
    reached = {target for moves in TRANSITIONS.values() for target in moves.values()}
    assert reached == set(State) - {State.PENDING}


def test_only_an_approved_one_is_consumed() -> None:
    assert sources(Move.CONSUME) == (State.APPROVED,)
    assert after(State.PENDING, Move.CONSUME) is None
    assert after(State.APPROVED, Move.CONSUME) is State.CONSUMED


def test_nothing_is_approved_twice_or_after_a_denial() -> None:
    assert sources(Move.APPROVE) == (State.PENDING,)
