"""`/explain`, and `/decisions/{id}/explain`, asked as an API."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from policylayer.api.schemas import standalone
from policylayer.core.commands import Kind, Record, Recorded
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.policy.change_edits import OWN
from tests.api.rig import Rig, api
from tests.audit.support import context

pytestmark = pytest.mark.anyio


def asked(**more: Any) -> dict[str, Any]:
    """An access request."""
    return {"principal": "agent:bot", "server": "shop", "tool": "refund", "arguments": {"amount": 9000}} | more


async def test_a_call_that_nobody_made(tmp_path: Path) -> None:
    async with api(tmp_path) as rig:
        told = (await rig.ask("POST", "/explain", "viewer", body=asked())).json
        assert told["decision"]["effect"] == "deny"
        assert told["decision"]["rules"] == [{"policy": "p", "rule": "large", "file": "p.yaml", "line": 5}]
        assert [rule["outcome"] for rule in told["rules"]] == ["true", "false"]
        assert told["change"]["effect"] == "allow"
        (step,) = told["change"]["steps"]
        assert (step["field"], step["now"], step["to"], step["rule"]) == ("args.amount", 9000, 50, "p/small")
        assert step["field"].partition(".")[0] in OWN


@pytest.mark.parametrize(
    "body",
    [
        {"principal": "agent:bot"},
        {"principal": "agent:bot", "server": "shop"},
        asked(prompt="x"),
        asked(sever="shop"),
        asked(at="noon"),
        asked(at="0001-01-01T00:00:00+14:00"),
        asked(at="9999-12-31T23:59:59Z"),
        asked(arguments=[]),
        {**asked(), "for": "agent:bot"},
    ],
)
async def test_what_is_no_call(tmp_path: Path, body: Any) -> None:
    async with api(tmp_path) as rig:
        answer = await rig.ask("POST", "/explain", body=body)
        assert (answer.status, answer.json["code"]) == (400, "bad_body")


async def row(rig: Rig, code: ReasonCode = ReasonCode.RULE, amount: int = 9000) -> str:
    """A recorded denial."""
    decision = Decision(Effect.DENY, code, Effect.DENY, "sha256:00", reason="then")
    await rig.backstage.recorder.start()
    answer = await rig.backstage.recorder.record(Record(Kind.DECISION, decision), context({"amount": amount}))
    await rig.backstage.recorder.close()
    assert isinstance(answer, Recorded)
    return answer.row_id


async def test_a_recorded_one(tmp_path: Path) -> None:
    async with api(tmp_path) as rig:
        told = (await rig.ask("GET", f"/decisions/{await row(rig)}/explain", "viewer")).json
        assert told["recorded"]["reason"] == "then"
        assert told["recorded"]["revision"] == "sha256:00"
        assert told["decision"]["effect"] == "deny"
        assert told["question"]["arguments"] == {"amount": 9000}
        assert told["change"]["steps"][0]["to"] == 50


async def test_one_that_policy_did_not_decide(tmp_path: Path) -> None:
    async with api(tmp_path) as rig:
        answer = await rig.ask("GET", f"/decisions/{await row(rig, ReasonCode.FROZEN)}/explain")
        assert (answer.status, answer.json["code"]) == (409, "not_decided")
        assert "frozen" in answer.json["detail"]


async def test_one_that_there_is_not(tmp_path: Path) -> None:
    async with api(tmp_path) as rig:
        assert (await rig.ask("GET", "/decisions/x/explain")).status == 404


@pytest.mark.shows("audit.1")
async def test_one_that_is_damaged(tmp_path: Path) -> None:
    """What policy said is not known any more; all else that is asked of the log is answered."""
    async with api(tmp_path) as rig:
        row_id = await row(rig)
        with closing(sqlite3.connect(rig.backstage.config.database.removeprefix("sqlite:///"))) as connection:
            connection.execute("DROP TRIGGER records_no_update")
            connection.execute(
                "UPDATE records SET effect = x'ff', target = CAST(x'ff41' AS TEXT), link = 4000000000000"
            )
            connection.commit()
        answer = await rig.ask("GET", f"/decisions/{row_id}/explain")
        assert (answer.status, answer.json["code"]) == (409, "not_decided")
        assert "damaged" in answer.json["detail"]
        one = await rig.ask("GET", f"/decisions/{row_id}")
        page = await rig.ask("GET", "/decisions")
        assert (one.status, page.status, (await rig.ask("GET", "/events")).status) == (200, 200, 200)
        assert [each["detail"] for each in page.json["items"]] == [{"damaged": ["target", "effect", "link"]}]
        jsonschema_rs.validate(standalone("Decision"), one.json)
