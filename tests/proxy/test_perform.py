"""Whatever a port does, the call ends in a denial, and nothing is sent without a durable row (over random faults)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from policylayer.core.commands import (
    AlreadyConsumed,
    Forward,
    Found,
    Hold,
    Outcome,
    OutcomeState,
    OverLimit,
    Record,
    Recorded,
    Relayed,
    Unrecorded,
    Waited,
)
from policylayer.core.errors import AuditUnavailable
from policylayer.proxy import judging
from policylayer.proxy.perform import Performer
from policylayer.proxy.visit import NO_HEADERS, NOWHERE, Visit
from policylayer.wire.calls import call_of
from policylayer.wire.fields import Headers
from policylayer.wire.message import Message, decode
from tests.proxy.fakes import ALICE, ALLOW, DENY, HOLD, result
from tests.proxy.rig import Rig

pytestmark = pytest.mark.shows("proxy.7")

BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","arguments":{}}}'
FAULTS = st.sampled_from([RuntimeError("x"), AuditUnavailable("gone"), KeyError("k"), TimeoutError()])


def visit_of(rig: Rig) -> Visit:
    return Visit(rig.deps, ALICE, rig.deps.servers["shop"], rig.upstream, NO_HEADERS, NOWHERE)


def one(values: Any) -> Any:
    """Next of a script, the last again and again; what is an exception is raised."""
    script = list(values)

    def step() -> Any:
        value = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(value, Exception):
            raise value
        return value

    return step


decided = st.lists(st.sampled_from([ALLOW, DENY, HOLD]) | FAULTS | st.none(), min_size=1, max_size=5)
written = st.lists(
    st.sampled_from(
        [Unrecorded("x"), AlreadyConsumed(), AlreadyConsumed("round"), OverLimit(DENY, "r"), OverLimit(HOLD)]
    )
    | st.builds(Recorded, st.sampled_from(["r1", "r2"]), st.just("apr"))
    | FAULTS
    | st.none(),
    min_size=1,
    max_size=6,
)
sought = st.lists(
    st.none() | st.builds(Found, st.just("apr"), st.sampled_from(["pending", "approved", "denied"])) | FAULTS,
    min_size=1,
    max_size=2,
)
waited = st.lists(
    st.builds(Waited, st.sampled_from(["approved", "denied", "expired", "gone"]), st.just("apr")) | FAULTS,
    min_size=1,
    max_size=3,
)


@given(decided, written, sought, waited)
@settings(max_examples=600)
def test_no_fault_lets_a_call_through(decisions: Any, records: Any, founds: Any, waits: Any) -> None:
    with capture_logs():
        asyncio.run(_run(decisions, records, founds, waits))


async def _run(decisions: Any, records: Any, founds: Any, waits: Any) -> None:
    rig = Rig()
    visit = visit_of(rig)
    decide, record, seek, wait = one(decisions), one(records), one(founds), one(waits)
    trace: list[tuple[Any, Any]] = []
    budget = 40

    async def judge(approved: frozenset[str], labels: frozenset[str]) -> Any:
        return decide()

    async def write(cmd: Record, context: Any, decide_us: Any = None) -> Any:
        nonlocal budget
        budget -= 1
        reply = record() if budget > 0 else Unrecorded("enough")
        trace.append((cmd, reply))
        return reply

    async def find(caller: Any, call: Any) -> Any:
        return seek()

    async def hold(command: Hold) -> Waited:
        waiting: Waited = wait()
        return waiting

    async def send(command: Forward) -> Outcome:
        trace.append((command, None))
        return Outcome(OutcomeState.EXECUTED)

    rig.recorder.record = write  # type: ignore[method-assign]
    rig.approvals.seek = find  # type: ignore[method-assign]
    message = decode(BODY, Headers([("mcp-protocol-version", "2025-11-25")]))
    assert isinstance(message, Message)
    verdict = await Performer(visit, call_of(message, "shop"), judge, send, hold).run()
    forwards = [place for place, (cmd, _) in enumerate(trace) if isinstance(cmd, Forward)]
    assert len(forwards) <= 1
    assert bool(forwards) == isinstance(verdict, Relayed)
    for place in forwards:
        cmd, reply = trace[place - 1]
        assert isinstance(cmd, Record)
        assert isinstance(reply, Recorded)
        assert cmd.decision is ALLOW
        assert len(rig.recorder.outcomes) == 1


@pytest.mark.anyio
async def test_a_cancelled_program_still_says_what_became_of_the_call() -> None:
    rig = Rig()
    visit = visit_of(rig)
    message = decode(BODY, Headers([("mcp-protocol-version", "2025-11-25")]))
    assert isinstance(message, Message)
    begun = asyncio.Event()

    async def send(command: Forward) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def hold(command: Hold) -> Waited:
        raise AssertionError

    performer = Performer(visit, call_of(message, "shop"), judging.constant(ALLOW), send, hold)
    task = asyncio.get_running_loop().create_task(performer.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(rig.recorder.closed.wait(), 5)
    assert rig.recorder.states == ["unknown"]


def test_the_fixture_is_an_answer() -> None:
    assert b'"id": 1' in result({"id": 1})
