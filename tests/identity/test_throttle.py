"""Failures are counted by source, forgiven with time, and never remembered without bound."""

from __future__ import annotations

import pytest

from policylayer.identity import throttle
from policylayer.identity.throttle import Throttle
from tests.support.hand_clock import HandClock


def test_a_source_is_blocked_after_its_burst_and_forgiven_with_time() -> None:
    clock = HandClock()
    bound = Throttle(clock, burst=3, per_second=1)
    for _ in range(3):
        assert not bound.blocked("192.0.2.1")
        bound.failed("192.0.2.1")
    assert bound.blocked("192.0.2.1")
    assert not bound.blocked("192.0.2.2")
    clock.advance(1)
    assert not bound.blocked("192.0.2.1")
    bound.failed("192.0.2.1")
    assert bound.blocked("192.0.2.1")
    clock.advance(1000)
    for _ in range(3):
        assert not bound.blocked("192.0.2.1")
        bound.failed("192.0.2.1")
    assert bound.blocked("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "no address", True),
    ],
)
def test_what_counts_as_one_source(one: str | None, other: str | None, same: bool) -> None:
    bound = Throttle(HandClock(), burst=1)
    bound.failed(one)
    assert bound.blocked(other) is same


@pytest.mark.shows("proxy.5")
def test_auth_06_a_thousand_sources_are_remembered_a_million_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "SOURCES", 100)
    bound = Throttle(HandClock(), burst=1)
    for number in range(1000):
        bound.failed(f"10.0.{number // 250}.{number % 250}")
    assert len(bound._left) == 100
    assert bound.blocked("10.0.3.249")
