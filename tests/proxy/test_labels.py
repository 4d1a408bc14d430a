"""Labels, delegated calls, trusted hints and obligations on results in the running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policylayer.core.call import Subject
from tests.proxy.rig import call, modern, modern_call, request
from tests.proxy.slice import World, world
from tests.proxy.test_limits import text, told
from tests.support.recording import Recording

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])
POLICY = """\
policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: read, tools: [echo_args], effect: allow, label: [untrusted]}
  - {id: test, tools: [danger], effect: allow, earn: {tests-passed: 30m}}
  - {id: asks-back, methods: ["elicitation/*"], effect: allow}
  - {id: send, tools: [safe], effect: allow}
  - id: nothing-leaves
    tools: [safe]
    effect: deny
    when: {session.labels: {some: untrusted}}
    reason: Nothing leaves after untrusted input.
  - {id: deploy, tools: [gated], effect: allow, when: {session.labels: {some: tests-passed}}}
  - {id: delegated, tools: [slow], for: ["user:owner"], effect: allow}
"""


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, POLICY) as made:
        yield made


@ERAS
async def test_nothing_leaves_after_untrusted_input(whole: World, made: Any) -> None:
    assert text(await whole.ask(made("safe"))) == "safe done"
    await whole.ask(made("echo_args"))
    refused = await whole.ask(made("safe"))
    assert told(refused)["rule"] == "shop/nothing-leaves"
    assert told(await whole.ask(made("safe"), server="other"))["rule"] == "shop/nothing-leaves"
    assert text(await whole.ask(made("safe"), "bob")) == "safe done"
    assert whole.recording.counts == {"safe": 2, "echo_args": 1}
    rows = whole.rows("target, labels, effect")
    assert ("safe", '["untrusted"]', "deny") in rows
    assert ("echo_args", None, "allow") in rows


async def test_a_taint_on_one_server_holds_on_the_others(whole: World) -> None:
    await whole.ask(call("echo_args"), server="other")
    assert told(await whole.ask(call("safe")))["rule"] == "shop/nothing-leaves"


async def test_a_call_that_fails_taints_too(whole: World) -> None:
    """What forwards may bring something back, whatever comes of it."""
    await whole.ask(call("echo_args", {"_rec": "close_after_read"}))
    assert told(await whole.ask(call("safe")))["rule"] == "shop/nothing-leaves"


@ERAS
async def test_what_is_earned_counts_with_the_very_next_call(whole: World, made: Any) -> None:
    assert told(await whole.ask(made("gated")))["reason_code"] == "not_applicable"
    for behaviour in ("is_error", "error", "close_after_read"):
        await whole.ask(made("danger", {"_rec": behaviour}))
        assert told(await whole.ask(made("gated")))["reason_code"] == "not_applicable"
    await whole.ask(made("danger", {"_rec": "sse"}))
    assert text(await whole.ask(made("gated"))) == "gated done"
    assert told(await whole.ask(made("gated"), "bob"))["reason_code"] == "not_applicable"


async def test_a_question_earns_nothing(whole: World) -> None:
    _, asked = await whole.ask(modern_call("danger", {"_rec": "input_required"}))
    assert asked["result"]["resultType"] == "input_required"
    assert told(await whole.ask(modern_call("gated")))["reason_code"] == "not_applicable"


# --- for --------------------------------------------------------------------------------------------------------------


def delegate(whole: World, user: str) -> None:
    """From now on every agent acts for this user, as an identity to come will say."""
    authenticator = whole.service.endpoint.deps.authenticator
    agent = authenticator.agent

    async def for_user(authorization: bytes | None, ip: str | None = None) -> Any:
        caller = await agent(authorization, ip)
        return None if caller is None else replace(caller, on_behalf_of=Subject(user))

    authenticator.agent = for_user  # type: ignore[method-assign]


@ERAS
async def test_only_what_says_for_allows_a_delegated_call(whole: World, made: Any) -> None:
    assert told(await whole.ask(made("slow")))["reason_code"] == "not_applicable"
    assert text(await whole.ask(made("safe"))) == "safe done"
    delegate(whole, "user:owner")
    assert text(await whole.ask(made("slow"))) == "slow done"
    assert told(await whole.ask(made("safe")))["reason_code"] == "not_applicable"
    rows = whole.rows("target, on_behalf_of, effect, principal")
    assert ("slow", "user:owner", "allow", "agent:alice") in rows
    assert ("safe", "user:owner", "deny", "agent:alice") in rows
    assert ("safe", None, "allow", "agent:alice") in rows


async def test_for_another_user_nothing_is_allowed(whole: World) -> None:
    delegate(whole, "user:approver")
    assert told(await whole.ask(call("slow")))["reason_code"] == "not_applicable"


# --- annotations ------------------------------------------------------------------------------------------------------

HINTS = """\
policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: reads, annotations: {readOnlyHint: true}, effect: allow}
  - {id: any, tools: [danger], effect: allow}
  - {id: no-harm, tools: [danger], annotations: {destructiveHint: true}, effect: deny, reason: It destroys.}
"""


def trusted(whole: World, *names: str) -> None:
    """The operator believes what these servers say of their tools."""
    deps = whole.service.endpoint.deps
    deps.servers = {name: replace(facts, trust_annotations=name in names) for name, facts in deps.servers.items()}


@pytest.fixture
async def hinting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A server that says that `safe` only reads, and that `danger` destroys nothing."""
    said = {"safe": {"readOnlyHint": True}, "danger": {"destructiveHint": False}}

    def tool(_: Recording, name: str) -> dict[str, Any]:
        return {"name": name, "inputSchema": {"type": "object"}, "annotations": said.get(name, {})}

    monkeypatch.setattr(Recording, "_tool", tool)
    async with world(tmp_path, HINTS) as made:
        yield made


@ERAS
async def test_hints_open_something_only_where_the_server_is_trusted(hinting: World, made: Any) -> None:
    trusted(hinting, "shop")
    listing = modern("tools/list") if made is modern_call else request("tools/list")
    for server in ("shop", "other"):
        await hinting.ask(listing, server=server)
    assert text(await hinting.ask(made("safe"))) == "safe done"
    assert text(await hinting.ask(made("danger"))) == "danger done"
    assert told(await hinting.ask(made("gated")))["reason_code"] == "indeterminate"
    for tool in ("safe", "danger", "gated"):
        refused = told(await hinting.ask(made(tool), server="other"))
        assert refused["reason_code"] == "indeterminate"
    assert hinting.recording.counts == {"safe": 1, "danger": 1}
    kept = [
        (target, detail) for method, target, detail in hinting.rows("method, target, detail") if method == "tools/call"
    ]
    assert kept == [
        ("safe", '{"annotations":{"readOnlyHint":true}}'),
        ("danger", '{"annotations":{"destructiveHint":false}}'),
        ("gated", '{"annotations":{}}'),
        *((tool, None) for tool in ("safe", "danger", "gated")),
    ]


async def test_what_has_not_been_listed_is_not_known(hinting: World) -> None:
    trusted(hinting, "shop")
    assert told(await hinting.ask(call("safe")))["reason_code"] == "indeterminate"
    await hinting.ask(request("tools/list"))
    assert text(await hinting.ask(call("safe"))) == "safe done"


async def test_a_list_shows_what_could_be_called(hinting: World) -> None:
    trusted(hinting, "shop")
    _, answer = await hinting.ask(request("tools/list"))
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["safe", "danger"]
    _, answer = await hinting.ask(request("tools/list"), server="other")
    assert answer["result"]["tools"] == []


# --- results ----------------------------------------------------------------------------------------------------------

RESULTS = """\
policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: all, tools: ["*"], effect: allow}
  - {id: hide, tools: [echo_args], mask: [{pattern: card}, {matches: "[A-Z]{2}[0-9]{6}"}], cap: 200}
"""


@ERAS
async def test_results_are_masked_and_cut_by_policy(tmp_path: Path, made: Any) -> None:
    async with world(tmp_path, RESULTS) as whole:
        shown = text(await whole.ask(made("echo_args", {"card": "4111 1111 1111 1111", "id": "AB123456", "x": "AB12"})))
        assert shown == '{"card": "[masked]", "id": "[masked]", "x": "AB12"}'
        _, answer = await whole.ask(made("echo_args", {"x": "y" * 500}))
        assert answer["result"]["content"][-1]["text"].startswith("[Cut by policy")
        rows = await whole.settled(4)
        assert len(rows) == 4
        assert [row[0] for row in whole.rows("reason, kind") if row[1] == "outcome"] == ["masked", "cut"]
        arguments = [row[0] for row in whole.rows("arguments") if row[0]]
        assert "AB123456" in arguments[0]
