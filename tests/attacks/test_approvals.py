"""The catalogue's APPR section over a running proxy: one approval is one execution of exactly what was approved.

The states, votes and digests themselves are tests/approvals/; across kill -9 it is tests/durability/test_held.py.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import orjson
import pytest

from policylayer.core.text import shows
from tests.attacks.messages import ERAS, Era, call, headers
from tests.attacks.rig import Agent, Case, Rig
from tests.support.raw_http import Response, request
from tests.support.running import until

pytestmark = pytest.mark.shows("proxy.8")

POLICY = """
policy: held
applies_to: {principals: ["agent:*"], servers: "*"}
rules:
  - {id: safe, tools: [safe], effect: allow}
  - {id: gated, tools: [gated], effect: require_approval}
  - id: two
    tools: [echo_args]
    effect: require_approval
    approval: {quorum: 2}
  - id: soon
    tools: [pay]
    effect: require_approval
    approval: {expires: 2s}
"""
RACERS = 24
HOLD = 20.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig of its own: agents are told to come again at once, so that nothing here waits."""
    how = {"hold": "1s", "hold_modern": "1s", "expires": "5m"}
    with Rig(tmp_path_factory.mktemp("approvals"), policies={"held.yaml": POLICY}, approvals=how) as rig:
        yield rig


def held(case: Case, agent: Agent | None = None, arguments: bytes = b"{}", tool: str = "gated") -> dict[str, Any]:
    """A call that is held, and its agent told to come again; its approval."""
    who = agent or case.agent
    answer = send(case.rig, who, arguments, tool)
    assert told(answer)["reason_code"] == "pending", answer
    return case.rig.proxy.approval(told(answer)["approval_id"])


def send(rig: Rig, agent: Agent, arguments: bytes = b"{}", tool: str = "gated", era: Era = "handshake") -> Response:
    """The call, once."""
    with rig.wire(agent.source) as wire:
        fields = headers(agent.token, era, name=tool)
        return wire.send(request("POST", "/mcp/rec", fields, call(b'"%b"' % tool.encode(), arguments, era))).response()


def told(answer: Response) -> dict[str, Any]:
    """What the proxy says of a call that was not made; empty of one that was."""
    said: dict[str, Any] = (answer.json["result"].get("_meta") or {}).get("io.policylayer/decision", {})
    return said


def vote(rig: Rig, id: str, verb: str, by: str, note: str | None = None) -> Response:
    """A person's vote, whatever comes of it."""
    fields = [("host", "127.0.0.1"), ("authorization", f"Bearer {rig.proxy.person(by)}")]
    body = orjson.dumps({"note": note} if note else {})
    with rig.wire("127.0.0.1") as wire:
        sent = request("POST", f"/api/v1/approvals/{id}/{verb}", [*fields, ("content-type", "application/json")], body)
        return wire.send(sent).response()


def at_once(work: list[Callable[[], Response]]) -> list[Response]:
    """All of it, begun together."""
    begin = threading.Barrier(len(work))

    def one(each: Callable[[], Response]) -> Response:
        begin.wait(HOLD)
        return each()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


def executed(rig: Rig, before: int, tool: str = "gated") -> int:
    return rig.rec.counts[tool] - before


# --- one vote, one use ------------------------------------------------------------------------------------------------


def test_appr_01_many_approvals_at_once_are_one(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["gated"], held(case)["id"]
        people = [f"user:p{number % 2}" for number in range(RACERS)]
        for each in set(people):
            rig.proxy.person(each)
        voted = at_once([lambda by=by: vote(rig, id, "approve", by) for by in people])  # type: ignore[misc]
        assert sorted({answer.status for answer in voted}) == [200, 409]
        assert [answer.status for answer in voted].count(200) == 1
        assert told(send(rig, case.agent)) == {}
        assert told(send(rig, case.agent))["reason_code"] == "pending", "it was used twice"
        assert executed(rig, before) == 1


@pytest.mark.parametrize("number", range(5), ids=lambda number: f"APPR-02-{number}")
def test_approving_against_denying(rig: Rig, number: int) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["gated"], held(case, arguments=b'{"n":%d}' % number)["id"]
        verbs = ["approve", "deny"] * 4
        for by in ("user:p0", "user:p1"):
            rig.proxy.person(by)
        voted = at_once([lambda v=v: vote(rig, id, v, "user:p0", "why") for v in verbs])  # type: ignore[misc]
        won = [verb for verb, answer in zip(verbs, voted, strict=True) if answer.status == 200]
        assert len(won) == 1
        answer = send(rig, case.agent, b'{"n":%d}' % number)
        assert told(answer).get("reason_code") == (None if won == ["approve"] else "approval_denied")
        assert executed(rig, before) == (1 if won == ["approve"] else 0)


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"APPR-07-{era}")
def test_many_that_use_one_approval_are_one_execution(rig: Rig, era: Era) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["gated"], held(case)["id"]
        rig.proxy.approve(id)
        at_once([lambda: send(rig, case.agent, era=era) for _ in range(RACERS)])
        assert executed(rig, before) == 1
        assert rig.proxy.approval(id)["state"] == "consumed"


def test_appr_09_a_quorum_counts_people_not_votes_or_tokens(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["echo_args"], held(case, tool="echo_args")["id"]
        for by in ("user:p0", "user:p0", "user:p0"):
            vote(rig, id, "approve", by)
        second = rig.proxy.ask("POST", "/tokens", {"principal": "user:p0", "role": "operator"})["token"]
        rig.proxy.tokens.append(second)
        fields = [("host", "127.0.0.1"), ("authorization", f"Bearer {second}"), ("content-type", "application/json")]
        case.raw(request("POST", f"/api/v1/approvals/{id}/approve", fields, b"{}"))
        assert rig.proxy.approval(id)["state"] == "pending"
        assert told(send(rig, case.agent, tool="echo_args"))["reason_code"] == "pending"
        assert vote(rig, id, "approve", "user:p1").status == 200
        assert told(send(rig, case.agent, tool="echo_args")) == {}
        assert executed(rig, before, "echo_args") == 1


def test_appr_09_no_grant_votes_also_not_another_of_the_requester(rig: Rig) -> None:
    """Nor is there a person of the requester's own name: an agent gets no such token."""
    with rig.case() as case:
        case.counted = False
        id = held(case)["id"]
        other = rig.proxy.grant(case.agent.principal, "rec")
        for token in (case.agent.token, other, rig.good.token):
            for verb in ("approve", "deny", "withdraw"):
                fields = [("host", "127.0.0.1"), ("authorization", f"Bearer {token}")]
                sent = request("POST", f"/api/v1/approvals/{id}/{verb}", fields, b"{}")
                assert case.raw(sent).status == 401
        with pytest.raises(AssertionError, match=r"422 .*tokens are for people"):
            rig.proxy.person(case.agent.principal)
        assert rig.proxy.approval(id)["state"] == "pending"


# --- what was approved, and nothing else ------------------------------------------------------------------------------

SPELLINGS = (b'{"n":1}', b'{"n":1.0}', b'{"n":1e0}', b'{"n":10e-1}', b'{ "n" : 1 }', b'{"\\u006e":1}')
OTHERS = (
    *(b'{"n":"1"}', b'{"n":true}', b'{"n":2}', b'{"n":1.5}', b'{"N":1}', b'{"n":[1]}', b'{"n":1,"m":null}', b"{}"),
    *(b'{"n":1,"n\\u0000":1}', b'{"n":-1}', b'{"n":1,"_meta":{}}'),
)


def test_appr_06_another_spelling_of_the_same_is_covered_and_anything_else_is_not(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        before = rig.rec.counts["gated"]
        rig.proxy.approve(held(case, arguments=SPELLINGS[0])["id"])
        others = at_once([lambda a=each: send(rig, case.agent, a) for each in OTHERS])  # type: ignore[misc]
        assert [told(answer).get("reason_code") for answer in others] == ["pending"] * len(OTHERS)
        assert executed(rig, before) == 0
        for number, arguments in enumerate(SPELLINGS):
            if number:
                rig.proxy.approve(held(case, arguments=SPELLINGS[0])["id"])
            assert told(send(rig, case.agent, arguments)) == {}, arguments
        assert executed(rig, before) == len(SPELLINGS)


@pytest.mark.parametrize("whose", ["agent", "grant", "server", "tool"], ids=lambda whose: f"APPR-06-{whose}")
def test_an_approval_is_for_one_principal_server_and_tool(rig: Rig, whose: str) -> None:
    """A grant is a credential: another one of the same principal is the same caller."""
    with rig.case() as case:
        case.counted = False
        before = rig.rec.counts["gated"]
        rig.proxy.approve(held(case)["id"])
        other = {
            "agent": lambda: send(rig, rig.agent("a")),
            "grant": lambda: send(rig, Agent(case.agent.principal, rig.proxy.grant(case.agent.principal, "rec2"))),
            "server": lambda: _on_rec2(case),
            "tool": lambda: send(rig, case.agent, tool="echo_args"),
        }[whose]()
        if whose == "grant":
            assert other.status == 404, "that grant does not open this server"
        else:
            assert told(other)["reason_code"] == "pending"
        assert executed(rig, before) == 0
        assert rig.rec2.counts["gated"] == 0
        assert told(send(rig, case.agent)) == {}


def _on_rec2(case: Case) -> Response:
    return case.raw(request("POST", "/mcp/rec2", headers(case.agent.token, name="gated"), call(b'"gated"')))


def test_appr_06_arguments_that_were_altered_in_the_database_are_refused(rig: Rig) -> None:
    with rig.case(log=False) as case:
        case.counted = False
        before, approval = rig.rec.counts["gated"], held(case, arguments=b'{"a":1}')
        with closing(sqlite3.connect(rig.proxy.database, timeout=10)) as database, database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(approvals)")}
            assert "digest" in columns
            database.execute("UPDATE approvals SET digest = ? WHERE id = ?", ("x" * 43, approval["id"]))
        vote(rig, approval["id"], "approve", "user:p0")
        send(rig, case.agent, b'{"a":1}')
        assert executed(rig, before) == 0


# --- time, policy, and going away -------------------------------------------------------------------------------------


def test_appr_04_what_was_approved_in_time_is_not_used_late(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["pay"], held(case, tool="pay")["id"]
        assert vote(rig, id, "approve", "user:p0").status == 200
        until(lambda: rig.proxy.approval(id)["state"] == "expired", lambda: "it does not expire")
        assert told(send(rig, case.agent, tool="pay"))["reason_code"] == "pending"
        assert executed(rig, before, "pay") == 0


@pytest.mark.parametrize("how", ["revoked", "frozen"], ids=lambda how: f"APPR-11-{how}")
def test_what_ends_a_right_ends_what_was_approved_under_it(rig: Rig, how: str) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["gated"], held(case)["id"]
        if how == "revoked":
            grants = rig.proxy.ask("GET", "/grants")["items"]
            grant = next(each["id"] for each in grants if each["principal"] == case.agent.principal)
            rig.proxy.ask("DELETE", f"/grants/{grant}")
        else:
            rig.proxy.ask("POST", "/freezes", {"scope": "principal", "name": case.agent.principal, "reason": "test"})
        assert vote(rig, id, "approve", "user:p0").status == 409
        answer = send(rig, case.agent)
        assert answer.status == 401 if how == "revoked" else told(answer)["reason_code"] == "frozen"
        assert executed(rig, before) == 0


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig whose held calls wait until something ends them."""
    how = {"hold": "60s", "hold_modern": "60s", "expires": "5m"}
    with Rig(tmp_path_factory.mktemp("patient"), policies={"held.yaml": POLICY}, approvals=how) as rig:
        yield rig


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("how", ["revoked", "frozen", "withdrawn"])
def test_a_held_call_is_told_what_ended_it(patient: Rig, how: str, era: Era) -> None:
    """Never as a person's refusal, and the same whichever of the approval and the stream ends first."""
    with patient.case() as case, patient.wire(case.agent.source) as wire:
        case.counted = False
        before = patient.rec.counts["gated"]
        wire.send(request("POST", "/mcp/rec", headers(case.agent.token, era, name="gated"), call(b'"gated"', era=era)))
        id = patient.proxy.pending(principal=case.agent.principal)["id"]
        if how == "frozen":
            stop = {"scope": "principal", "name": case.agent.principal, "reason": "test"}
            patient.proxy.ask("POST", "/freezes", stop)
        elif how == "revoked":
            grants = patient.proxy.ask("GET", "/grants")["items"]
            grant = next(each["id"] for each in grants if each["principal"] == case.agent.principal)
            patient.proxy.ask("DELETE", f"/grants/{grant}")
        else:
            patient.proxy.ask("POST", f"/approvals/{id}/withdraw", {"note": "asked twice"})
        answer = wire.response()
        body = answer.body if era == "modern" else answer.body.split(b"data: ")[-1]
        said = orjson.loads(body)["result"]
        code, retry, words = {
            "frozen": ("frozen", "never", "An operator has stopped this principal or server."),
            "revoked": ("unauthenticated", "never", "The credential is no longer valid."),
            "withdrawn": ("approval_denied", "same_call", "An operator withdrew the request for approval."),
        }[how]
        found = said["_meta"]["io.policylayer/decision"]
        assert (found["reason_code"], found["retry"]) == (code, retry)
        assert words in said["content"][0]["text"]
        assert executed(patient, before) == 0


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"APPR-19-{era}")
def test_nothing_runs_for_a_client_that_is_gone(rig: Rig, era: Era) -> None:
    with rig.case() as case:
        case.counted = False
        before = rig.rec.counts["gated"]
        wire = rig.wire(case.agent.source)
        wire.send(request("POST", "/mcp/rec", headers(case.agent.token, era, name="gated"), call(b'"gated"', era=era)))
        id = rig.proxy.pending(principal=case.agent.principal)["id"]
        wire.close()
        rig.proxy.left(id)
        rig.proxy.approve(id)
        time.sleep(0.3)
        assert executed(rig, before) == 0
        assert rig.proxy.approval(id)["state"] == "approved"
        assert told(send(rig, case.agent, era=era)) == {}
        assert executed(rig, before) == 1


def test_appr_22_after_a_denial_the_same_call_is_no_new_prompt(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        before, id = rig.rec.counts["gated"], held(case)["id"]
        assert vote(rig, id, "deny", "user:p0", "not today").status == 200
        for era in ERAS * 10:
            answer = send(rig, case.agent, era=era)
            assert (told(answer)["reason_code"], told(answer)["approval_id"]) == ("approval_denied", id)
            assert "not today" in answer.json["result"]["content"][0]["text"]
        assert executed(rig, before) == 0


def test_appr_14_what_is_not_there_looks_alike(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        held(case)
        found = {
            (a.status, a.body)
            for a in (vote(rig, id, "approve", "user:p0") for id in ("apr_" + c * 24 for c in "aZ0_"))
        }
        assert len(found) == 1
        assert found.pop()[0] == 404


# --- what an approver sees --------------------------------------------------------------------------------------------

HOSTILE = {
    "html": "<script>alert(1)</script>",
    "ansi": "\x1b[2K\x1b[1A\x1b[31mapproved\x1b[0m",
    "rtl": "\u202etxt.exe\u202c",
    "cr": "harmless\rrm -rf /",
    "homoglyph": "р\u0430ypal",
    "markdown": "[click](javascript:alert(1))",
    "zero-width": "de\u200blete",
    "tags": "ok\U000e0064\U000e0065",
    "fillers": "rm\u3164-rf\ufe0f\u2800",
}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: f"APPR-16-{name}")
def test_hostile_arguments_are_shown_whole_and_inert(rig: Rig, name: str) -> None:
    with rig.case() as case:
        case.counted = False
        id = held(case, arguments=json.dumps({"note": HOSTILE[name]}).encode())["id"]
        seen = rig.proxy.approval(id)
        assert seen["arguments"] == {"note": HOSTILE[name]}
        assert seen["arguments_complete"] is True
        way = {"POLICYLAYER_URL": rig.proxy.url, "POLICYLAYER_TOKEN": rig.proxy.person("user:p0")}
        printed = rig.proxy.cli("approvals", "show", id, env=way).stdout
        assert not [char for char in printed if not shows(char) and char != "\n"], printed


def test_appr_17_nothing_is_hidden_behind_what_is_long(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        text = "benign " * 15_000 + "rm -rf /"
        id = held(case, arguments=json.dumps({"script": text}).encode())["id"]
        seen = rig.proxy.approval(id)
        assert seen["arguments"]["script"] == text
        way = {"POLICYLAYER_URL": rig.proxy.url, "POLICYLAYER_TOKEN": rig.proxy.person("user:p0")}
        short = rig.proxy.cli("approvals", "show", id, env=way)
        assert "TRUNCATED" in short.stdout
        assert "before you have seen all" in short.stderr
        assert "rm -rf /" in rig.proxy.cli("approvals", "show", id, "--full", env=way).stdout
