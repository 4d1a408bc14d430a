"""A time that neither jumps nor goes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policylayer.limits.steady import Steady
from tests.support.hand_clock import HandClock

moves = st.one_of(
    st.tuples(st.just("jump"), st.floats(-4e7, 4e7)),
    st.tuples(st.just("pass"), st.floats(0, 1e5)),
    st.tuples(st.just("seen"), st.floats(-1e6, 1e6)),
)


@given(st.lists(moves))
def test_it_goes_on_as_time_passes_or_where_others_have_been(steps: list[tuple[str, float]]) -> None:
    clock = HandClock()
    steady = Steady(clock)
    for kind, seconds in steps:
        before, wanted = steady.now_us(), steady.now_us()
        if kind == "jump":
            clock.jump(seconds)
        elif kind == "pass":
            clock.advance(seconds)
            wanted += int(seconds * 1e6)
        else:
            steady.at_least(before + int(seconds * 1e6))
            wanted = max(wanted, before + int(seconds * 1e6))
        assert abs(steady.now_us() - wanted) <= 2
        assert steady.now_us() >= before


def test_it_begins_at_the_wall_clock() -> None:
    clock = HandClock()
    assert Steady(clock).now_us() == clock.time_us()
