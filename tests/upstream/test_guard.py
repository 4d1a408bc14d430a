"""What stands before every server: caps, the breaker, and its condition."""

from __future__ import annotations

from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from policylayer.core.errors import Lost, NotSent, Overrun, TimedOut, TooLarge
from policylayer.upstream import CircuitOpen, Exchange, Limits, Overloaded
from policylayer.upstream.faces import Plain
from policylayer.upstream.guard import Guarded
from tests.upstream.helpers import call, post, whole

pytestmark = pytest.mark.anyio


class Scripted:
    """An upstream that does the next thing it was told."""

    name = "scripted"

    def __init__(self) -> None:
        self.next: BaseException | int = 200
        self.asked = 0

    async def exchange(self, exchange: Exchange) -> Plain:
        self.asked += 1
        if isinstance(self.next, BaseException):
            raise self.next
        return Plain(self.next, body=b"{}")

    async def close(self) -> None:
        return None


class Guard:
    """A guarded scripted upstream and its clock."""

    def __init__(self, **limits: int) -> None:
        self.inner = Scripted()
        self.now = 0.0
        self.guarded = Guarded(self.inner, Limits(**limits), lambda: self.now)  # type: ignore[arg-type]


async def test_over_the_cap_a_call_is_not_sent() -> None:
    guard = Guard(max_calls=2)
    answers = [await guard.guarded.exchange(post(call())) for _ in range(2)]
    with pytest.raises(Overloaded, match="as many calls open") as caught:
        await guard.guarded.exchange(post(call()))
    assert isinstance(caught.value, NotSent)
    assert guard.inner.asked == 2
    await answers[0].read(100)
    answers[0].close()
    await whole(guard.guarded, post(call()))
    answers[1].close()
    assert guard.guarded.condition.calls == 0


async def test_streams_are_counted_apart() -> None:
    guard = Guard(max_calls=1, max_streams=1)
    stream = await guard.guarded.exchange(Exchange("GET", [], endless=True))
    await whole(guard.guarded, post(call()))
    with pytest.raises(Overloaded, match="as many streams open"):
        await guard.guarded.exchange(Exchange("GET", [], endless=True))
    stream.close()
    assert guard.guarded.condition.streams == 0


@pytest.mark.parametrize("failure", [NotSent("down"), Lost("gone"), TimedOut("slow"), 503])
async def test_failures_in_a_row_open_it_and_a_probe_closes_it(failure: BaseException | int) -> None:
    guard = Guard(breaker_failures=3)
    guard.inner.next = failure
    for _ in range(3):
        with suppress(NotSent, Lost, TimedOut):
            await whole(guard.guarded, post(call()))
    assert guard.guarded.condition.breaker == "open"
    assert guard.guarded.condition.last_failure
    with pytest.raises(CircuitOpen, match="left alone for 1 s"):
        await guard.guarded.exchange(post(call()))
    assert guard.inner.asked == 3
    guard.now, guard.inner.next = 1.0, 200
    await whole(guard.guarded, post(call()))
    assert guard.guarded.condition.breaker == "closed"


async def test_a_long_answer_as_probe_does_not_keep_others_out() -> None:
    guard = Guard(breaker_failures=1)
    guard.inner.next = TimedOut("slow")
    with pytest.raises(TimedOut):
        await guard.guarded.exchange(post(call()))
    guard.now, guard.inner.next = 1.0, 200
    stream = await guard.guarded.exchange(Exchange("GET", [], endless=True))
    await whole(guard.guarded, post(call()))
    stream.close()


async def test_being_full_is_no_failure_of_the_server() -> None:
    guard = Guard(breaker_failures=1)
    guard.inner.next = Overloaded("no more processes")
    for _ in range(3):
        with pytest.raises(Overloaded, match="no more processes"):
            await guard.guarded.exchange(post(call()))
    assert guard.guarded.condition.breaker == "closed"


@pytest.mark.parametrize("kind", [TooLarge, Overrun])
async def test_an_answer_that_is_larger_than_we_take_is_no_failure_of_the_server(kind: type[TooLarge]) -> None:
    guard = Guard(breaker_failures=2)
    for each in (TimedOut("slow"), kind("more than 10 bytes"), TimedOut("slow")):
        guard.inner.next = each
        with pytest.raises(type(each)):
            await guard.guarded.exchange(post(call()))
    assert guard.guarded.condition.breaker == "closed"
    assert guard.guarded.condition.calls == 0


async def test_an_error_status_of_the_server_itself_is_no_failure() -> None:
    guard = Guard(breaker_failures=1)
    guard.inner.next = 500
    await whole(guard.guarded, post(call()))
    guard.inner.next = 401
    await whole(guard.guarded, post(call()))
    assert guard.guarded.condition.breaker == "closed"


@pytest.mark.shows("proxy.1")
async def test_a_server_that_is_away_is_logged_once_and_again_when_it_is_back() -> None:
    guard = Guard()
    with capture_logs() as said:
        for now, next in (
            (0, NotSent("cannot connect")),
            (1, Lost("its process ended")),
            (2, 503),
            (3, 200),
            (4, 200),
            (5, 502),  # within a minute: one that comes and goes does not flood the log
            (6, 200),
            (70, TimedOut("slow")),  # of one call
            (80, Lost("its process ended")),
        ):
            guard.now, guard.inner.next = now, next
            with suppress(NotSent, TimedOut, Lost):
                await whole(guard.guarded, post(call()))
    assert [(each["event"], each.get("error")) for each in said] == [
        ("server cannot be reached", "cannot connect"),
        ("server answers again", None),
        ("server cannot be reached", "its process ended"),
    ]
    assert {(each["log_level"], each["server"]) for each in said} == {("warning", "scripted")}
