"""`policylayer access`: of files, of a configuration with its log, and between two states of files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.runner import Runner
from tests.support.recorded import record

BOT = ("--principal", "agent:bot")


def git(home: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        cwd=home,
        check=True,
        capture_output=True,
    )


def test_lines_for_people(run: Runner) -> None:
    done = run("access", "--policies", "policies")
    assert done.code == 0
    assert done.out.splitlines() == [
        "agent:bot",
        "  shop",
        "    get_*                         allow             shop/read (shop.yaml:4)",
        "    set_*                         require_approval  shop/write (shop.yaml:5)",
        "",
        "user:lena",
        "  nothing: no rule is about any of these 2 tools",
    ]


def test_a_line_of_json_for_each_cell(run: Runner) -> None:
    cells = run("access", "--policies", "policies", *BOT, "--tool", "get_x", "--tool", "set_*", "--json").lines
    assert [(each["tool"], each["access"], each["pattern"]) for each in cells] == [
        ("get_x", "allow", False),
        ("set_*", "require_approval", True),
    ]
    assert cells[0]["rules"][0] | {"says": ""} == {
        "policy": "shop",
        "rule": "read",
        "file": "shop.yaml",
        "line": 4,
        "effect": "allow",
        "certain": True,
        "limits": [],
        "says": "",
    }


def test_options_choose(run: Runner) -> None:
    def asked(*options: str) -> list[tuple[str, str | None, str, str]]:
        found = run("access", "--policies", "policies", *options, "--json").lines
        return [(each["principal"], each["for"], each["server"], each["tool"]) for each in found]

    assert asked("--principal", "agent:*", "--tool", "g*") == [("agent:bot", None, "shop", "get_*")]
    assert asked("--principal", "agent:x", "--server", "other", "--tool", "t") == [("agent:x", None, "other", "t")]
    assert asked(*BOT, "--for", "user:*", "--tool", "t") == [("agent:bot", "user:lena", "shop", "t")]
    done = run("access", "--policies", "policies", "--principal", "nobody:*")
    assert (done.code, done.out) == (0, "")
    assert "nothing to tell" in done.err


def test_a_name_that_nobody_knows_is_told(run: Runner) -> None:
    done = run("access", "--policies", "policies", "--principal", "agent:bto", "--tool", "get_x", "--tool", "st_x")
    assert done.code == 0
    assert "no principal `agent:bto` is named" in done.err
    assert "did you mean `agent:bot`?" in done.err
    assert "no tool `st_x` is named" in done.err
    assert "get_x" not in done.err  # `get_*` is about it
    assert "nothing: no rule is about any of these 2 tools" in done.out


def test_groups_and_time(run: Runner, home: Path) -> None:
    text = (home / "policies" / "shop.yaml").read_text()
    text += '  - {id: soon, tools: [late], when: {time: {before: "2027-01-01T00:00:00Z"}}, effect: allow}\n'
    (home / "policies" / "shop.yaml").write_text(text)
    asked = ("access", "--policies", "policies", "--principal", "agent:new", "--tool", "late", "--json")
    assert run(*asked).lines[0]["access"] == "deny"
    (told,) = run(*asked, "--group", "agents").lines
    assert (told["access"], told["depends_on"]) == ("depends", ["time"])
    assert run(*asked, "--group", "agents", "--at", "2026-11-01T00:00:00Z").lines[0]["access"] == "allow"
    assert run(*asked, "--group", "agents", "--at", "2027-11-01T00:00:00Z").lines[0]["access"] == "deny"


def test_tools_that_servers_list(run: Runner, home: Path) -> None:
    def asked(*options: str) -> list[tuple[str, str]]:
        cells = run("access", "--policies", "policies", *BOT, *options, "--json").lines
        return [(each["tool"], each["access"]) for each in cells]

    tools = home / "tools"
    tools.mkdir()
    listed = {"server": "shop", "tools": [{"name": "get_order"}, {"name": "delete_order", "annotations": {}}]}
    (tools / "shop.tools.json").write_text(json.dumps(listed))
    told = [("delete_order", "deny"), ("get_order", "allow")]
    assert asked() == told  # beside the policies, as `check` finds them
    assert [(each["tool"], each["access"]) for each in run("access", *BOT, "--json").lines] == told
    assert asked("--no-tools") == [("get_*", "allow"), ("set_*", "require_approval")]
    tools.rename(home / "elsewhere")
    assert asked("--tools", "elsewhere") == asked("--tools", "elsewhere/shop.tools.json") == told


def test_recorded_tools_that_cannot_be_read(run: Runner, home: Path) -> None:
    (home / "x.tools.json").write_text("{")
    done = run("access", "--policies", "policies", "--tools", "x.tools.json")
    assert (done.code, "x.tools.json:1:" in done.err, "recorded tools cannot be read" in done.err) == (1, True, True)
    assert run("access", "--policies", "policies", "--tools", "none").code == 2
    assert run("access", "--policies", "policies", "--tools", "x.tools.json", "--no-tools").code == 2


def test_what_the_log_has_seen(run: Runner, home: Path) -> None:
    assert {each["tool"] for each in run("access", "--json").lines} == {"get_*", "set_*"}
    asked = {"principal": "agent:stranger", "server": "shop", "tool": "drop_table", "arguments": {}}
    record(home, [asked, {**asked, "principal": "agent:bot", "for": "user:new"}])
    cells = run("access", "--json").lines
    assert {each["principal"] for each in cells} == {"agent:bot", "agent:stranger", "user:lena"}
    assert {each["tool"] for each in cells} == {"drop_table", "get_*", "set_*"}
    users = run("access", "-c", "policylayer.yaml", *BOT, "--for", "user:n*", "--json").lines
    assert {each["for"] for each in users} == {"user:new"}
    assert {each["tool"] for each in run("access", "--policies", "policies", "--json").lines} == {"get_*", "set_*"}
    assert {each["tool"] for each in run("access", "--since", "2099-01-01", "--json").lines} == {"get_*", "set_*"}


def test_an_opa_server_has_a_say(run: Runner, home: Path) -> None:
    config = home / "policylayer.yaml"
    config.write_text(config.read_text() + 'opa: {url: "http://127.0.0.1:1"}\n')
    (told,) = run("access", *BOT, "--tool", "get_x", "--json").lines
    assert (told["access"], told["depends_on"]) == ("depends", ["rego"])


# --- what changes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(home: Path) -> Path:
    """The folder, committed, then changed: a tool opens, one closes, one is held no more."""
    git(home, "init", "-q")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "first")
    path = home / "policies" / "shop.yaml"
    text = path.read_text().replace("effect: require_approval, approval: {approvers: [group:leads]}", "effect: allow")
    path.write_text(text.replace('"get_*"', "get_order") + "  - {id: new, tools: [pay], effect: allow}\n")
    return home


@pytest.mark.usefixtures("repository")
class TestWhatChanges:
    """Between a revision, or another folder, and the files here."""

    def test_lines_for_people(self, run: Runner) -> None:
        done = run("access", "--policies", "policies", "--diff", "HEAD")
        assert done.code == 0
        assert "Opens (wider): pay on shop, for agent:bot\n  before: deny  no rule\n" in done.out
        assert "  after: allow  shop/new (shop.yaml:6)" in done.out
        assert "Closes (narrower): get_* on shop, for agent:bot\n  before: allow  shop/read (shop.yaml:4)" in done.out
        assert "Changes (wider): set_* on shop, for agent:bot" in done.out
        assert done.out.endswith("1 added, 1 removed, 1 changed; 2 wider, or perhaps wider.\n")

    def test_json_and_what_fails(self, run: Runner) -> None:
        done = run("access", "--policies", "policies", "--diff", "HEAD", "--fail-on", "widened", "--json")
        assert (done.code, done.json["failed"]) == (1, ["widened"])
        assert [each["tool"] for each in done.json["added"]] == ["pay"]
        (changed,) = done.json["changed"]
        assert (changed["before"]["access"], changed["after"]["access"]) == ("require_approval", "allow")
        assert changed["after"]["rules"][0]["line"] == 5
        again = ("access", "--policies", "policies", "--diff", "HEAD", *BOT, "--tool", "get_order")
        assert run(*again, "--fail-on", "any").out == "Access is the same.\n"

    def test_of_a_folder_and_of_two_revisions(self, run: Runner, repository: Path) -> None:
        git(repository, "commit", "-qam", "second")
        two = run("access", "--policies", "git:.@HEAD:policies", "--diff", "HEAD~1", "--json").json
        assert [len(two[kind]) for kind in ("added", "removed", "changed")] == [1, 1, 1]
        folder = run("access", "--policies", "policies", "--diff", "policies", "--json").json
        assert [folder[kind] for kind in ("added", "removed", "changed")] == [[], [], []]

    def test_what_is_no_revision(self, run: Runner) -> None:
        done = run("access", "--policies", "policies", "--diff", "nothing")
        assert (done.code, "no commit that `nothing` names" in done.err) == (3, True), done.err

    def test_policies_of_then_that_do_not_load_are_told_apart(self, run: Runner, repository: Path) -> None:
        path = repository / "policies" / "shop.yaml"
        whole = path.read_text()
        path.write_text(whole.replace("effect", "efect"))
        git(repository, "commit", "-qam", "broken")
        path.write_text(whole)
        done = run("access", "--policies", "policies", "--diff", "HEAD")
        assert done.code == 3
        assert f"the policies in `git:{repository}@HEAD:policies` do not load" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fail-on", "widened"), "--fail-on is about changes"),
        (("--diff", "policies", "--fail-on", "wider"), "--fail-on cannot be `wider`"),
        (("--at", "noon"), "`--at` is not a moment"),
        (("--at", "2026-11-23T10:00:00"), "needs its offset"),
        (("--at", "9999-12-31T23:59:59Z"), "`--at` is not in the years 1970 to 9000"),
        (("--polices", "x"), "unrecognized arguments"),
    ],
)
def test_what_it_cannot_be_asked(run: Runner, arguments: tuple[str, ...], said: str) -> None:
    done = run("access", "--policies", "policies", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err


def test_a_revision_where_there_is_no_repository(run: Runner) -> None:
    done = run("access", "--policies", "policies", "--diff", "main")
    assert (done.code, "`main` is no folder, and the policies are in no git repository" in done.err) == (1, True)


def test_the_examples_are_told_whole(run: Runner) -> None:
    root = Path(__file__).resolve().parents[2] / "policies"
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        done = run("access", "--policies", folder)
        assert (done.code, done.err) == (0, ""), folder
        assert "agent:" in done.out
