"""Slots that are shared: nobody goes over, and nobody takes all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.shares import KEPT, LITTLE, Shares

owners = st.integers(0, 5)


@given(st.integers(1, 200), st.lists(st.tuples(owners, st.booleans()), max_size=400))
def test_no_more_are_held_than_there_are_and_each_is_given_back(most: int, wishes: list[tuple[int, bool]]) -> None:
    shares, held = Shares(most), dict.fromkeys(range(6), 0)
    for owner, takes in wishes:
        if takes and shares.room(owner):
            shares.take(owner)
            held[owner] += 1
        elif not takes and held[owner]:
            shares.give_back(owner)
            held[owner] -= 1
    assert shares.held == sum(held.values()) <= most
    assert shares.holders == {owner: count for owner, count in held.items() if count}


@given(st.integers(KEPT, 2000), st.integers(0, 20))
def test_whoever_takes_all_it_may_leaves_room_for_others(most: int, others: int) -> None:
    shares = Shares(most)
    while shares.room("greedy"):
        shares.take("greedy")
    assert most * (KEPT - 1) // KEPT <= shares.held < most
    left = most - shares.held
    for other in range(min(others, left)):
        assert shares.room(other)
        shares.take(other)


@given(st.integers(1, KEPT - 1))
def test_of_few_nothing_is_kept(most: int) -> None:
    shares = Shares(most)
    for _ in range(most):
        assert shares.room("only")
        shares.take("only")
    assert not shares.room("only")
    assert not shares.room("other")


def test_little_is_at_least_one() -> None:
    shares = Shares(LITTLE // 2)
    while shares.room("greedy"):
        shares.take("greedy")
    assert shares.room("other")
