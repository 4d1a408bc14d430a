"""Limits over both databases: all or none, sliding windows, clocks that jump, what is given back and what is kept."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import orjson
import pytest

from policylayer.core.decision import Effect, ReasonCode, RuleRef, permission
from policylayer.core.errors import AuditUnavailable
from policylayer.limits.limits import Limits
from policylayer.limits.steady import Steady
from tests.limits.desk import KEYS, RULE, Desk, all_of, asking, charge, opened
from tests.support.hand_clock import HandClock

pytestmark = pytest.mark.anyio
HOUR, YEAR = 3600, 365 * 86400


async def test_a_limit_is_reached_and_not_passed(desk: Desk) -> None:
    assert [await desk.fits(charge("4")) for _ in range(4)] == [True, True, False, False]
    assert await desk.fits(charge("2"))
    assert not await desk.fits(charge("0.000000001"))


async def test_what_is_over_is_told_by_name_and_when_to_come_back(desk: Desk) -> None:
    other = charge("1", "1", 30, counter="payments/other#1", rule=RuleRef("payments", "other", "payments.yaml", 9))
    assert await desk.fits(charge("10"), other)
    desk.hand.advance(12.5)
    charged = await desk.charge(charge("1"), other)
    assert charged.over is not None
    assert (charged.over.effect, charged.over.reason_code) == (Effect.DENY, ReasonCode.OVER_LIMIT)
    assert [ref.name for ref in charged.over.rules] == ["payments/other", "payments/small"]
    assert (charged.over.retry, charged.over.retry_after) == ("after", 48)
    assert "payments/spend" in charged.over.reason
    assert "payments/other#1" in charged.over.reason
    desk.hand.advance(48)
    assert await desk.fits(charge("1"), other)


async def test_a_call_that_is_too_much_by_itself_need_not_wait(desk: Desk) -> None:
    over = (await desk.charge(charge("11"))).over
    assert over is not None
    assert (over.retry, over.retry_after) == ("changed", None)


async def test_all_or_none(desk: Desk) -> None:
    assert await desk.fits(charge("1", "1", counter="p/b"))
    assert not await desk.fits(
        charge("1", "1", counter="p/a"), charge("1", "1", counter="p/b"), charge("1", counter="p/c")
    )
    assert await desk.fits(charge("1", "1", counter="p/a"), charge("10", counter="p/c"))


async def test_a_counter_that_two_rules_name_is_charged_once(desk: Desk) -> None:
    twice = charge("6"), charge("6", rule=RuleRef("payments", "other", "payments.yaml", 2))
    assert await desk.fits(*twice)
    assert await desk.fits(charge("4"))


async def test_keys_are_counted_apart(desk: Desk) -> None:
    assert await desk.fits(charge("10", key='["agent:a","usd"]'))
    assert await desk.fits(charge("10", key='["agent:a","eur"]'))
    assert not await desk.fits(charge("1", key='["agent:a","eur"]'))


async def test_sums_are_exact(desk: Desk) -> None:
    """Neither binary fractions nor 28 digits."""
    for _ in range(10):
        assert await desk.fits(charge("0.1", "1"))
    assert not await desk.fits(charge("0.00000000000000000000000000000000000000001", "1"))
    assert await desk.fits(charge("1e300", "1e301", key="large"))
    assert await desk.fits(charge("1e-300", "1e301", key="large"))
    kept = await desk.sql("SELECT amount FROM counters WHERE key = 'large' AND bucket_us > 0")
    assert [Decimal(amount) for (amount,) in kept] == [Decimal("1e300") + 0] or len(kept) >= 1
    assert not await desk.fits(charge("9e300", "1e301", key="large"))


async def test_nothing_is_charged_for_zero(desk: Desk) -> None:
    assert await desk.fits(charge("10"))
    assert await desk.fits(charge("0"))
    assert await desk.sql("SELECT count(*) FROM counters WHERE bucket_us > 0") == [(1,)]


# --- windows and clocks -----------------------------------------------------------------------------------------------


async def test_a_window_slides(desk: Desk) -> None:
    for _ in range(10):
        assert await desk.fits(charge())
        desk.hand.advance(6)
    assert await desk.fits(charge())
    assert not await desk.fits(charge())
    desk.hand.advance(6)
    assert await desk.fits(charge())
    assert not await desk.fits(charge())


async def test_at_the_boundary_no_window_holds_more_than_the_limit(desk: Desk) -> None:
    """Ten at the end of one minute and ten at the beginning of the next are twenty in one."""
    desk.hand.advance(59.9)
    assert await all_of(15, desk, charge(), at_once=15) == 10
    desk.hand.advance(0.2)
    assert await all_of(15, desk, charge(), at_once=15) == 0
    desk.hand.advance(59.8)
    assert await all_of(15, desk, charge(), at_once=15) == 10


@pytest.mark.shows("policy.4")
@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEAR, -YEAR, -0.001, 86400, 1])
async def test_a_clock_that_jumps_opens_nothing_and_closes_nothing(desk: Desk, jump: float) -> None:
    """R-10."""
    limit = charge("1", "3", HOUR)
    assert [await desk.fits(limit) for _ in range(4)] == [True, True, True, False]
    desk.hand.jump(jump)
    assert not await desk.fits(limit)
    desk.hand.advance(HOUR - 1)
    assert not await desk.fits(limit)
    desk.hand.jump(-jump)
    assert not await desk.fits(limit)
    desk.hand.advance(1)
    assert [await desk.fits(limit) for _ in range(4)] == [True, True, True, False]
    desk.hand.jump(jump)
    desk.hand.advance(HOUR)
    assert await desk.fits(limit)


@pytest.mark.shows("policy.4")
async def test_a_restart_under_a_clock_that_went_back_opens_nothing(desk: Desk, url: str) -> None:
    limit = charge("1", "1", HOUR)
    assert await desk.fits(limit)
    await desk.close()
    desk.hand.jump(-YEAR)
    again = await opened(url, desk.clock)
    try:
        assert not await again.fits(limit)
        desk.hand.advance(HOUR)
        assert await again.fits(limit)
    finally:
        await again.close()


async def test_what_was_used_survives_a_restart(desk: Desk, url: str) -> None:
    assert await desk.fits(charge("7"))
    await desk.close()
    desk.hand.advance(30)
    again = await opened(url, desk.clock)
    try:
        assert not await again.fits(charge("4"))
        assert await again.fits(charge("3"))
        desk.hand.advance(31)
        assert await again.fits(charge("7"))
        assert not await again.fits(charge("1"))
    finally:
        await again.close()


async def test_a_window_made_longer_holds_for_what_was_charged_before(desk: Desk) -> None:
    assert await desk.fits(charge("10", window=60))
    desk.hand.advance(100)
    assert not await desk.fits(charge("1", window=120))
    desk.hand.advance(20)
    assert await desk.fits(charge("1", window=120))


async def test_many_charges_take_few_rows(desk: Desk) -> None:
    for _ in range(400):
        assert await desk.fits(charge("1", "1000", 600))
        desk.hand.advance(1)
    ((rows,),) = await desk.sql("SELECT count(*) FROM counters WHERE bucket_us > 0 AND counter <> ''")
    assert rows <= 128
    assert not await desk.fits(charge("601", "1000", 600))
    assert await desk.fits(charge("600", "1000", 600))


async def test_what_is_over_is_removed(desk: Desk) -> None:
    for key in "abc":
        assert await desk.fits(charge(key=key))
    assert await desk.limits.prune() == 0
    desk.hand.advance(61)
    assert await desk.fits(charge(key="a"))
    assert await desk.sql("SELECT key FROM counters WHERE bucket_us > 0 AND counter <> '' ORDER BY key") == [
        ("a",),
        ("b",),
        ("c",),
    ]
    desk.hand.advance(30)
    assert await desk.limits.prune() >= 2
    assert await desk.sql("SELECT key FROM counters WHERE bucket_us > 0 AND counter <> ''") == [("a",)]
    desk.hand.advance(200)
    await desk.limits.prune()
    assert await desk.sql("SELECT counter FROM counters") == [("",)]
    assert await desk.fits(charge("10", key="a"))


# --- approvals --------------------------------------------------------------------------------------------------------


async def test_a_limit_that_asks_is_held_and_then_passed(desk: Desk) -> None:
    assert await desk.fits(asking("8"))
    over = (await desk.charge(asking("8"))).over
    assert over is not None
    assert (over.effect, [hold.ref.name for hold in over.holds]) == (Effect.REQUIRE_APPROVAL, ["payments/small"])
    told = frozenset({"payments/small", permission("payments/spend")})
    assert (await desk.charge(asking("8"), approved=told)).over is None
    assert not await desk.fits(asking("1"))
    desk.hand.advance(60)
    assert await desk.fits(asking("10"))


async def test_nobody_who_was_not_told_of_a_limit_has_approved_it(desk: Desk) -> None:
    assert await desk.fits(asking("10"))
    for approved in ({"payments/small"}, {permission("payments/spend")}, {"payments/small", permission("p/other")}):
        over = (await desk.charge(asking("1"), approved=frozenset(approved))).over
        assert over is not None
        assert over.effect is Effect.REQUIRE_APPROVAL


async def test_a_limit_that_denies_is_never_passed(desk: Desk) -> None:
    assert await desk.fits(charge("10"))
    told = frozenset({RULE.name, permission("payments/spend")})
    over = (await desk.charge(charge("1"), approved=told)).over
    assert over is not None
    assert over.effect is Effect.DENY


async def test_one_that_denies_beats_one_that_asks(desk: Desk) -> None:
    one, two = asking("1", "1"), charge("1", "1", counter="payments/other")
    assert await desk.fits(one, two)
    over = (await desk.charge(one, two)).over
    assert over is not None
    assert over.effect is Effect.DENY
    assert len(over.fields) == 0
    assert "payments/other" in over.reason
    assert "payments/spend" in over.reason


async def test_what_would_be_exceeded_is_told_without_charging(desk: Desk) -> None:
    assert await desk.fits(charge("10"))
    wanted = charge("1"), asking("1", counter="payments/other")
    found = await desk.store.read(lambda conn: desk.limits.exceeded(conn, wanted))
    assert [each.counter for each in found] == ["payments/spend"]


# --- given back, kept -------------------------------------------------------------------------------------------------


async def test_what_was_never_sent_is_given_back(desk: Desk) -> None:
    assert await desk.fits(charge("6"), charge("1", counter="p/b"))
    first = desk.last
    desk.hand.advance(1)
    assert await desk.fits(charge("4"))
    assert not await desk.fits(charge("1"))
    await desk.give_back(first)
    assert await desk.fits(charge("6"))
    assert not await desk.fits(charge("1"))
    desk.hand.advance(60)
    assert await desk.fits(charge("10"))


async def test_giving_back_what_is_over_takes_nothing_from_others(desk: Desk) -> None:
    assert await desk.fits(charge("6"))
    first = desk.last
    desk.hand.advance(61)
    assert await desk.fits(charge("10"))
    await desk.give_back(first)
    assert not await desk.fits(charge("1"))


async def test_giving_back_out_of_a_shared_entry(desk: Desk) -> None:
    for _ in range(100):
        assert await desk.fits(charge("1", "100", HOUR))
    await desk.give_back(desk.last)
    assert await desk.fits(charge("1", "100", HOUR))
    assert not await desk.fits(charge("1", "100", HOUR))


async def test_a_row_says_what_it_charged(desk: Desk) -> None:
    charged = await desk.charge(charge("1.50"))
    assert charged.charges is not None
    now = desk.clock.time_us()
    told = {"counter": "payments/spend", "key": '["agent:a"]', "amount": "1.50", "window": 60}
    assert orjson.loads(charged.charges) == [{**told, "at": now, "bucket": now}]


# --- from the log -----------------------------------------------------------------------------------------------------


async def test_counters_are_made_again_from_the_log(desk: Desk, url: str) -> None:
    for _ in range(100):
        assert await desk.fits(charge("1", "300", HOUR))
        desk.hand.advance(1)
    assert await desk.fits(charge("100", "300", HOUR))
    await desk.give_back(desk.last)
    before = await desk.sql("SELECT counter, key, bucket_us, amount FROM counters ORDER BY 1, 2, 3")
    await desk.store.write(lambda conn: conn.exec_driver_sql("DELETE FROM counters").rowcount)
    await desk.close()
    again = await opened(url, desk.clock)
    try:
        after = await again.sql("SELECT counter, key, bucket_us, amount FROM counters ORDER BY 1, 2, 3")
        assert [row for row in after if row[2]] == [row for row in before if row[2]]
        assert await all_of(300, again, charge("1", "300", HOUR), at_once=50) == 200
    finally:
        await again.close()


async def test_the_log_is_read_once(desk: Desk, url: str) -> None:
    """A database without counters in use is not one without counters."""
    assert await desk.fits(charge("10"))
    desk.hand.advance(61)
    await desk.limits.prune()
    again = await desk.again()
    try:
        assert await again.fits(charge("10"))
    finally:
        await again.close()


# --- many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.shows("policy.4")
async def test_a_hundred_thousand_reservations_at_once_never_exceed(sqlite: str) -> None:
    """POL-26."""
    desk = await opened(sqlite, HandClock())
    try:
        assert await all_of(100_000, desk, charge("0.7", "1000.5", HOUR), at_once=4000) == 1429
    finally:
        await desk.close()


@pytest.mark.shows("policy.4")
async def test_replicas_together_never_exceed(postgres: str) -> None:
    desks = [await opened(postgres, HandClock()) for _ in range(3)]
    try:
        both = charge("1", "100", HOUR), charge("3", "120", HOUR, counter="payments/other")
        turned = both[::-1]
        done = await asyncio.gather(
            *(all_of(100, each, *(both if n else turned), at_once=20) for n, each in enumerate(desks))
        )
        assert sum(done) == 40
        assert await desks[0].fits(charge("60", "100", HOUR))
        assert not await desks[1].fits(charge("1", "100", HOUR))
    finally:
        for each in desks:
            await each.close()


async def test_a_replica_that_is_behind_counts_from_where_others_are(postgres: str) -> None:
    ahead, behind = HandClock(), HandClock()
    ahead.jump(600)
    one, two = await opened(postgres, ahead), await opened(postgres, behind)
    try:
        assert await one.fits(charge("1", "10", HOUR))
        assert await two.fits(charge("9", "10", HOUR))
        for clock in (ahead, behind):
            clock.advance(HOUR - 1)
        assert not await one.fits(charge("10", "10", HOUR))
        assert not await two.fits(charge("10", "10", HOUR))
        for clock in (ahead, behind):
            clock.advance(2)
        assert await two.fits(charge("10", "10", HOUR))
    finally:
        await one.close()
        await two.close()


@pytest.mark.parametrize("failure", [AuditUnavailable("away"), ValueError("odd")])
async def test_the_house_is_kept_after_a_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    for name, value in (("TICK", 0.01), ("PRUNE_EVERY", 1)):
        monkeypatch.setattr(f"policylayer.limits.limits.{name}", value)
    kept, failed, again = Limits(desk.store, Steady(desk.clock), KEYS), asyncio.Event(), asyncio.Event()

    async def prune() -> int:
        (again if failed.is_set() else failed).set()
        if not again.is_set():
            raise failure
        return 0

    monkeypatch.setattr(kept, "prune", prune)
    await kept.start()
    async with asyncio.timeout(20):
        await again.wait()
    await kept.close()
