"""`check` with what servers list: recorded beside the configuration, named, or asked for now."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from policylayer.cli.exits import CommandError
from policylayer.policy import tool_lists
from policylayer.starter.guess import Tool
from tests.cli.runner import Runner

TOOLS = [
    {"name": "get_x", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}}},
    {"name": "set_x", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}}},
]
SLIP = "  - {id: slip, tools: [set_x], when: {args.idd: x}, effect: deny, reason: No.}\n"
OK = "policies: ok (1 policy, 2 rules, 1 test, 2 tools)\n"


@pytest.fixture
def listed(home: Path) -> Path:
    """The folder of recorded tools beside the configuration."""
    folder = home / "tools"
    folder.mkdir()
    (folder / "shop.tools.json").write_text(tool_lists.as_text("shop", TOOLS))
    return folder


def add(home: Path, rule: str) -> None:
    """One more rule."""
    path = home / "policies" / "shop.yaml"
    path.write_text(path.read_text() + rule)


def test_recorded_tools_are_found_beside_the_configuration_and_beside_policies(
    run: Runner, home: Path, listed: Path
) -> None:
    assert run("check").out == OK
    assert run("check", "policies").out == OK
    assert run("check", "-c", "policylayer.yaml").out == OK
    assert run("check", home / "policies").out.endswith("2 tools)\n")
    assert run("check", "--no-tools").out == "policies: ok (1 policy, 2 rules, 1 test)\n"
    add(home, SLIP)
    for arguments in ((), ("policies",), ("policies", "-c", "policylayer.yaml")):
        done = run("check", *arguments)
        assert done.code == 3
        assert "policies/shop.yaml:6:39: error[PL404]: `set_x` has no argument `args.idd`" in done.err
    assert run("check", "--no-tools").code == 0
    assert run("test").code == 0


def test_only_configured_servers_count_where_there_is_a_configuration(run: Runner, home: Path, listed: Path) -> None:
    config = home / "policylayer.yaml"
    config.write_text(config.read_text().replace("shop:", "other:"))
    add(home, SLIP)
    done = run("check")
    assert done.out == "tools: 1 warning\npolicies: ok (1 policy, 3 rules, 1 test, 1 warning)\n"
    assert "tools/shop.tools.json:1:1: warning[PL148]: no server is configured as `shop`, whose tools" in done.err
    assert run("check", "policies").code == 3


def test_tools_can_be_named(run: Runner, home: Path, listed: Path) -> None:
    elsewhere = home / "elsewhere"
    listed.rename(elsewhere)
    add(home, SLIP)
    assert run("check").code == 0
    assert run("check", "--tools", "elsewhere").code == 3
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}}
    (home / "shop.json").write_text(json.dumps(answer))
    assert run("check", "--tools", "shop.json").code == 3
    missing = run("check", "--tools", "nowhere.json")
    assert (missing.code, "no file of recorded tools `nowhere.json`" in missing.err) == (2, True)
    assert run("check", "--tools", "elsewhere", "--no-tools").code == 2


def test_a_repository_is_held_against_the_tools_beside_the_configuration(run: Runner, home: Path, listed: Path) -> None:
    add(home, SLIP)
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=home / "policies", check=True, capture_output=True)
    assert run("check", "git:policies@main").code == 0
    assert run("check", "git:policies@main", "-c", "policylayer.yaml").code == 3
    assert run("check", "git:policies@main", "--tools", "tools").code == 3


def test_recorded_tools_that_cannot_be_read_fail_the_check(run: Runner, home: Path, listed: Path) -> None:
    (listed / "shop.tools.json").write_text('{"tools": [')
    done = run("check")
    assert done.code == 3
    assert "tools/shop.tools.json:1:12: error[PL411]: recorded tools cannot be read: not JSON" in done.err
    assert "tools: 1 error" in done.out
    (line,) = run("check", "--json").lines
    assert line["file"] == "tools/shop.tools.json"
    assert run("check", "--no-tools").code == 0


def test_strict_fails_where_there_are_warnings(run: Runner, home: Path, listed: Path) -> None:
    assert run("check", "--strict").code == 0
    add(home, "  - {id: gone, tools: [drop_all], effect: deny, reason: No.}\n")
    assert run("check").code == 0
    done = run("check", "--strict")
    assert (done.code, "warning[PL401]" in done.err) == (1, True)


# --- live -------------------------------------------------------------------------------------------------------------

SHOP = [sys.executable, "-m", "policylayer.examples.shop", "--stdio"]


@pytest.fixture
def shop(home: Path) -> Path:
    """The example shop, configured to be launched."""
    (home / "policylayer.yaml").write_text(f"servers: {{shop: {{command: {json.dumps(SHOP)}}}}}\n")
    text = (home / "policies" / "shop.yaml").read_text()
    (home / "policies" / "shop.yaml").write_text(text.replace('"set_*"', "create_refund"))
    return home


def test_tools_are_recorded_and_compared_with_what_is_listed_now(run: Runner, shop: Path) -> None:
    live = run("check", "--live")
    assert live.code == 0
    assert (
        "warning[PL403]: no rule is about `delete_customer`, `list_customers` and 4 more, which `shop` lists"
        in live.err
    )
    assert live.out.endswith("8 tools, 1 warning)\n")
    assert not (shop / "tools").exists()
    first = run("check", "--record")
    assert "recorded: tools/shop.tools.json (8 tools)" in first.err
    path = shop / "tools" / "shop.tools.json"
    recorded = path.read_text()
    assert json.loads(recorded)["server"] == "shop"
    assert "recorded: nothing has changed" in run("check", "--record").err
    assert "PL412" not in run("check", "--live").err
    path.write_text(recorded.replace("read_file", "reed_file"))
    drifted = run("check", "--live")
    assert drifted.code == 0
    assert "tools/shop.tools.json:1:1: warning[PL412]: `shop` lists other tools than those recorded" in drifted.err
    assert "(new: `read_file`; gone: `reed_file`)" in drifted.err
    assert "recorded: tools/shop.tools.json (new: `read_file`; gone: `reed_file`)" in run("check", "--record").err
    assert path.read_text() == recorded
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_server_that_does_not_answer_is_said_and_the_others_are_held_against(run: Runner, shop: Path) -> None:
    config = f"servers:\n  shop: {{command: {json.dumps(SHOP)}}}\n  gone: {{command: [no-such-program]}}\n"
    (shop / "policylayer.yaml").write_text(config)
    done = run("check", "--record")
    assert done.code == 1
    assert "gone: there is no program `no-such-program`" in done.err
    assert "8 tools" in done.out
    assert [each.name for each in (shop / "tools").iterdir()] == ["shop.tools.json"]
    shutil.copy(shop / "tools" / "shop.tools.json", shop / "tools" / "gone.tools.json")
    assert run("check", "--live").code == 1


def test_asking_needs_a_configuration(run: Runner, home: Path) -> None:
    (home / "policylayer.yaml").unlink()
    for option in ("--live", "--record"):
        done = run("check", option)
        assert (done.code, "which servers?" in done.err) == (2, True)
    assert run("check", "--record", "--no-tools").code == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (TimeoutError(), "`shop` did not answer in 30s"),
        (CommandError("no", "help"), "shop: no"),
        (
            [Tool("a", definition={"name": "a", "inputSchema": {"title": "\ud800"}})],
            "shop: the tools cannot be written",
        ),
        ([Tool("", definition={"name": ""})], "shop: recorded tools cannot be read: every tool in it has a name"),
    ],
)
def test_what_a_server_lists_is_never_a_traceback(
    run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch, answer: object, said: str
) -> None:
    async def list_tools(*arguments: object) -> object:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr("policylayer.cli.asking.list_tools", list_tools)
    done = run("check", "--record")
    assert (done.code, said in done.err) == (1, True)
    assert not (home / "tools").exists()


def test_tools_that_cannot_be_written_are_said(run: Runner, shop: Path) -> None:
    (shop / "tools").write_text("in the way")
    done = run("check", "--record")
    assert (done.code, "cannot write `tools/shop.tools.json`" in done.err) == (1, True)
