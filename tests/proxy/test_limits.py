"""Limits in the running service, both eras: refused beyond them, held, passed when approved, given back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.rig import call, modern_call, request
from tests.proxy.slice import World, world
from tests.support.ports import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.shows("policy.4")]
ERAS = pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])
POLICY = """\
policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
limits:
  spend: {sum: args.amount, max: 10.5, per: hour, by: [principal.id, args.currency]}
  asked: {sum: args.amount, max: 10, per: hour, over: require_approval}
rules:
  - {id: asks-back, methods: ["elicitation/*"], effect: allow}
  - {id: pay, tools: [safe], effect: allow}
  - {id: budget, tools: [safe], limits: [spend]}
  - {id: rate, tools: [danger], effect: allow, limits: [2/hour]}
  - id: asks
    tools: [echo_args]
    effect: allow
    limits: [asked]
    approval: {approvers: ["user:approver"]}
    reason: More than 10 an hour needs a word.
  - {id: held, tools: [gated], effect: require_approval, limits: [{sum: args.amount, max: 10, per: hour, over: require_approval}]}
"""  # noqa: E501


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, POLICY) as made:
        yield made


@contextlib.contextmanager
def under_way(whole: World, message: dict[str, Any]) -> Iterator[asyncio.Task[Any]]:
    """A call that is held, asked in the background."""
    task = asyncio.get_running_loop().create_task(whole.ask(message))
    yield task
    task.cancel()


async def pending(whole: World, count: int = 1) -> list[dict[str, Any]]:
    """The approvals that wait, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := (await whole.service.backstage.approvals.list("pending"))[0]) < count:
            await asyncio.sleep(0.01)
    return list(found)


def told(answer: tuple[int, Any]) -> dict[str, Any]:
    """What the agent's program is told of a refused call."""
    found: dict[str, Any] = answer[1]["result"]["_meta"]["io.policylayer/decision"]
    return found


def text(answer: tuple[int, Any]) -> str:
    return str(answer[1]["result"]["content"][0]["text"])


def pay(made: Any, amount: Any, currency: Any = "usd", tool: str = "safe", id: int = 1) -> dict[str, Any]:
    message: dict[str, Any] = made(tool, {"amount": amount, "currency": currency}, id)
    return message


@ERAS
async def test_beyond_a_limit_a_call_is_refused_and_told_when_to_come_back(whole: World, made: Any) -> None:
    for _ in range(2):
        assert text(await whole.ask(made("danger"))) == "danger done"
    refused = await whole.ask(made("danger"))
    assert told(refused)["reason_code"] == "over_limit"
    assert told(refused)["retry"] == "after"
    assert 3590 < told(refused)["retry_after"] <= 3600
    assert "Rule shop/rate: over the limit shop/rate#1." in text(refused)
    assert whole.recording.counts == {"danger": 2}
    assert text(await whole.ask(made("danger"), "bob")) == "danger done"


@ERAS
async def test_many_at_once_never_spend_more(whole: World, made: Any) -> None:
    """POL-26."""
    answers = await asyncio.gather(*(whole.ask(pay(made, 0.5, id=n)) for n in range(100)))
    done = [answer for answer in answers if text(answer) == "safe done"]
    assert len(done) == whole.recording.counts["safe"] == 21
    assert text(await whole.ask(pay(made, 10.5, "eur"))) == "safe done"
    assert told(await whole.ask(pay(made, 0.01, "eur")))["reason_code"] == "over_limit"


@pytest.mark.parametrize("amount", [-1, "1", None, True, [1], {}, 1e999])
async def test_what_cannot_be_counted_is_refused(whole: World, amount: Any) -> None:
    """POL-26: negative, no number, infinite."""
    status, answer = await whole.ask(pay(call, amount))
    if amount == 1e999:
        assert status == 400
    else:
        assert told((status, answer))["reason_code"] == "indeterminate"
    assert whole.recording.counts == {}


async def test_one_call_that_is_too_much_need_not_come_back(whole: World) -> None:
    refused = told(await whole.ask(pay(call, 11)))
    assert (refused["retry"], refused["retry_after"]) == ("changed", None)


@ERAS
async def test_a_limit_that_asks_is_held_and_passed_when_approved(whole: World, made: Any) -> None:
    assert "9" in text(await whole.ask(pay(made, 9, tool="echo_args")))
    with under_way(whole, pay(made, 4, tool="echo_args")) as asked:
        (approval,) = await pending(whole)
        assert approval["exceeds"] == ["shop/asked"]
        assert [rule["rule"] for rule in approval["rules"]] == ["asks"]
        await whole.approve()
        assert json.loads(text(await asked))["amount"] == 4
    ((amounts,),) = [row for row in whole.rows("charges") if row[0] and '"amount":"4"' in row[0]]
    assert json.loads(amounts)[0]["counter"] == "shop/asked"
    with under_way(whole, pay(made, 0.5, tool="echo_args")) as asked:
        await pending(whole)
        await whole.approve("deny", "enough")
        assert "enough" in text(await asked)
    assert whole.recording.counts == {"echo_args": 2}


async def test_a_limit_exceeded_only_at_release_sends_the_call_back(whole: World) -> None:
    with (
        under_way(whole, pay(call, 8, tool="gated", id=1)) as first,
        under_way(whole, pay(call, 7, tool="gated", id=2)) as second,
    ):
        waiting = await pending(whole, 2)
        assert [approval["exceeds"] for approval in waiting] == [[], []]
        await whole.approve()
        await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        await whole.approve()
        async with asyncio.timeout(20):
            while not (again := await pending(whole))[0]["exceeds"]:
                await asyncio.sleep(0.01)
        assert again[0]["exceeds"] == ["shop/held#1"]
        assert whole.recording.counts == {"gated": 1}
        await whole.approve()
        assert {text(await first), text(await second)} == {"gated done"}
    assert whole.recording.counts == {"gated": 2}


async def test_what_a_server_never_got_is_given_back(tmp_path: Path) -> None:
    async with world(tmp_path, POLICY, url=f"http://127.0.0.1:{free_port()}/mcp") as whole:
        for number in range(3):
            _, answer = await whole.ask(call("danger"))
            assert answer["error"]["code"] == 40502
            await whole.settled(2 * number + 2)
        assert {row[0] for row in whole.rows("state") if row[0]} == {"never_sent"}


async def test_what_a_server_may_have_got_is_kept(whole: World) -> None:
    whole.recording.always = "close_after_read"
    for _ in range(2):
        await whole.ask(call("danger"))
    assert told(await whole.ask(call("danger")))["reason_code"] == "over_limit"


async def test_a_round_of_a_call_is_charged_once(whole: World) -> None:
    _, asked = await whole.ask(modern_call("danger", {"_rec": "input_required"}))
    state, questions = asked["result"]["requestState"], asked["result"]["inputRequests"]
    again = modern_call("danger", {"_rec": "input_required"}, 2)
    again["params"] |= {"requestState": state, "inputResponses": {key: {"action": "accept"} for key in questions}}
    assert "content" in (await whole.ask(again))[1]["result"]
    assert text(await whole.ask(modern_call("danger", {}, 3))) == "danger done"
    assert told(await whole.ask(modern_call("danger", {}, 4)))["reason_code"] == "over_limit"


async def test_what_is_only_observed_is_not_limited(tmp_path: Path) -> None:
    async with world(tmp_path, POLICY) as whole:
        facts = whole.service.endpoint.deps.servers["shop"]
        whole.service.endpoint.deps.servers = {
            **whole.service.endpoint.deps.servers,
            "shop": type(facts)("shop", "observe"),
        }
        for _ in range(4):
            assert text(await whole.ask(call("danger"))) == "danger done"


async def test_lists_do_not_count(whole: World) -> None:
    for _ in range(3):
        await whole.ask(call("danger"))
    _, answer = await whole.ask(request("tools/list"))
    assert "danger" in {tool["name"] for tool in answer["result"]["tools"]}
