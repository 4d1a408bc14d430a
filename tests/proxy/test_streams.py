"""Open streams: one task looks after all of them; what cannot be shown to be allowed is stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from policylayer.core.errors import AuditUnavailable
from policylayer.proxy.limits import Limits
from policylayer.proxy.metrics import Metrics
from policylayer.proxy.streams import UNSURE, OpenStream, Streams, TooManyStreams
from policylayer.proxy.visit import NOWHERE

pytestmark = pytest.mark.anyio
OWNER = ("g1", "agent:alice", "")


def made(answers: Any, stopped: list[int] | None = None, owner: tuple[str, str, str] = OWNER) -> OpenStream:
    async def allowed() -> bool:
        answer = answers() if callable(answers) else answers
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    return OpenStream(owner, NOWHERE, allowed, lambda: stopped.append(1) if stopped is not None else None)


@pytest.mark.parametrize("answer", [False, RuntimeError("x")])
async def test_a_stream_that_is_not_shown_to_be_allowed_is_stopped(answer: Any) -> None:
    metrics = Metrics()
    streams = Streams(Limits(), metrics)
    stopped: list[int] = []
    kept: list[int] = []
    with streams.opened(made(answer, stopped)), streams.opened(made(True, kept)):
        await streams.recheck()
        assert (len(streams), stopped, kept) == (2, [1], [])
    assert len(streams) == 0
    assert metrics.of("streams_closed") == 1


async def test_where_nobody_can_be_asked_a_stream_stays_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-06: a database that starts again must not cut every call that waits for its answer."""
    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    streams, stopped = Streams(Limits(), Metrics()), list[int]()
    answers: list[Any] = [AuditUnavailable("away")]
    with streams.opened(made(lambda: answers[0], stopped)):
        for second in (0.0, 1.0, UNSURE - 0.1):
            now[0] = 100 + second
            await streams.recheck()
        assert not stopped
        answers[0] = True
        await streams.recheck()
        answers[0] = AuditUnavailable("away again")
        now[0] = 100 + UNSURE
        await streams.recheck()
        assert not stopped
        now[0] = 100 + 2 * UNSURE
        await streams.recheck()
        assert stopped == [1]


async def test_a_database_that_does_not_answer_for_one_stream_is_not_asked_for_the_others() -> None:
    """Each question takes as long as the database's patience; the last of many streams would never be closed."""
    streams, asked = Streams(Limits(), Metrics()), list[int]()

    def away() -> Exception:
        asked.append(1)
        return AuditUnavailable("away")

    with streams.opened(made(away)), streams.opened(made(away)), streams.opened(made(away), capped=False):
        await streams.recheck()
    assert asked == [1]


async def test_a_change_is_looked_at_at_once() -> None:
    streams = Streams(Limits(recheck=60), Metrics())
    streams.start()
    stopped: list[int] = []
    right = [True]
    with streams.opened(made(lambda: right[0], stopped)):
        right[0] = False
        streams.changed()
        async with asyncio.timeout(5):
            while not stopped:
                await asyncio.sleep(0.001)
    await streams.close()


async def test_one_caller_has_so_many_and_others_theirs() -> None:
    streams = Streams(Limits(streams_per_owner=1), Metrics())
    with streams.opened(made(True)):
        with pytest.raises(TooManyStreams), streams.opened(made(True)):
            pass
        with streams.opened(made(True), capped=False), streams.opened(made(True, owner=("g2", "agent:bob", ""))):
            assert len(streams) == 3
    with streams.opened(made(True)):
        pass


async def test_when_the_end_begins_answers_under_way_are_waited_for() -> None:
    streams, stopped, kept, late = Streams(Limits(), Metrics()), list[int](), list[int](), list[int]()
    under_way = made(True, kept)
    under_way.ends = True
    with streams.opened(made(True, stopped)), streams.opened(under_way, capped=False):
        streams.release()
        assert (stopped, kept) == ([1], [])
        with streams.opened(made(True, late)):
            await asyncio.sleep(0)
        assert late == [1]


async def test_at_the_end_all_are_stopped() -> None:
    streams = Streams(Limits(), Metrics())
    streams.start()
    stopped: list[int] = []
    with streams.opened(made(True, stopped)):
        await streams.close()
    assert stopped == [1]
