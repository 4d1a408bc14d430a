"""Meta-tools in the running service, both eras: held, streamed, masked, labelled, observed, asked back, explained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.rig import call, modern_call, request
from tests.proxy.slice import World, world
from tests.proxy.test_limits import pending, text, told, under_way

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])
UNWRAP = [
    {"tool": "safe", "name": "args.tool", "arguments": "args.with"},
    {"tool": "echo_args", "each": "args.calls", "name": "item.tool", "arguments": "item.with"},
]
POLICY = """\
policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: metas, tools: [safe, echo_args], effect: allow}
  - {id: read, tools: ["get_*"], effect: allow, mask: [{pattern: email}], label: [untrusted]}
  - {id: send, tools: [send], when: {session.labels: {every: {neq: untrusted}, absent: match}}, effect: allow}
  - {id: pay, tools: [pay], when: {args.amount: {lte: 5}}, effect: allow}
  - id: gated
    tools: [pay]
    when: {args.amount: {gt: 5}}
    effect: require_approval
    approval: {approvers: ["user:approver"]}
    reason: Ask first.
  - {id: never, tools: ["delete_*"], effect: deny, reason: Nobody does that., instead: Archive it.}
  - {id: asks, methods: ["elicitation/*"], effect: allow}
"""


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, POLICY, unwrap=UNWRAP) as made:
        yield made


async def begin(whole: World, made: Any) -> None:
    if made is call:
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        assert (await whole.ask(request("initialize", params)))[0] == 200


def inner(made: Any, tool: str, id: int = 1, /, **arguments: Any) -> dict[str, Any]:
    """A call of `safe` that is to call this one."""
    more = {key: arguments.pop(key) for key in ("_rec",) if key in arguments}
    message: dict[str, Any] = made("safe", {"tool": tool, "with": arguments, **more}, id)
    return message


@ERAS
async def test_denied_in_words_that_help(whole: World, made: Any) -> None:
    await begin(whole, made)
    answer = await whole.ask(inner(made, "delete_all"))
    assert text(answer).split("\n")[:3] == [
        "Refused: safe on shop.",
        "Inner call delete_all: Rule shop/never: Nobody does that.",
        "Instead: Archive it.",
    ]
    assert (told(answer)["rule"], told(answer)["retry"]) == ("shop/never", "never")
    assert whole.recording.counts == {}


@ERAS
async def test_a_held_inner_call_runs_once_and_only_as_it_was_approved(whole: World, made: Any) -> None:
    await begin(whole, made)
    with under_way(whole, inner(made, "pay", amount=9)) as asked:
        (approval,) = await pending(whole)
        assert (approval["target"], approval["arguments"]) == ("safe", {"tool": "pay", "with": {"amount": 9}})
        assert approval["reason"] == "inner call pay: rule shop/gated: Ask first."
        assert whole.recording.counts == {}
        await whole.approve()
        assert text(await asked) == "safe done"
    assert whole.recording.counts == {"safe": 1}
    for other in (inner(made, "pay", 2, amount=10), made("safe", {"tool": "pay", "with": {"amount": 9}, "x": 1}, 3)):
        with under_way(whole, other) as asked:
            await pending(whole)
            await whole.approve("deny", "no")
            assert "no" in text(await asked)
    assert whole.recording.counts == {"safe": 1}
    rows = await whole.settled(7)
    assert [(kind, effect) for kind, effect, *_ in rows if effect] == [
        ("decision", "require_approval"),
        ("release", "allow"),
        ("decision", "require_approval"),
        ("decision", "require_approval"),
    ]


@ERAS
async def test_one_approval_for_a_batch_of_calls(whole: World, made: Any) -> None:
    await begin(whole, made)
    calls = [{"tool": "pay", "with": {"amount": each}} for each in (1, 9, 8)]
    with under_way(whole, made("echo_args", {"calls": calls})) as asked:
        await pending(whole)
        await whole.approve()
        assert "9" in text(await asked)
    mixed = made("echo_args", {"calls": [*calls, {"tool": "delete_x"}]})
    assert told(await whole.ask(mixed))["reason_code"] == "rule"
    assert whole.recording.counts == {"echo_args": 1}


@ERAS
async def test_an_answer_in_a_stream_is_masked_as_the_inner_rule_says(whole: World, made: Any) -> None:
    await begin(whole, made)
    answer = await whole.ask(inner(made, "get_mail", _rec="sse"))
    assert "result" in answer[1], answer
    message = made("echo_args", {"calls": [{"tool": "get_x", "with": {"to": "a@b.io"}}]}, 2)
    assert "[masked]" in text(await whole.ask(message))
    plain = made("echo_args", {"calls": [{"tool": "pay", "with": {"amount": 1, "to": "a@b.io"}}]}, 3)
    assert "a@b.io" in text(await whole.ask(plain))


@ERAS
async def test_what_an_inner_call_read_taints_the_grant(whole: World, made: Any) -> None:
    await begin(whole, made)
    assert text(await whole.ask(inner(made, "send"))) == "safe done"
    assert text(await whole.ask(inner(made, "get_page", 2))) == "safe done"
    answer = await whole.ask(inner(made, "send", 3))
    assert told(answer)["reason_code"] == "not_applicable"
    assert whole.recording.counts == {"safe": 2}


@ERAS
async def test_a_server_in_observe_mode_forwards_and_tells(tmp_path: Path, made: Any) -> None:
    async with world(tmp_path, POLICY, unwrap=UNWRAP, mode="observe") as whole:
        await begin(whole, made)
        assert text(await whole.ask(inner(made, "delete_all"))) == "safe done"
        assert text(await whole.ask(made("safe", {"tool": 5}, 2))) == "safe done"
        rows = [row for row in whole.rows("kind, effect, enforced, reason_code") if row[0] == "decision"]
        assert rows == [("decision", "deny", "allow", "rule"), ("decision", "deny", "allow", "indeterminate")]


async def test_a_round_is_decided_again_with_what_is_inside(whole: World) -> None:
    """The server asks back; the answer goes on with the same call, and another inner tool is another call."""
    asked = await whole.ask(inner(modern_call, "pay", amount=1, _rec="input_required"))
    result = asked[1]["result"]
    assert result["resultType"] == "input_required"
    answers = {key: {"action": "accept", "content": {}} for key in result["inputRequests"]}
    more = {"requestState": result["requestState"], "inputResponses": answers}
    for tool, expected in (("delete_all", "rule"), ("unknown", "not_applicable")):
        message = inner(modern_call, tool, 2, amount=1, _rec="input_required")
        message["params"] |= more
        assert told(await whole.ask(message))["reason_code"] == expected
    message = inner(modern_call, "pay", 3, amount=1, _rec="input_required")
    message["params"] |= more
    assert "result" in (await whole.ask(message))[1]
    rows = [row for row in whole.rows("kind, method, effect") if row[0] != "outcome"]
    assert [(kind, effect) for kind, method, effect in rows if method == "tools/call"] == [
        ("decision", "allow"),
        ("decision", "deny"),
        ("decision", "deny"),
        ("round", "allow"),
    ]


async def test_a_recorded_call_is_explained_and_found_by_what_is_inside(whole: World) -> None:
    answer = await whole.ask(inner(modern_call, "pay", amount="9"))
    id = told(answer)["decision_id"]
    headers = {"Authorization": f"Bearer {whole.approver}"}
    base = f"{whole.served.url}/api/v1/decisions"
    async with whole.http.get(f"{base}/{id}/explain", headers=headers) as got:
        explained = await got.json()
    assert explained["decision"]["reason_code"] == "indeterminate"
    assert explained["inside"][0]["question"]["target"] == "pay"
    assert [step["field"] for step in explained["own_change"]["steps"]] == ["args.with.amount"]
    for query, found in (("q=pay", 1), ("q=nothing_such", 0), ("target=safe", 1)):
        async with whole.http.get(f"{base}?{query}", headers=headers) as got:
            items = (await got.json())["items"]
        assert len(items) == found, query
    assert items[0]["detail"]["inner"] == [
        {"target": "pay", "effect": "deny", "reason_code": "indeterminate", "rules": ["shop/gated"]}
    ]


async def test_a_meta_tool_is_listed_and_what_it_may_call_is_not(whole: World) -> None:
    await begin(whole, call)
    _, answer = await whole.ask(request("tools/list"))
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["safe", "echo_args"]


async def test_two_identical_held_calls_wait_for_one_approval(whole: World) -> None:
    await begin(whole, call)
    with (
        under_way(whole, inner(call, "pay", amount=9)) as first,
        under_way(whole, inner(call, "pay", 2, amount=9)) as second,
    ):
        await pending(whole)
        await asyncio.sleep(0.1)
        assert len(await pending(whole)) == 1
        await whole.approve()
        done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        assert text(done.pop().result()) == "safe done"
    assert whole.recording.counts == {"safe": 1}
