"""A proxy that is asked to end: calls that were sent get their answers; what would stay open is let go at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.attacks.messages import ERAS, Era, call, headers
from tests.attacks.rig import Rig
from tests.support.misbehaviour import LATE
from tests.support.raw_http import request
from tests.support.running import until

pytestmark = [pytest.mark.slow, pytest.mark.shows("audit.4")]


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("ending") / "proxy") as made:
        yield made


@pytest.mark.parametrize("era", ERAS)
def test_a_call_under_way_is_answered(rig: Rig, era: Era) -> None:
    """An agent told that it was refused, as once it was, would do it again."""
    agent = rig.agent()
    sent = len(rig.rec.calls)
    with rig.wire(agent.source) as wire:
        body = call(b'"safe"', b'{"_rec": "late"}', era)
        wire.send(request("POST", "/mcp/rec", headers(agent.token, era), body))
        until(lambda: len(rig.rec.calls) > sent, lambda: "the call does not arrive")
        # Only what takes a while is looked after, and was stopped.
        time.sleep(0.2)
        began = time.monotonic()
        rig.proxy.program.interrupt()
        answer = wire.response()
    assert answer.status == 200, answer
    assert not answer.json["result"]["isError"]
    assert rig.proxy.program.process.wait(10) == 0
    # It was not the time for answers under way that ran out.
    assert time.monotonic() - began < LATE + 5
    assert [row["state"] for row in rig.ledger.read() if row["kind"] == "outcome"][-1] == "executed"


def test_a_call_that_waits_for_a_person_is_told_how_it_stands(rig: Rig) -> None:
    agent = rig.agent()
    with rig.wire(agent.source) as wire:
        wire.send(request("POST", "/mcp/rec", headers(agent.token, name="gated"), call(b'"gated"')))
        rig.proxy.pending(principal=agent.principal)
        rig.proxy.program.interrupt()
        answer = wire.response()
    told = answer.events[-1]["result"]
    assert told["_meta"]["io.policylayer/decision"]["reason_code"] == "pending"
    assert rig.proxy.program.process.wait(10) == 0
