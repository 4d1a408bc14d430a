"""Decisions, approvals, freezes, policy and health through the API, over rows that the decision log really wrote."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from policylayer.api.services import Part
from policylayer.api.table import ROUTES
from policylayer.core.decision import Effect
from policylayer.core.errors import AuditUnavailable, PolicyError
from tests.api.rig import Rig
from tests.api.written import row

pytestmark = pytest.mark.anyio


async def test_decisions_are_paged_filtered_and_redacted(rig: Rig) -> None:
    for number in range(5):
        await row(rig, target=f"tool{number}", password="hunter2")
    denied = await row(rig, Effect.DENY, target="drop")
    first = (await rig.ask("GET", "/decisions", "viewer", query={"limit": "4"})).json
    rest = (await rig.ask("GET", "/decisions", "viewer", query={"limit": "4", "cursor": first["next"]})).json
    assert [each["target"] for each in first["items"] + rest["items"]] == [
        "drop",
        *(f"tool{number}" for number in (4, 3, 2, 1, 0)),
    ]
    assert rest["next"] is None
    assert "hunter2" not in str(first)
    onward = (await rig.ask("GET", "/decisions", "viewer", query={"after": rest["items"][-1]["id"]})).json
    assert [each["target"] for each in onward["items"]] == ["tool1", "tool2", "tool3", "tool4", "drop"]
    both = {"after": denied.row_id, "cursor": denied.row_id}
    assert (await rig.ask("GET", "/decisions", "viewer", query=both)).status == 400

    for query, count in (
        ({"effect": "deny"}, 1),
        ({"target": "tool1"}, 1),
        ({"principal": "agent:none"}, 0),
        ({"rule": "shop/refunds"}, 6),
        ({"q": "DROP"}, 1),
        ({"since": "2020-01-01T00:00:00Z"}, 6),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
    ):
        found = (await rig.ask("GET", "/decisions", "viewer", query=query)).json["items"]
        assert len(found) == count, query
    one = (await rig.ask("GET", f"/decisions/{denied.row_id}", "viewer")).json
    assert (one["effect"], one["rules"][0]["line"], one["outcome"]["state"]) == ("deny", 7, "never_sent")
    assert (await rig.ask("GET", "/decisions/nothing", "viewer")).status == 404
    assert (await rig.ask("GET", "/events", "viewer", query={"type": "chain."})).json["items"]


async def test_an_approval_is_decided_once_by_who_may(rig: Rig) -> None:
    held = await row(rig, Effect.REQUIRE_APPROVAL, amount=5, password="hunter2")
    path = f"/approvals/{held.approval_id}"
    (listed,) = (await rig.ask("GET", "/approvals", "approver", query={"state": "pending"})).json["items"]
    assert listed["id"] == held.approval_id
    assert (await rig.ask("GET", path, "approver")).json["arguments"] == {"amount": 5, "password": "hunter2"}
    assert (await rig.ask("GET", path, "viewer")).json["arguments"] is None

    refused = await rig.ask("POST", f"{path}/approve", "operator", body={})
    assert (refused.status, refused.json["code"]) == (403, "not_an_approver")
    assert (await rig.ask("POST", f"{path}/approve", "approver", body={"note": "x" * 2001})).status == 400
    done = await rig.ask("POST", f"{path}/approve", "approver", body={"note": "fine"})
    assert (done.status, done.json["state"], done.json["votes"][0]["note"]) == (200, "approved", "fine")
    again = await rig.ask("POST", f"{path}/deny", "approver")
    assert (again.status, again.json["code"], again.json["state"]) == (409, "state", "approved")
    ended = await rig.ask("POST", f"{path}/withdraw", "operator", body={"note": "stop"})
    assert (ended.status, ended.json["state"]) == (200, "cancelled")
    assert (await rig.ask("POST", "/approvals/nothing/approve", "approver")).status == 404


@pytest.mark.shows("proxy.8")
async def test_similar_calls_are_allowed_listed_and_not_any_more(rig: Rig) -> None:
    held = await row(rig, Effect.REQUIRE_APPROVAL, amount=5, to="acme")
    wish = {"for": "15m", "uses": 3, "same": ["to"]}
    done = await rig.ask("POST", f"/approvals/{held.approval_id}/approve", "approver", body={"similar": wish})
    (given,) = done.json["waivers"]
    assert (done.status, done.json["state"]) == (200, "approved")
    assert {name: given[name] for name in ("rule", "principal", "target", "same", "exact", "uses_left")} == {
        "rule": "shop/refunds",
        "principal": "agent:bot",
        "target": "refund",
        "same": ["to"],
        "exact": False,
        "uses_left": 3,
    }
    assert (await rig.ask("GET", f"/approvals/{held.approval_id}", "viewer")).json["waivers"] == [given]
    assert (await rig.ask("GET", "/approvals", "viewer")).json["items"][0]["waivers"] == [given]
    listed = (await rig.ask("GET", "/waivers", "viewer", query={"limit": "1"})).json
    assert listed == {"items": [given], "next": None}
    assert "acme" not in str(listed)
    path = f"/waivers/{given['id']}/revoke"
    assert (await rig.ask("POST", path, "viewer")).json["code"] == "insufficient_role"
    ended = await rig.ask("POST", path, "approver")
    assert (ended.status, ended.json["revoked_by"]) == (200, "user:approver")
    again = await rig.ask("POST", path, "approver")
    assert (again.status, again.json["code"]) == (404, "not_found")
    assert "approvals waivers" in again.json["help"]
    assert (await rig.ask("GET", "/waivers")).json["items"] == []
    events = (await rig.ask("GET", "/events", query={"type": "waiver."})).json["items"]
    assert [(event["type"], event["actor"], event["detail"]["waiver_id"]) for event in events] == [
        ("waiver.revoked", "user:approver", given["id"]),
        ("waiver.created", "user:approver", given["id"]),
    ]


@pytest.mark.parametrize(
    ("wish", "status", "said"),
    [
        ({"for": "25h"}, 422, "at most 24 hours"),
        ({"for": "0s"}, 422, "at most 24 hours"),
        ({"for": "an hour"}, 422, "`similar.for` is not a duration"),
        ({"for": "1h", "same": ["CANARY"]}, 422, "the call has no such argument"),
        ({"for": "1h", "uses": 1001}, 400, "/similar/uses"),
        ({"for": "1h", "uses": 0}, 400, "/similar/uses"),
        ({"for": "1h", "forever": True}, 400, "/similar"),
        ({"uses": 1}, 400, "/similar"),
        ("1h", 400, "/similar"),
    ],
)
async def test_a_wish_that_cannot_be_is_refused_with_the_vote(rig: Rig, wish: Any, status: int, said: str) -> None:
    held = await row(rig, Effect.REQUIRE_APPROVAL, amount=5)
    path = f"/approvals/{held.approval_id}"
    refused = await rig.ask("POST", f"{path}/approve", "approver", body={"similar": wish})
    assert (refused.status, said in refused.json["detail"]) == (status, True), refused.json
    assert refused.json["code"] == ("waiver" if status == 422 else "bad_body")
    assert (status == 400) or refused.json["help"]
    assert b"CANARY" not in refused.body
    assert (await rig.ask("GET", path)).json["state"] == "pending"


async def test_similar_calls_are_for_who_approves(rig: Rig) -> None:
    held = await row(rig, Effect.REQUIRE_APPROVAL, amount=5)
    for verb in ("deny", "withdraw"):
        body = {"similar": {"for": "1h"}}
        refused = await rig.ask("POST", f"/approvals/{held.approval_id}/{verb}", "approver", body=body)
        assert refused.status in (400, 403)
    assert (await rig.ask("GET", f"/approvals/{held.approval_id}")).json["state"] == "pending"
    refused = await rig.ask("POST", f"/approvals/{held.approval_id}/approve", "operator", body=body)
    assert (refused.status, refused.json["code"]) == (403, "not_an_approver")
    assert (await rig.ask("GET", "/waivers")).json["items"] == []


async def test_a_waiver_is_ended_by_who_may_vote_on_its_rule_or_operates(rig: Rig) -> None:
    """Another approver, whom the rule does not name, may not."""
    body = {"role": "approver", "principal": "user:other"}
    other = f"Bearer {(await rig.ask('POST', '/tokens', body=body)).json['token']}"
    for who, status in ((other, 403), ("operator", 200)):
        held = await row(rig, Effect.REQUIRE_APPROVAL, target=who[:6], amount=5)
        path = f"/approvals/{held.approval_id}/approve"
        given = (await rig.ask("POST", path, "approver", body={"similar": {"for": "1h"}})).json["waivers"][0]
        answer = await rig.ask("POST", f"/waivers/{given['id']}/revoke", who)
        assert answer.status == status
    assert len((await rig.ask("GET", "/waivers")).json["items"]) == 1


async def test_nobody_approves_a_call_of_their_own(rig: Rig) -> None:
    held = await row(rig, Effect.REQUIRE_APPROVAL, principal="user:approver")
    answer = await rig.ask("POST", f"/approvals/{held.approval_id}/approve", "approver")
    assert (answer.status, answer.json["code"]) == (403, "self_approval")


async def test_a_freeze_ends_what_it_concerns(rig: Rig) -> None:
    held = await row(rig, Effect.REQUIRE_APPROVAL)
    asked = {"scope": "principal", "name": "agent:bot", "reason": "leaked"}
    made = await rig.ask("POST", "/freezes", "operator", body=asked)
    assert (made.status, made.json["created_by"]) == (201, "user:operator")
    assert (await rig.ask("GET", f"/approvals/{held.approval_id}")).json["state"] == "cancelled"
    assert len((await rig.ask("GET", "/freezes", "viewer")).json["items"]) == 1
    assert (await rig.ask("POST", "/thaw", "operator", body={"scope": "all"})).status == 404
    thawed = await rig.ask("POST", "/thaw", "operator", body={"scope": "principal", "name": "agent:bot"})
    assert [each["reason"] for each in thawed.json["thawed"]] == ["leaked"]
    assert (await rig.ask("GET", "/freezes", "viewer")).json["items"] == []


async def test_freezes_are_paged_and_what_is_frozen_is_answered_with_what_stands(rig: Rig) -> None:
    for name in ("agent:a", "agent:b", "agent:a"):
        asked = {"scope": "principal", "name": name, "reason": f"of {name}"}
        made = (await rig.ask("POST", "/freezes", "operator", body=asked)).json
        assert "nobody has this name" in made.pop("warning")
    first = (await rig.ask("GET", "/freezes", "viewer", query={"limit": "1"})).json
    rest = (await rig.ask("GET", "/freezes", "viewer", query={"limit": "1", "cursor": first["next"]})).json
    assert [each["name"] for each in first["items"]] == ["agent:b"]
    assert (rest["items"], rest["next"]) == ([made], None)
    bad = await rig.ask("GET", "/freezes", "viewer", query={"cursor": "x"})
    assert (bad.status, bad.json["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"scope": "all", "reason": "x"}, 201),
        ({"scope": "all", "name": "y", "reason": "x"}, 400),
        ({"scope": "server", "reason": "x"}, 400),
        ({"scope": "server", "name": "nowhere", "reason": "x"}, 422),
        ({"scope": "server", "name": "shop", "reason": "x"}, 201),
        ({"scope": "planet", "name": "earth", "reason": "x"}, 400),
        ({"scope": "all"}, 400),
        *(
            ({"scope": "principal", "name": name, "reason": "x"}, 400)
            for name in (
                "refund-bot",
                "refund bot",
                "agent:*",
                "agent:re*",
                "group:leads",
                "agent:a b",
                "agent:",
                "a::b",
            )
        ),
    ],
)
async def test_what_can_be_frozen(rig: Rig, body: dict[str, Any], status: int) -> None:
    answer = await rig.ask("POST", "/freezes", body=body)
    assert answer.status == status
    if body["scope"] == "principal":
        assert answer.json["help"].startswith(("write it like `agent:dev`", "name one of its members"))
    assert ("`shop`" in answer.json.get("help", "")) == (status == 422)


@pytest.mark.parametrize(
    ("name", "warning"),
    [("agent:bot", None), ("user:ada", None), ("agent:bott", "did you mean `agent:bot`?"), ("svc:42", "grant list`")],
)
async def test_who_freezes_what_nobody_is_is_told(rig: Rig, name: str, warning: str | None) -> None:
    made = await rig.ask("POST", "/freezes", body={"scope": "principal", "name": name, "reason": "odd"})
    assert made.status == 201
    assert [each["name"] for each in (await rig.ask("GET", "/freezes")).json["items"]] == [name]
    assert ("warning" in made.json) == (warning is not None)
    assert (warning or "") in made.json.get("warning", "")


@pytest.mark.parametrize("failure", [PolicyError("there is no folder"), PermissionError(13, "There is no folder")])
async def test_a_freeze_is_answered_though_nobody_can_be_looked_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def principals() -> frozenset[str]:
        raise failure

    monkeypatch.setattr(type(rig.policies), "principals", lambda _: principals())
    made = await rig.ask("POST", "/freezes", body={"scope": "principal", "name": "agent:x", "reason": "odd"})
    assert (made.status, made.json["name"]) == (201, "agent:x")
    assert made.json["warning"] == "whether anybody has this name is not known: there is no folder"


async def test_policy_and_reload(rig: Rig) -> None:
    assert (await rig.ask("GET", "/policy", "viewer")).json["revision"] == "sha256:00"
    assert (await rig.ask("POST", "/reload", "operator")).status == 200
    assert rig.policies.reloads == 1


# --- health -----------------------------------------------------------------------------------------------------------


async def test_health_says_little_to_strangers(rig: Rig) -> None:
    rig.parts.append(Part("policy", True, {"revision": "sha256:00"}))
    assert (await rig.ask("GET", "/healthz", None, prefix="")).json == {"status": "up"}
    here = await rig.ask("GET", "/readyz", None, prefix="")
    assert (here.status, here.json["parts"]["policy"]) == (200, {"ready": True, "revision": "sha256:00"})
    for stranger in ({"ip": "10.0.0.1"}, {"headers": {"x-forwarded-for": "10.0.0.1"}}, {"role": "Bearer x"}):
        answer = await rig.ask("GET", "/readyz", **{"role": None, "prefix": "", **stranger})
        assert answer.json["parts"]["policy"] == {"ready": True}
        assert (await rig.ask("GET", "/metrics", **{"role": None, "prefix": "", **stranger})).status == 401
    assert (await rig.ask("GET", "/readyz", "viewer", prefix="", ip="10.0.0.1")).json["parts"]["policy"]["revision"]


async def test_whoever_cannot_be_checked_is_a_stranger(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_work: object) -> None:
        raise AuditUnavailable("the database did not answer in time")

    rig.parts.append(Part("database", False, {"path": "x.db"}))
    monkeypatch.setattr(rig.backstage.store, "read", away)
    for path, status in (("/readyz", 503), ("/metrics", 401)):
        without = await rig.ask("GET", path, None, prefix="", ip="10.0.0.1")
        for ip in ("10.0.0.1", "127.0.0.1"):
            with_token = await rig.ask("GET", path, "viewer", prefix="", ip=ip)
            assert (with_token.status, with_token.json) == (without.status, without.json)
        assert without.status == status


async def test_a_part_that_is_not_well_is_not_ready(rig: Rig) -> None:
    rig.parts.append(Part("policy", False))
    answer = await rig.ask("GET", "/readyz", None, prefix="")
    assert (answer.status, answer.json["status"]) == (503, "not_ready")
    assert 'policylayer_ready{part="policy"} 0' in (await rig.ask("GET", "/metrics", None, prefix="")).body.decode()


async def test_a_database_that_is_gone_is_not_ready(rig: Rig) -> None:
    await rig.backstage.store.close()
    answer = await rig.ask("GET", "/readyz", None, prefix="")
    assert (answer.status, answer.json["parts"]["database"]["ready"]) == (503, False)
    assert (await rig.ask("GET", "/healthz", None, prefix="")).status == 200
    assert (await rig.ask("GET", "/me", "viewer")).status == 503


@pytest.mark.shows("audit.3")
async def test_a_database_that_cannot_be_written_is_not_ready_until_it_can(rig: Rig, tmp_path: Path) -> None:
    """Though it can be read, and though nobody calls meanwhile."""

    async def becomes(status: int) -> None:
        async with asyncio.timeout(15):
            while (await rig.ask("GET", "/readyz", None, prefix="")).status != status:
                await asyncio.sleep(0.05)

    await becomes(200)
    other = sqlite3.connect(rig.backstage.config.database.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await becomes(503)
    answer = await rig.ask("GET", "/readyz", None, prefix="")
    assert answer.json["parts"]["database"] == {"ready": False, "dialect": "sqlite", "writable": False}
    other.execute("ROLLBACK")
    other.close()
    await becomes(200)


async def test_the_resource_is_the_configured_one(rig: Rig) -> None:
    path = "/.well-known/oauth-protected-resource/mcp/"
    answer = await rig.ask("GET", f"{path}shop", None, prefix="", headers={"host": "evil.example"})
    assert answer.json["resource"] == "http://127.0.0.1:8080/mcp/shop"
    assert (await rig.ask("GET", f"{path}nowhere", None, prefix="")).status == 404
    assert (await rig.ask("POST", "/healthz", None, prefix="")).status == 405


# --- who administers is in the log ------------------------------------------------------------------------------------


async def _approval(rig: Rig, target: str) -> str:
    recorded = await row(rig, Effect.REQUIRE_APPROVAL, target=target)
    assert recorded.approval_id is not None
    return recorded.approval_id


async def _changes(rig: Rig) -> dict[str, Any]:
    """What changes something: a route's name, and how it is asked; made in order, since some need others."""
    grant = {"name": "x", "principal": "agent:x", "servers": ["shop"]}
    made = (await rig.ask("POST", "/grants", body={**grant, "name": "y"})).json["id"]
    token = (await rig.ask("POST", "/tokens", body={"principal": "user:x", "role": "viewer"})).json["id"]
    approve, deny, withdraw, waived = [await _approval(rig, target) for target in ("a", "b", "c", "d")]
    similar = {"similar": {"for": "1h"}}
    given = (await rig.ask("POST", f"/approvals/{waived}/approve", "approver", body=similar)).json["waivers"][0]["id"]
    stop = {"scope": "principal", "name": "agent:x"}
    return {
        "createGrant": ("POST", "/grants", grant),
        "rotateGrant": ("POST", f"/grants/{made}/rotate", {}),
        "revokeGrant": ("DELETE", f"/grants/{made}", None),
        "createToken": ("POST", "/tokens", {"principal": "user:y", "role": "viewer"}),
        "revokeToken": ("DELETE", f"/tokens/{token}", None),
        "freeze": ("POST", "/freezes", {**stop, "reason": "for a test"}),
        "thaw": ("POST", "/thaw", stop),
        "reload": ("POST", "/reload", None),
        "approveApproval": ("POST", f"/approvals/{approve}/approve", {}),
        "denyApproval": ("POST", f"/approvals/{deny}/deny", {"note": "no"}),
        "withdrawApproval": ("POST", f"/approvals/{withdraw}/withdraw", {}),
        "revokeWaiver": ("POST", f"/waivers/{given}/revoke", None),
    }


@pytest.mark.shows("audit.1")
async def test_whatever_a_person_changes_is_an_event_with_who_it_was(rig: Rig) -> None:
    changes = await _changes(rig)
    harmless = {"explain"}
    assert {*changes, *harmless} == {route.name for route in ROUTES if route.method != "GET"}
    for name, (method, path, body) in changes.items():
        before = (await rig.ask("GET", "/events", "viewer")).json["items"]
        role = "approver" if name in ("approveApproval", "denyApproval") else "admin"
        answer = await rig.ask(method, path, role, body=body)
        assert answer.status in (200, 201), (name, answer.json)
        after = (await rig.ask("GET", "/events", "viewer")).json["items"]
        new = after[: len(after) - len(before)] if len(after) < 100 else after[:1]
        assert new, f"{name} leaves no trace"
        assert f"user:{role}" in [event["actor"] for event in new], (name, new)
