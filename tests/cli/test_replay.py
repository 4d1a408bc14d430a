"""`policylayer replay`: of a database, of the API, of a file; what it says, and with which exit code."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.runner import Runner
from tests.support.recorded import record
from tests.support.running import Running

PAY = """\
policy: pay
applies_to: {principals: [group:agents], servers: [shop]}
rules:
  - {id: small, tools: [refund], when: {args.amount: {lte: 50}}, effect: allow, limits: [50/hour]}
  - {id: large, tools: [refund], when: {args.amount: {gt: 50}}, effect: require_approval, reason: Ask.}
  - {id: never, tools: [refund], when: {args.amount: {gt: 5000}}, effect: deny, reason: Too much.}
"""


def call(amount: int, principal: str = "agent:bot", **more: Any) -> dict[str, Any]:
    return {"principal": principal, "server": "shop", "tool": "refund", "arguments": {"amount": amount}, **more}


@pytest.fixture
def folder(home: Path) -> Path:
    """A folder with twelve recorded refunds, and changed policies beside those that decided them."""
    (home / "policies" / "pay.yaml").write_text(PAY)
    new = home / "new"
    new.mkdir()
    for path in (home / "policies").iterdir():
        (new / path.name).write_text(path.read_text())
    (new / "pay.yaml").write_text(PAY.replace("lte: 50}", "lte: 20}").replace("gt: 5000", "gt: 9000"))
    record(home, [call(amount) for amount in (10, 30, 45, 60, 6000, 9500)] * 2)
    return home


@pytest.mark.usefixtures("folder")
class TestADatabase:
    """With the configuration, on the proxy's machine."""

    def test_the_same_policies_change_nothing(self, run: Runner) -> None:
        done = run("replay")
        assert done.code == 0
        assert "12 recorded decisions since 20" in done.out
        assert ": 12 same, 0 changed, 0 undecidable, 0 not compared" in done.out
        assert "Limits are not counted" in done.out

    def test_changes_are_grouped_with_a_row_to_look_at(self, run: Runner) -> None:
        told = run("replay", "--policies", "new", "-c", "policylayer.yaml", "--json").json
        assert (told["rows"], told["same"], told["turns"]) == (
            12,
            6,
            {"allow-to-deny": 4, "deny-to-require_approval": 2},
        )
        opened, closed = told["changes"]
        assert (opened["principal"], opened["count"]) == ("agent:bot", 2)
        assert [rule["rule"] for rule in opened["rules_before"]] == ["never"]
        assert [(rule["rule"], rule["file"], rule["line"]) for rule in opened["rules_after"]] == [
            ("large", "pay.yaml", 5)
        ]
        assert (closed["from"], closed["to"], closed["rules_after"]) == ("allow", "deny", [])
        assert run("explain", opened["example"]["id"]).code == 0

    def test_lines_for_people(self, run: Runner) -> None:
        done = run("replay", "--policies", "new")
        assert "4 x allow -> deny  agent:bot\n  before: pay/small (pay.yaml:4)\n  after:  no rule\n" in done.out
        assert "Revision " in done.out

    def test_markdown_for_a_pull_request(self, run: Runner) -> None:
        done = run("replay", "--policies", "new", "--output", "markdown")
        assert done.out.startswith("### Recorded decisions through these policies\n\n12 recorded decisions")
        assert "| allow → **deny** | 4 | `agent:bot` |" in done.out

    @pytest.mark.parametrize(
        ("wishes", "code", "failed"),
        [
            ((), 0, []),
            (("allow-to-deny",), 1, ["allow-to-deny"]),
            (("deny-to-allow",), 0, []),
            (("deny-to-allow", "any"), 1, ["any"]),
            (("any-to-require_approval",), 1, ["any-to-require_approval"]),
            (("undecidable",), 0, []),
        ],
    )
    def test_what_fails(self, run: Runner, wishes: tuple[str, ...], code: int, failed: list[str]) -> None:
        options = [word for wish in wishes for word in ("--fail-on", wish)]
        done = run("replay", "--policies", "new", "--json", *options)
        assert (done.code, done.json["failed"]) == (code, failed)

    def test_which_rows(self, run: Runner) -> None:
        assert run("replay", "--limit", "5", "--json").json["rows"] == 5
        assert run("replay", "--principal", "agent:other", "--json").json["rows"] == 0
        assert run("replay", "--server", "shop", "--json").json["rows"] == 12
        assert run("replay", "--until", "1h", "--json").json["rows"] == 0
        assert run("replay", "--since", "2020-01-01T00:00:00Z", "--json").json["rows"] == 12

    def test_two_sets_are_compared_with_each_other(self, run: Runner) -> None:
        told = run("replay", "--policies", "policies", "--base", "new", "--json").json
        assert told["turns"] == {"deny-to-allow": 4, "require_approval-to-deny": 2}
        assert told["changes"][0]["rules_before"] == []
        assert told["base"] != told["revision"]
        assert "compared with what revision " in run("replay", "--policies", "policies", "--base", "new").out

    def test_what_the_record_does_not_hold_is_not_guessed(self, run: Runner, folder: Path) -> None:
        config = folder / "policylayer.yaml"
        config.write_text(config.read_text() + "audit: {arguments: digest}\n")
        record(folder, [call(10), call(9500), call(1, principal="agent:other")])
        told = run("replay", "--json", "--limit", "3", "--fail-on", "undecidable")
        assert told.code == 1
        assert told.json["undecidable"] == 2  # of the third no argument matters
        assert told.json["undecided"][0]["fields"] == ["args.amount"]

    def test_nothing_is_written(self, run: Runner, folder: Path) -> None:
        def count() -> int:
            with sqlite3.connect(folder / "policylayer.db") as raw:
                return int(raw.execute("SELECT count(*) FROM records").fetchone()[0])

        before = count()
        run("replay", "--policies", "new")
        assert count() == before

    def test_policies_that_do_not_load(self, run: Runner, folder: Path) -> None:
        (folder / "new" / "pay.yaml").write_text(PAY.replace("effect: deny", "efect: deny"))
        done = run("replay", "--policies", "new")
        assert (done.code, "error[PL103]" in done.err, "the policies in `new` do not load" in done.err) == (
            3,
            True,
            True,
        )
        assert run("replay", "--base", "new").code == 3


def test_of_a_file_that_export_wrote(run: Runner, folder: Path) -> None:
    assert run("audit", "export", "-o", "log.jsonl").code == 0
    (folder / "policylayer.db").rename(folder / "away.db")
    told = run("replay", "--log", "log.jsonl", "--policies", "new", "-c", "policylayer.yaml", "--json").json
    assert (told["rows"], told["turns"]) == (12, {"allow-to-deny": 4, "deny-to-require_approval": 2})
    assert told["since"] is None
    assert run("replay", "--log", "log.jsonl", "--policies", "new", "--principal", "x", "--json").json["rows"] == 0
    assert run("replay", "--log", "log.jsonl", "--policies", "new", "--limit", "2", "--json").json["rows"] == 2
    future = str(datetime.now(UTC).year + 1)
    done = run("replay", "--log", "log.jsonl", "--policies", "new", "--since", f"{future}-01-01T00:00:00Z", "--json")
    assert done.json["rows"] == 0
    row = json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    for wrong in ({"id": 1}, row | {"time": "0001-01-01T00:00:00+14:00"}):
        (folder / "log.jsonl").write_text(f"{json.dumps(wrong)}\n")
        done = run("replay", "--log", "log.jsonl", "--policies", "new")
        assert (done.code, "log.jsonl:1: this is not a decision of the log" in done.err) == (1, True)
    assert run("replay", "--log", "none.jsonl", "--policies", "new").err.startswith("policylayer: cannot read")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fail-on", "deny-to-hold"), "--fail-on cannot be `deny-to-hold`"),
        (("--limit", "0"), "--limit is not a number of rows"),
        (("--since", "yesterday"), "`yesterday` is neither a duration nor an instant"),
        (("--output", "html"), "--output"),
        (("--log", "a", "--url", "http://x"), "--log and --url are two sources"),
        (("--url", "http://127.0.0.1:1", "--policies", "policies"), "the API needs a person's token"),
        (("--url", "http://127.0.0.1:1", "--token", "t"), "which policies?"),
    ],
)
def test_what_it_cannot_be_asked(run: Runner, arguments: tuple[str, ...], said: str) -> None:
    done = run("replay", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err


def test_where_there_is_nothing(run: Runner, home: Path) -> None:
    done = run("replay")
    assert (done.code, "there is no database" in done.err, "policylayer serve" in done.err) == (1, True, True)
    (home / "policylayer.yaml").unlink()
    done = run("replay", "--policies", "policies")
    assert (done.code, "where are the recorded decisions?" in done.err) == (2, True)
    done = run("replay", "--policies", "policies", "--url", "http://127.0.0.1:1", "--token", "plp_x")
    assert (done.code, "cannot reach" in done.err) == (1, True)


def test_beside_a_running_proxy_and_through_its_api(run: Runner, folder: Path) -> None:
    (folder / "policylayer.db").unlink()
    policies = {path.name: path.read_text() for path in (folder / "policies").iterdir()}
    record(folder, [call(amount) for amount in (10, 30, 60)])
    with Running(folder, servers={"shop": {"url": "http://127.0.0.1:1/mcp"}}, policies=policies) as proxy:
        local = run("replay", "--policies", "new", "-c", "policylayer.yaml", "--json").json
        token = run("token", "create", "--role", "viewer", "--principal", "user:v", "--json").json["token"]
        remote = run("replay", "--policies", "new", "--url", proxy.url, "--token", token, "--json").json
        few = run("replay", "--policies", "new", "--url", proxy.url, "--token", token, "--limit", "2", "--json").json
    assert local["rows"] == 3
    assert {**local, "since": None} == {**remote, "since": None}
    assert few["rows"] == 2
