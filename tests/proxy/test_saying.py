"""Each line of the program's own log that concerns a call names its decision, whenever the failure was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from policylayer.proxy import saying
from tests.proxy.fakes import HOLD, FakeAnswer
from tests.proxy.rig import Rig, call

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]


async def lines(rig: Rig, *calls: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What was said while these were answered, and of which decision."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as kept:
        for each in calls:
            await rig.post(each)
    return [(line["event"], line.get("decision")) for line in kept]


async def test_what_fails_before_there_is_a_row_is_said_when_there_is_one(rig: Rig) -> None:
    rig.engine.fails = True
    assert await lines(rig, call(), call()) == [("a command failed", "row-1"), ("a command failed", "row-2")]


async def test_what_never_gets_a_row_is_said_all_the_same(rig: Rig) -> None:
    rig.engine.fails = rig.recorder.fails = True
    assert await lines(rig, call()) == [("a command failed", None)]


async def test_what_fails_on_the_way_back_names_the_row_that_let_it_through(rig: Rig) -> None:
    def fails(_exchange: Any, _message: Any) -> FakeAnswer:
        raise RuntimeError("x\r\ny")

    rig.upstream.answer = fails
    assert await lines(rig, call()) == [("an answer could not be relayed", "row-1")]


async def test_what_fails_while_it_is_held_names_the_row_that_holds_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError

    rig.engine.says["gated"] = HOLD
    rig.approvals.wait = broken  # type: ignore[method-assign]
    assert await lines(rig, call("gated")) == [("a command failed", "row-1")]


async def test_a_request_that_fails_after_its_row_names_it_and_the_next_does_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("policylayer.proxy.judged._told", broken)
    assert await lines(rig, call()) == [("a request failed", "row-1")]
    monkeypatch.setattr("policylayer.proxy.rounds.attempt", broken)
    assert await lines(rig, call()) == [("a request failed", None)]


async def test_what_goes_on_beside_a_request_keeps_its_name() -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as kept:

        async def later() -> None:
            await asyncio.sleep(0)
            structlog.get_logger().info("later")

        saying.about("row-9")
        task = asyncio.get_running_loop().create_task(later())
        saying.over()
        await task
    assert kept[0]["decision"] == "row-9"
