"""What each command makes of policies in Rego: the examples of `policies/rego`, in a folder of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("regorus", reason="`regorus` is not installed")

from tests.cli.runner import Runner
from tests.support.recorded import record

EXAMPLES = Path(__file__).parents[2] / "policies" / "rego"
CONFIG = """\
listen: 127.0.0.1:0
servers:
  tickets: {url: "http://127.0.0.1:1/mcp"}
audit: {arguments: read}
"""
CALL = ("--principal", "agent:helpdesk", "--server", "tickets", "--tool", "get_ticket")


def call(**arguments: object) -> dict[str, object]:
    return {"principal": "agent:helpdesk", "server": "tickets", "tool": "get_ticket", "arguments": arguments}


@pytest.fixture
def folder(home: Path) -> Path:
    """Rego in the place of YAML, and a log that keeps what rules read."""
    shutil.rmtree(home / "policies")
    shutil.copytree(EXAMPLES, home / "policies")
    (home / "policylayer.yaml").write_text(CONFIG)
    return home


@pytest.mark.usefixtures("folder")
def test_check_test_and_doctor(run: Runner) -> None:
    assert run("check").code == 0
    done = run("test")
    assert (done.code, "7 tests pass" in done.out or "7 passed" in done.out) == (0, True), done.out
    assert "ok    policies: load, 7 tests pass" in run("doctor").out


@pytest.mark.usefixtures("folder")
def test_access_says_that_it_depends_on_rego(run: Runner) -> None:
    (line, *_) = run("access", "--json", "--tool", "get_ticket").lines
    assert (line["access"], line["rego"]) == ("depends", ["lib.rego", "rbac.rego"])


@pytest.mark.usefixtures("folder")
def test_a_call_is_explained_with_what_rego_found(run: Runner) -> None:
    told = run("explain", *CALL, "--args", '{"tenant": "other"}', "--json").json
    assert (told["decision"]["effect"], told["decision"]["rules"][0]["rule"]) == ("deny", "tenant")
    assert "No rule of a YAML file is about this call." in run("explain", *CALL).out


def test_recorded_calls_are_explained_and_replayed(run: Runner, folder: Path) -> None:
    """The log keeps the tenant, which Rego reads, and not the note."""
    first, second, third = record(folder, [call(tenant="other", note="x"), call(tenant="acme", note="x"), call()])
    told = run("explain", first, "--json").json
    assert told["question"]["arguments"] == {"tenant": "other"}
    assert (told["decision"]["effect"], told["rego"][0]["findings"][-1]["rule"]) == ("deny", "rego/tenant")
    assert run("explain", second, "--json").json["decision"]["effect"] == "allow"
    assert run("explain", third, "--json").json["decision"]["effect"] == "deny"

    assert ": 3 same, 0 changed, 0 undecidable, 0 not compared" in run("replay").out
    rules = folder / "policies" / "rbac.rego"
    rules.write_text(rules.read_text().replace("tenant != input.principal.attributes.tenant", 'tenant == "acme"'))
    told = run("replay", "--json").json
    assert (told["same"], told["turns"]) == (0, {"allow-to-deny": 1, "deny-to-allow": 2})
    rules.write_text(rules.read_text().replace('input.args, "tenant"', 'input.args, "note"'))
    assert run("replay", "--json", "--fail-on", "undecidable").json["undecidable"] == 3


def test_rego_that_is_refused_is_said_with_its_place(run: Runner, folder: Path) -> None:
    record(folder, [call()])
    rules = folder / "policies" / "rbac.rego"
    rules.write_text(rules.read_text() + "\nx := http.send({})\n")
    for command in (("check",), ("test",), ("replay",), ("explain", *CALL), ("access",)):
        done = run(*command)
        assert done.code == 3, command
        assert "rbac.rego:39:" in done.err + done.out, command
