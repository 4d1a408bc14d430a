"""The breaker, with time held in the hand."""

from __future__ import annotations

from policylayer.upstream.breaker import LONGEST_WAIT, Breaker


def opened(failures: int = 3) -> Breaker:
    breaker = Breaker(failures, wait=1.0)
    for _ in range(failures):
        assert breaker.admit(0.0) is None
        breaker.failed(0.0)
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(3, wait=1.0)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state == "closed"
    assert opened().state == "open"


def test_while_open_nothing_passes_and_it_says_for_how_long() -> None:
    breaker = opened()
    assert breaker.admit(0.25) == 1.0
    assert breaker.state == "open"


def test_after_the_wait_one_probe_passes_and_its_success_closes() -> None:
    breaker = opened()
    assert breaker.admit(1.0) is None
    assert breaker.state == "half_open"
    assert breaker.admit(1.0) is not None, "one at a time"
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.admit(1.0) is None


def test_each_failed_probe_doubles_the_wait_up_to_a_bound() -> None:
    breaker = opened()
    now, waits = 0.0, []
    for _ in range(8):
        start = now
        while breaker.admit(now) is not None:
            now += 0.5
        waits.append(now - start)
        breaker.failed(now)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_a_probe_whose_caller_went_away_lets_another_try() -> None:
    breaker = opened()
    assert breaker.admit(1.0) is None
    breaker.abandoned()
    assert breaker.admit(1.0) is None


def test_an_answer_that_has_begun_lets_others_pass_but_the_next_failure_opens_it_again() -> None:
    breaker = opened()
    assert breaker.admit(1.0) is None
    breaker.began()
    assert breaker.state == "closed"
    assert breaker.admit(1.0) is None
    breaker.failed(1.0)
    assert breaker.state == "open"
    assert breaker.admit(2.5) is not None, "and for longer"
    assert breaker.admit(3.0) is None


def test_late_failures_of_calls_sent_before_do_not_prolong_it() -> None:
    breaker = opened()
    breaker.failed(0.9)
    assert breaker.admit(1.0) is None
