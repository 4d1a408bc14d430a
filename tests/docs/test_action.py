"""action.yml and .pre-commit-hooks.yaml: of the form that GitHub and pre-commit read, and run as their runners do."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from policylayer.cli import main
from tests.support.recorded import record
from tests.support.running import Running

ROOT = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())

CONFIG = 'servers: {shop: {url: "http://127.0.0.1:1/mcp"}}\n'
POLICY = """\
policy: shop
applies_to: {principals: ["agent:bot"], servers: [shop]}
rules:
  - {id: small, tools: [refund], when: {args.amount: {lte: 50}}, effect: allow}
  - {id: read, tools: ["get_*"], effect: allow}
"""
PRINCIPALS = "principals: {agent:bot: {}}\n"
TESTS = """\
tests:
  - name: a small refund passes
    principal: agent:bot
    call: {server: shop, tool: refund, arguments: {amount: 40}}
    expect: {effect: allow}
"""


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_action_is_of_githubs_form() -> None:
    assert {"name", "description", "inputs", "outputs", "runs"} <= set(ACTION)
    assert set(ACTION) <= {"name", "description", "author", "branding", "inputs", "outputs", "runs"}
    assert set(ACTION["branding"]) == {"icon", "color"}
    for name, said in ACTION["inputs"].items():
        assert re.fullmatch(r"[a-z][a-z-]*", name)
        assert set(said) <= {"description", "required", "default", "deprecationMessage"}
        assert said["description"]
        assert isinstance(said["default"], str)
    for said in ACTION["outputs"].values():
        assert set(said) == {"description", "value"}
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert set(step) <= {"name", "id", "if", "run", "shell", "env", "working-directory"}


def test_no_input_becomes_a_part_of_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
    used = {value for step in ACTION["runs"]["steps"] for value in step.get("env", {}).values()}
    assert used == {f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]}
    steps = {step["id"] for step in ACTION["runs"]["steps"] if "id" in step}
    for said in ACTION["outputs"].values():
        assert re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.\w+ \}\}", said["value"])[1] in steps  # type: ignore[index]


def test_the_hooks_are_of_pre_commits_form() -> None:
    assert [hook["id"] for hook in HOOKS] == [f"policylayer-{name}" for name in ("check", "test", "access", "replay")]
    known = {"id", "name", "description", "entry", "args", "language", "files", "pass_filenames", "stages", "verbose"}
    for hook in HOOKS:
        assert {"id", "name", "entry", "language"} <= set(hook) <= known
        assert (hook["language"], hook["pass_filenames"]) == ("python", False)
        assert re.search(hook["files"], "policies/shop.yaml")
        assert not re.search(hook["files"], "src/policies/shop.yaml")


# --- run --------------------------------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Workspace:
    """A repository with policies at a first commit, and what a runner sets around a step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.home = folder
        (self.folder / "policies").mkdir(parents=True)
        for name, text in (("shop.yaml", POLICY), ("principals.yaml", PRINCIPALS), ("shop_test.yaml", TESTS)):
            (self.folder / "policies" / name).write_text(text)
        (self.folder / "policylayer.yaml").write_text(CONFIG)
        git(self.folder, "init", "-q", "-b", "main")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", "first")
        self.base = git(self.folder, "rev-parse", "HEAD")

    def change(self, old: str, new: str, name: str = "shop.yaml") -> None:
        """Change a file of the policies."""
        path = self.folder / "policies" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, where: Path | None = None, **inputs: str) -> Ran:
        """The last step, with the inputs that a workflow gives."""
        step = ACTION["runs"]["steps"][-1]
        given = {"base": self.base, **{name.replace("_", "-"): value for name, value in inputs.items()}}
        assert set(given) <= set(ACTION["inputs"])
        environment = {
            name: given.get(key, ACTION["inputs"][key]["default"])
            for name, text in step["env"].items()
            for key in (text[len("${{ inputs.") : -len(" }}")],)
        }
        files = {name: self.home / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        for path in files.values():
            path.write_text("")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("POLICYLAYER_", "GITHUB_"))}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=where or self.folder,
            env={
                **kept,
                **{name: str(path) for name, path in files.items()},
                "GITHUB_ACTIONS": "true",
                "GITHUB_WORKSPACE": str(self.folder),
                "GITHUB_ACTION_PATH": str(self.home / "action"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, *(path.read_text() for path in files.values()))


class Ran:
    """What a step left behind."""

    def __init__(self, code: int, log: str, summary: str, output: str) -> None:
        self.code, self.log, self.summary, self.output = code, log, summary, output

    @property
    def marks(self) -> list[str]:
        """The commands that the runner would obey."""
        found, stopped = [], None
        for line in self.log.splitlines():
            if stopped is not None:
                stopped = None if line == f"::{stopped}::" else stopped
            elif line.startswith("::stop-commands::"):
                stopped = line.removeprefix("::stop-commands::")
            elif line.startswith("::"):
                found.append(line)
        assert stopped is None
        return found


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    action = tmp_path / "action"
    action.mkdir()
    for name in ("deploy", "policylayer", "scripts"):
        (action / name).symlink_to(ROOT / name)
    venv = action / ".venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (venv / "python").chmod(0o755)
    return Workspace(tmp_path)


def test_a_change_that_is_well(workspace: Workspace) -> None:
    workspace.change("lte: 50", "lte: 45")
    ran = workspace.run()
    assert (ran.code, ran.output, ran.marks) == (0, "failed=\n", [])
    assert "### Tests\n\n```text\npolicies: 1 passed, 0 failed\n```" in ran.summary
    assert "### Access\n\n```text" in ran.summary
    assert "Changes (unclear): refund on shop, for agent:bot" in ran.summary
    assert "Recorded decisions" not in ran.summary


def test_files_that_do_not_load_are_marked_in_their_place(workspace: Workspace) -> None:
    workspace.change("effect: allow}\n  - {id: read", "efect: allow}\n  - {id: read")
    ran = workspace.run()
    assert (ran.code, ran.output) == (1, "failed=check\n")
    assert any(mark.startswith("::error file=policies/shop.yaml,line=4,col=") for mark in ran.marks)
    assert "### Policies do not load" in ran.summary
    assert "policies/shop.yaml:4:" in ran.summary
    assert "error[PL103]: unknown key" in ran.summary


def test_a_failing_test_is_marked_and_the_rest_is_still_said(workspace: Workspace) -> None:
    workspace.change("lte: 50", "lte: 5")
    ran = workspace.run(access_fail_on="any\nwidened")
    assert (ran.code, ran.output) == (1, "failed=test access\n")
    assert [mark.partition(",col")[0] for mark in ran.marks] == ["::error file=policies/shop_test.yaml,line=5"]
    assert "policies: 0 passed, 1 failed" in ran.summary
    assert "Failed: any." in ran.summary


def test_what_opens_fails_where_that_is_wished(workspace: Workspace) -> None:
    workspace.change('"get_*"', '"*"')
    assert workspace.run().code == 0
    assert workspace.run(access_fail_on="removed").code == 0  # `get_*` is not named, but still open
    ran = workspace.run(access_fail_on="added")
    assert (ran.code, ran.output) == (1, "failed=access\n")
    assert "Opens (wider): *" in ran.summary


def test_tools_that_are_listed_are_told_by_name(workspace: Workspace) -> None:
    listed = {"server": "shop", "tools": [{"name": "drop_table", "inputSchema": {"type": "object"}}]}
    (workspace.folder / "listed.json").write_text(json.dumps(listed))
    workspace.change('"get_*"', '"*"')
    assert "Opens (wider): drop_table" in workspace.run(tools="listed.json").summary


@pytest.mark.parametrize("base", ["", "0" * 40, "-x", "main:x", "$(touch owned)"])
def test_a_base_that_there_is_not(workspace: Workspace, base: str) -> None:
    ran = workspace.run(base=base)
    assert ran.code == 0
    assert ("There are no policies to compare access with" in ran.summary) is bool(base)
    assert workspace.run(base=base, access_fail_on="added").code == (1 if base else 0)
    assert not (workspace.folder / "owned").exists()


def test_a_shallow_checkout_fetches_the_base(workspace: Workspace) -> None:
    workspace.change("lte: 50", "lte: 45")
    git(workspace.folder, "commit", "-qam", "second")
    shallow = workspace.home / "shallow"
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"file://{workspace.folder}", str(shallow)], check=True, capture_output=True
    )
    ran = workspace.run(shallow)
    assert (ran.code, "Changes (unclear): refund on shop" in ran.summary) == (0, True)


def test_nothing_in_a_file_is_a_command_to_the_runner(workspace: Workspace) -> None:
    workspace.change("a small refund passes", "\\n::add-mask::x\\n%0A::warning::y", "shop_test.yaml")
    text = (workspace.folder / "policies" / "shop_test.yaml").read_text()
    quoted = text.replace("name: \\n::add-mask::x\\n%0A::warning::y", 'name: "\\n::add-mask::x\\n````%0A::warning::y"')
    (workspace.folder / "policies" / "shop_test.yaml").write_text(quoted.replace("amount: 40", "amount: 99"))
    ran = workspace.run()
    assert ran.code == 1
    assert len(ran.marks) == 1
    assert "%250A%3A%3Awarning" not in ran.marks[0].split("::")[1]
    assert "%25" in ran.marks[0]


# --- recorded decisions -----------------------------------------------------------------------------------------------


def calls(folder: Path) -> None:
    record(
        folder,
        [
            {"principal": "agent:bot", "server": "shop", "tool": "refund", "arguments": {"amount": n}}
            for n in (10, 40, 60, 80)
        ],
    )


def test_recorded_decisions_of_a_file(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.folder)
    calls(workspace.folder)
    assert main(["audit", "export", "-o", "log.jsonl"]) == 0
    workspace.change("lte: 50", "lte: 70")
    ran = workspace.run(log="log.jsonl", replay_fail_on="deny-to-allow")
    assert (ran.code, ran.output) == (1, "failed=replay\n")
    assert "### Recorded decisions through these policies" in ran.summary
    assert "| deny → **allow** | 1 | `agent:bot` | no rule | `shop/small` `shop.yaml:4` |" in ran.summary
    assert workspace.run(log="log.jsonl", replay_fail_on="allow-to-deny", config="policylayer.yaml").code == 0
    broken = workspace.run(log="none.jsonl")
    assert (broken.code, broken.output, "cannot read `none.jsonl`" in broken.summary) == (1, "failed=replay\n", True)


def test_recorded_decisions_through_the_api(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = workspace.home / "proxy"
    folder.mkdir()
    (folder / "policylayer.yaml").write_text(CONFIG)
    (folder / "policies").mkdir()
    policies = {"shop.yaml": POLICY, "principals.yaml": PRINCIPALS}
    for name, text in policies.items():
        (folder / "policies" / name).write_text(text)
    calls(folder)
    with Running(folder, servers={"shop": {"url": "http://127.0.0.1:1/mcp"}}, policies=policies) as proxy:
        monkeypatch.chdir(folder)
        command = ["token", "create", "--role", "viewer", "--principal", "user:ci", "--json"]
        made = subprocess.run([sys.executable, "-m", "policylayer", *command], check=True, capture_output=True)
        token = json.loads(made.stdout)["token"]
        workspace.change("lte: 50", "lte: 70")
        ran = workspace.run(url=proxy.url, token=token, since="1h")
        assert (ran.code, "3 same, 1 changed" in ran.summary) == (0, True), ran.summary
        assert token not in ran.log + ran.summary
        wrong = workspace.run(url=proxy.url, token="plp_wrong")
    assert (wrong.code, wrong.output) == (1, "failed=replay\n")


# --- hooks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_each_hook_runs_as_pre_commit_runs_it(
    hook: dict[str, Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace.folder)
    for name in ("POLICYLAYER_URL", "POLICYLAYER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    calls(workspace.folder)
    command = [*shlex.split(hook["entry"])[1:], *hook["args"]]
    assert shlex.split(hook["entry"])[0] == "policylayer"
    assert main(command) == 0, capfd.readouterr().err
    workspace.change("effect: allow", "efect: allow")
    assert main(command) == 3


def test_the_replay_hook_stops_what_would_be_allowed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.folder)
    calls(workspace.folder)
    workspace.change("lte: 50", "lte: 70")
    hook = HOOKS[-1]
    assert main([*shlex.split(hook["entry"])[1:], *hook["args"]]) == 1
