"""Similar calls from the command line: allowed along with one, told in words, listed, used up or revoked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from policylayer.cli.approvals_similar import allows, wish
from policylayer.cli.exits import UsageError
from tests.cli.program import Command
from tests.cli.runner import Runner
from tests.cli.test_serve import MCP

HERE = ("-c", "policylayer.yaml")
WAIVER: dict[str, Any] = {
    "principal": "agent:bot",
    "for": None,
    "server": "shop",
    "method": "tools/call",
    "target": "set_x",
    "rule": "shop/write",
    "same": [],
    "exact": True,
    "uses_left": 3,
}


@pytest.fixture
def url(home: Path) -> Iterator[str]:
    """A running proxy that holds a call for a second."""
    with (home / "policylayer.yaml").open("a") as config:
        config.write("approvals: {hold: 1s}\n")
    with Command("serve", cwd=home) as proxy:
        yield proxy.url
        assert proxy.end() == 0


def ask(url: str, grant: str, **arguments: Any) -> dict[str, Any]:
    """What the agent is told of one call."""
    params = {"name": "set_x", "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {**MCP, "authorization": f"Bearer {grant}"}
    text = httpx2.post(f"{url}/mcp/shop", headers=headers, json=message, timeout=20).text
    answer = orjson.loads(text.rpartition("data: ")[2])
    found: dict[str, Any] = answer.get("result") or answer["error"]
    return found


def held(told: dict[str, Any]) -> str:
    """The approval that a refused call waits on."""
    about = told["_meta"]["io.policylayer/decision"]
    assert about["reason_code"] == "pending"
    return str(about["approval_id"])


@pytest.mark.shows("proxy.8")
def test_similar_calls_pass_until_that_is_revoked(run: Runner, url: str) -> None:
    grant = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop", "--json").json["token"]
    lena = run("token", "create", "--role", "approver", "--principal", "user:lena", "--json").json["token"]
    there = ("--url", url, "--token", lena)
    first = held(ask(url, grant, to="a", amount=1))
    assert run("approvals", "waivers", "--json", *there).out == ""

    done = run("approvals", "approve", first, "--similar", "1h", "--uses", "5", "--same", "to", *there)
    assert done.code == 0
    approved, allowed, end = done.out.splitlines()
    assert approved == f"{first} is approved."
    what = "agent:bot may do tools/call set_x on shop 5 times more without approval by shop/write, with the same `to`"
    assert what in allowed
    (listed,) = run("approvals", "waivers", "--json", *HERE).lines
    assert end == f"  to end it: policylayer approvals revoke {listed['id']}"
    assert (listed["approval_id"], listed["created_by"]) == (first, "user:lena")
    shown = run("approvals", "show", first, *there).out
    assert "waiver   until" in shown
    (why,) = (line for line in shown.splitlines() if line.startswith("  why "))
    assert why.count("shop/write") == 1, "the reason names its rule"

    passed = ask(url, grant, to="a", amount=2)
    assert passed["code"] == 40502, "it is sent, and no server is there"
    (row,) = run("audit", "query", "--json", "--effect", "allow", "--limit", "1", *there).lines
    told = {"rule": "shop/write", "waiver_id": listed["id"], "approval_id": first}
    assert row["detail"]["waivers"] == [told]
    assert listed["id"] in run("audit", "show", row["id"], *HERE).out
    held(ask(url, grant, to="b", amount=2))
    table = run("approvals", "waivers", *there).out
    assert "the same `to`, whatever else" in table
    assert f"{listed['id']}  shop/write  agent:bot  shop    set_x   4 " in table

    ended = run("approvals", "revoke", listed["id"], *there)
    assert ended.out == f"Revoked: {listed['id']} (agent:bot, shop/write).\n"
    again = run("approvals", "revoke", listed["id"], *HERE)
    assert (again.code, again.err.splitlines()) == (
        1,
        ["policylayer: no such waiver stands", "  help: `policylayer approvals waivers` lists them, with their ids"],
    )
    held(ask(url, grant, to="a", amount=3))


def test_what_cannot_be_is_refused_in_words(run: Runner, url: str) -> None:
    grant = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop", "--json").json["token"]
    lena = run("token", "create", "--role", "approver", "--principal", "user:lena", "--json").json["token"]
    approval = held(ask(url, grant, to="a"))
    for options, said in (
        (("--similar", "2d"), "at most 24 hours and 1000 uses"),
        (("--similar", "1h", "--same", "nothing"), "the call has no such argument"),
    ):
        done = run("approvals", "approve", approval, *options, "--token", lena, *HERE)
        assert (done.code, said in done.err, "help:" in done.err) == (1, True, True), done.err
    assert run("approvals", "approve", approval, "--similar", "1h", "--uses", "1001", *HERE).code == 2
    done = run("approvals", "approve", approval, "--similar", "1h", "--any", "--json", "--token", lena, *HERE)
    (given,) = done.json["waivers"]
    assert (given["same"], given["exact"], given["uses_left"]) == ([], False, 20)
    assert run("approvals", "revoke", given["id"], "--json", *HERE).json["revoked_by"].startswith("local:")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None, [], False), None),
        (("1h", None, [], False), {"for": "1h"}),
        (("15m", 3, ["to", "amount"], False), {"for": "15m", "uses": 3, "same": ["to", "amount"]}),
        (("1h", None, [], True), {"for": "1h", "same": []}),
    ],
)
def test_what_the_options_ask_for(asked: Any, expected: Any) -> None:
    assert wish(*asked) == expected


@pytest.mark.parametrize(
    "asked",
    [
        (None, 3, [], False),
        (None, None, ["to"], False),
        (None, None, [], True),
        ("1h", 1, ["to"], True),
        ("an hour", None, [], False),
    ],
)
def test_options_that_do_not_go_together(asked: Any) -> None:
    with pytest.raises(UsageError) as caught:
        wish(*asked)
    assert caught.value.help


def test_what_is_allowed_is_said_in_words_that_names_cannot_break() -> None:
    assert allows(WAIVER).endswith("3 times more without approval by shop/write, with the same arguments")
    hostile = {**WAIVER, "same": ["to\n x is approved.\x1b[2J"], "exact": False, "uses_left": 1, "for": "user:u"}
    assert "agent:bot for user:u may do tools/call set_x on shop once more" in allows(hostile)
    assert "\n" not in allows(hostile)
    assert "\x1b" not in allows(hostile)
