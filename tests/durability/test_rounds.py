"""A server that answers a released call with questions: three rounds on one approval, and no round twice or altered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.attacks.messages import headers, message
from tests.attacks.rig import Agent, Rig
from tests.support.raw_http import Response, request
from tests.support.service import Preloaded

pytestmark = pytest.mark.shows("proxy.8")

ARGUMENTS = b'{"_rec":"three_rounds","amount":7}'


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig whose calls are held for long enough to decide, and whose proxy may be killed."""
    folder = tmp_path_factory.mktemp("rounds")
    rig = Rig(folder / "proxy", approvals={"hold": "30s", "hold_modern": "1m", "expires": "5m"})
    with Preloaded(folder) as rig.proxy.preloaded, rig:
        yield rig
        rig.ledger.check(rig.secrets)


@dataclass
class Talk:
    """One call of an agent over its rounds: what was asked last, and the state to come back with."""

    rig: Rig
    agent: Agent = field(init=False)
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.agent = self.rig.agent("a")
        self.before = self.rig.rec.counts["gated"]

    def begin(self) -> str:
        """Held, approved, and asked the first question; the approval's id."""
        with self.rig.wire(self.agent.source) as wire:
            wire.send(self.post())
            approval = self.rig.proxy.pending(principal=self.agent.principal)
            self.rig.proxy.approve(approval["id"])
            self.take(wire.response())
        found: str = approval["id"]
        return found

    def post(
        self, arguments: bytes = ARGUMENTS, state: str | None = None, answers: dict[str, Any] | None = None
    ) -> bytes:
        """The request of a round."""
        inside = b'"name":"gated","arguments":' + arguments
        if answers is not None:
            inside += b',"inputResponses":' + json.dumps(answers).encode()
        if state is not None:
            inside += b',"requestState":' + json.dumps(state).encode()
        body = message("tools/call", inside, "modern")
        return request("POST", "/mcp/rec", headers(self.agent.token, "modern", name="gated"), body)

    def send(self, sent: bytes) -> Response:
        """One answer."""
        with self.rig.wire(self.agent.source) as wire:
            return wire.send(sent).response()

    def take(self, answer: Response) -> None:
        """Remember what is asked."""
        self.result = answer.json["result"]

    def answer(self, **other: Any) -> bytes:
        """The next round, properly answered but for `other`."""
        answers = {key: {"action": "accept", "content": {"answer": "yes"}} for key in self.result["inputRequests"]}
        return self.post(**{"state": self.result["requestState"], "answers": answers, **other})

    def go_on(self) -> bytes:
        """Answer properly; what was sent."""
        sent = self.answer()
        self.take(self.send(sent))
        return sent

    @property
    def calls(self) -> int:
        """How often the server was called since the talk began."""
        return self.rig.rec.counts["gated"] - self.before

    def rows(self) -> list[dict[str, Any]]:
        """The rows of this agent's calls."""
        rows = self.rig.ledger.read()
        mine = [row for row in rows if row["principal"] == self.agent.principal and row["target"] == "gated"]
        return [row for row in mine if row["kind"] != "outcome"]


def refused(answer: Response) -> bool:
    """Whether it was denied or rejected, with no result of the server's."""
    if answer.status == 400:
        return True
    said = answer.json["result"]
    return said.get("isError") is True and "io.policylayer/decision" in said["_meta"]


def test_three_rounds_on_one_approval(rig: Rig) -> None:
    talk = Talk(rig)
    approval = talk.begin()
    for number in (1, 2, 3):
        assert list(talk.result["inputRequests"]) == [f"q{number}"]
        assert talk.result["requestState"] != f"round-{number}", "the server's own state"
        talk.go_on()
    assert talk.result["content"][0]["text"] == "three rounds done"
    assert talk.calls == 4
    states = [one.params.get("requestState") for one in rig.rec.calls[-4:]]
    assert states == [None, "round-1", "round-2", "round-3"]
    assert all(one.body.count(ARGUMENTS) == 1 for one in rig.rec.calls[-4:]), "the arguments are byte by byte the same"
    rows = talk.rows()
    assert [(row["kind"], row["enforced"]) for row in rows] == [
        ("decision", "require_approval"),
        ("release", "allow"),
        ("round", "allow"),
        ("round", "allow"),
        ("round", "allow"),
    ]
    assert [row["approval_id"] for row in rows] == [approval] * 5
    assert rig.proxy.approval(approval)["state"] == "consumed"
    rig.ledger.check(rig.secrets)


def test_a_round_cannot_be_repeated(rig: Rig) -> None:
    talk = Talk(rig)
    talk.begin()
    first = talk.go_on()
    assert talk.calls == 2
    assert refused(talk.send(first)), "the same round again"
    second = talk.go_on()
    for old in (first, second):
        assert refused(talk.send(old))
    assert talk.calls == 3
    talk.go_on()
    assert talk.result["content"][0]["text"] == "three rounds done"
    assert all(refused(talk.send(old)) for old in (first, second))
    assert talk.calls == 4
    rig.ledger.check(rig.secrets)


def test_a_repeat_is_refused_after_a_restart_too_and_the_talk_goes_on(rig: Rig) -> None:
    talk = Talk(rig)
    talk.begin()
    first = talk.go_on()
    rig.proxy.kill()
    rig.proxy.start()
    assert refused(talk.send(first))
    assert talk.calls == 2
    talk.go_on()
    talk.go_on()
    assert talk.result["content"][0]["text"] == "three rounds done"
    assert talk.calls == 4


def test_two_at_the_same_time_are_one(rig: Rig) -> None:
    talk = Talk(rig)
    talk.begin()
    sent = talk.answer()
    wires = [rig.wire(talk.agent.source) for _ in range(8)]
    for wire in wires:
        wire.send(sent)
    answers = [wire.response() for wire in wires]
    for wire in wires:
        wire.close()
    assert sum(not refused(answer) for answer in answers) == 1
    assert talk.calls == 2


ALTERED: dict[str, dict[str, Any]] = {
    "other-arguments": {"arguments": b'{"_rec":"three_rounds","amount":8}'},
    "more-arguments": {"arguments": b'{"_rec":"three_rounds","amount":7,"x":1}'},
    "no-arguments": {"arguments": b"{}"},
    "other-question": {"answers": {"q2": {"action": "accept", "content": {}}}},
    "more-answers": {"answers": {"q1": {"action": "accept"}, "q2": {"action": "accept"}}},
    "no-answers": {"answers": None},
    "empty-answers": {"answers": {}},
}


@pytest.mark.parametrize("other", ALTERED.values(), ids=ALTERED.keys())
def test_an_altered_round_is_a_new_call(rig: Rig, other: dict[str, Any]) -> None:
    """Covered by no approval: it is held like any first call, and the server sees nothing of it."""
    talk = Talk(rig)
    approval = talk.begin()
    with rig.wire(talk.agent.source) as wire:
        wire.send(talk.answer(**other))
        held = rig.proxy.pending(lambda each: each["id"] != approval, principal=talk.agent.principal)
        assert talk.calls == 1
        rig.proxy.deny(held["id"])
        assert refused(wire.response())
    assert talk.calls == 1
    talk.go_on()
    assert list(talk.result["inputRequests"]) == ["q2"], "the proper answer is still good"
    rig.ledger.check(rig.secrets)


def test_a_round_is_its_callers_alone(rig: Rig) -> None:
    talk, other = Talk(rig), rig.agent("a")
    talk.begin()
    sent = talk.answer().replace(talk.agent.token.encode(), other.token.encode())
    with rig.wire(other.source) as wire:
        assert wire.send(sent).response().status == 400
    other_server = talk.answer().replace(b"/mcp/rec ", b"/mcp/rec2 ")
    assert talk.send(other_server).status == 400
    assert talk.calls == 1


def test_a_state_that_was_touched_is_refused(rig: Rig) -> None:
    talk = Talk(rig)
    talk.begin()
    state = talk.result["requestState"]
    for place in (0, len(state) // 2, len(state) - 1):
        touched = state[:place] + ("A" if state[place] != "A" else "B") + state[place + 1 :]
        assert talk.send(talk.answer(state=touched)).status == 400
    assert talk.send(talk.answer(state="round-1")).status == 400, "the server's own"
    assert talk.calls == 1
