"""Held calls and one approval, one execution: across kill -9, for identical calls, and when the agent is not there.

The log is read by a stranger and each arrival at the server asks it for the row that let it through (`Ledger`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks.messages import ERAS, Era, call, headers
from tests.attacks.rig import Agent, Rig
from tests.support.raw_http import Closed, Response, request
from tests.support.running import until
from tests.support.service import Preloaded

pytestmark = pytest.mark.shows("proxy.8")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig whose calls are held for long enough to decide, and whose proxy may be killed."""
    folder = tmp_path_factory.mktemp("held")
    rig = Rig(folder / "proxy", approvals={"hold": "30s", "hold_modern": "1m", "expires": "5m"})
    with Preloaded(folder) as rig.proxy.preloaded, rig:
        yield rig
        rig.ledger.check(rig.secrets)


class Waiting:
    """A held call that somebody waits for."""

    def __init__(self, rig: Rig, agent: Agent, era: Era, arguments: bytes = b"{}") -> None:
        self.rig, self.agent, self.era, self.arguments = rig, agent, era, arguments
        self.wire = rig.wire(agent.source)
        self.wire.send(post(agent, era, arguments))

    def pending(self) -> dict[str, Any]:
        """Its approval."""
        return self.rig.proxy.pending(principal=self.agent.principal)

    def answer(self) -> Response:
        """Its answer."""
        try:
            return self.wire.response()
        finally:
            self.wire.close()


def post(agent: Agent, era: Era, arguments: bytes = b"{}") -> bytes:
    return request("POST", "/mcp/rec", headers(agent.token, era, name="gated"), call(b'"gated"', arguments, era))


def again(rig: Rig, agent: Agent, era: Era, arguments: bytes = b"{}") -> Response:
    """The same call, by an agent that came back."""
    return Waiting(rig, agent, era, arguments).answer()


def leave_pending(rig: Rig, agent: Agent, era: Era, arguments: bytes = b"{}") -> dict[str, Any]:
    """A call whose agent went away while it was held."""
    waiting = Waiting(rig, agent, era, arguments)
    approval = waiting.pending()
    waiting.wire.close()
    rig.proxy.left(approval["id"])
    return approval


def executions(rig: Rig, before: int) -> int:
    return rig.rec.counts["gated"] - before


def restart(rig: Rig) -> None:
    rig.proxy.kill()
    rig.proxy.start()


def state(rig: Rig, approval: dict[str, Any]) -> str:
    found: str = rig.proxy.approval(approval["id"])["state"]
    return found


def done(answer: Response) -> bool:
    return bool(answer.json["result"]["content"][0]["text"] == "gated done")


# --- across kill -9 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_a_held_call_survives_the_end_of_the_proxy_and_is_executed_once(rig: Rig, era: Era) -> None:
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    waiting = Waiting(rig, agent, era)
    approval = waiting.pending()
    restart(rig)
    with pytest.raises((Closed, ConnectionError)):
        waiting.answer()
    assert state(rig, approval) == "pending"
    shown = rig.proxy.approval(approval["id"])
    assert (shown["target"], shown["arguments"]) == ("gated", {})
    rig.proxy.approve(approval["id"])
    assert executions(rig, before) == 0, "nobody was there for it"
    assert done(again(rig, agent, era))
    assert executions(rig, before) == 1
    assert state(rig, approval) == "consumed"
    # The same call once more needs an approval of its own.
    other = leave_pending(rig, agent, era)
    assert other["id"] != approval["id"]
    assert executions(rig, before) == 1


@pytest.mark.parametrize("era", ERAS)
def test_an_agent_that_waits_again_is_released(rig: Rig, era: Era) -> None:
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    first = Waiting(rig, agent, era)
    approval = first.pending()
    restart(rig)
    first.wire.close()
    second = Waiting(rig, agent, era)
    until(lambda: rig.proxy.approval(approval["id"])["waiters"] == 1, lambda: "it joined another approval")
    rig.proxy.approve(approval["id"])
    assert done(second.answer())
    assert executions(rig, before) == 1


@pytest.mark.parametrize("era", ERAS)
def test_an_approval_survives_between_voting_and_using(rig: Rig, era: Era) -> None:
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    approval = leave_pending(rig, agent, era)
    rig.proxy.approve(approval["id"])
    restart(rig)
    assert state(rig, approval) == "approved"
    assert done(again(rig, agent, era))
    assert executions(rig, before) == 1
    assert state(rig, approval) == "consumed"


@pytest.mark.parametrize("era", ERAS)
def test_an_approval_that_was_used_before_the_end_is_used_up(rig: Rig, era: Era) -> None:
    """Killed while the server runs the call: whether it ran is not known, so it is not run again on the same word."""
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    arguments = b'{"_rec":"hang"}'
    waiting = Waiting(rig, agent, era, arguments)
    approval = waiting.pending()
    rig.proxy.approve(approval["id"])
    until(lambda: executions(rig, before) == 1, lambda: "it was not run")
    restart(rig)
    waiting.wire.close()
    assert state(rig, approval) == "consumed"
    row = next(row for row in rig.ledger.read() if row["approval_id"] == approval["id"] and row["enforced"] == "allow")
    assert (rig.ledger.outcome(row["id"]) or {})["state"] == "unknown"
    other = leave_pending(rig, agent, era, arguments)
    assert other["id"] != approval["id"]
    assert executions(rig, before) == 1


def test_a_denial_survives_with_its_note(rig: Rig) -> None:
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    approval = leave_pending(rig, agent, "handshake")
    rig.proxy.deny(approval["id"], "not today")
    restart(rig)
    answer = again(rig, agent, "handshake").json["result"]
    assert answer["isError"] is True
    assert answer["_meta"]["io.policylayer/decision"]["reason_code"] == "approval_denied"
    assert answer["_meta"]["io.policylayer/decision"]["note"] == "not today"
    assert executions(rig, before) == 0


# --- identical calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "eras", [("handshake", "handshake"), ("modern", "modern"), ("modern", "handshake")], ids="-".join
)
def test_two_identical_held_calls_and_one_approval_are_one_execution(rig: Rig, eras: tuple[Era, Era]) -> None:
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    both = [Waiting(rig, agent, era, b'{"same":1}') for era in eras]
    approval = both[0].pending()
    until(lambda: rig.proxy.approval(approval["id"])["waiters"] == 2, lambda: "they did not join one approval")
    rig.proxy.approve(approval["id"])
    other = rig.proxy.pending(lambda each: each["id"] != approval["id"], principal=agent.principal)
    assert executions(rig, before) == 1
    assert state(rig, approval) == "consumed"
    rig.proxy.approve(other["id"])
    assert all(done(each.answer()) for each in both)
    assert executions(rig, before) == 2
    assert [row["approval_id"] for row in releases(rig, agent)] == [approval["id"], other["id"]]


def test_ten_identical_calls_that_find_one_approval(rig: Rig) -> None:
    """All come when it is approved already: one of them uses it, nine are held anew, on one approval."""
    agent, before = rig.agent("a"), rig.rec.counts["gated"]
    approval = leave_pending(rig, agent, "modern", b'{"same":2}')
    rig.proxy.approve(approval["id"])
    all_of_them = [Waiting(rig, agent, ERAS[number % 2], b'{"same":2}') for number in range(10)]
    other = rig.proxy.pending(lambda each: each["id"] != approval["id"], principal=agent.principal)
    until(lambda: rig.proxy.approval(other["id"])["waiters"] == 9, lambda: "nine do not wait")
    assert executions(rig, before) == 1
    rig.proxy.deny(other["id"])
    answers = [each.answer() for each in all_of_them]
    assert sum(done(answer) for answer in answers) == 1
    assert executions(rig, before) == 1


def test_calls_that_differ_share_nothing(rig: Rig) -> None:
    agent, other, before = rig.agent("a"), rig.agent("a"), rig.rec.counts["gated"]
    approval = leave_pending(rig, agent, "modern", b'{"amount":1}')
    rig.proxy.approve(approval["id"])
    for someone, arguments in ((agent, b'{"amount":2}'), (agent, b'{"amount":"1"}'), (other, b'{"amount":1}')):
        leave_pending_any(rig, someone, arguments, approval["id"])
    assert executions(rig, before) == 0
    assert done(again(rig, agent, "modern", b'{ "amount" : 1.0 }')), "the same call, written otherwise"
    assert executions(rig, before) == 1


def leave_pending_any(rig: Rig, agent: Agent, arguments: bytes, not_this: str) -> None:
    waiting = Waiting(rig, agent, "modern", arguments)
    found = rig.proxy.pending(lambda each: each["id"] != not_this, principal=agent.principal)
    rig.proxy.ask("POST", f"/approvals/{found['id']}/withdraw", {})
    assert waiting.answer().json["result"]["isError"] is True


def releases(rig: Rig, agent: Agent) -> list[dict[str, Any]]:
    rows = rig.ledger.read()
    return [
        row
        for row in rows
        if row["kind"] == "release" and row["principal"] == agent.principal and row["enforced"] == "allow"
    ]
