"""`policylayer explain`: of a call that nobody made, of a recorded one, and of a code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from policylayer.config.codes import ConfigCode
from policylayer.policy.codes import Code
from policylayer.rego.codes import RegoCode
from tests.cli.runner import Runner
from tests.support.recorded import record

PAY = """\
policy: pay
applies_to: {principals: [group:agents], servers: [shop]}
rules:
  - {id: small, tools: [refund], when: {args.amount: {lte: 50}, args.card: {exists: false}}, effect: allow}
  - {id: large, tools: [refund], when: {args.amount: {gt: 50}}, effect: require_approval, reason: Ask.}
  - {id: never, tools: [refund], when: {args.amount: {gt: 5000}}, effect: deny, reason: Too much.}
"""
CALL = ("--principal", "agent:bot", "--server", "shop", "--tool", "refund")


@pytest.fixture
def folder(home: Path) -> Path:
    """A folder with refunds in it."""
    (home / "policies" / "pay.yaml").write_text(PAY)
    return home


@pytest.mark.usefixtures("folder")
class TestACallThatNobodyMade:
    """Options, or an access request on standard input."""

    def test_lines_for_people(self, run: Runner) -> None:
        done = run("explain", *CALL, "--args", '{"amount": 9000}')
        assert done.code == 0
        assert done.out.splitlines()[0] == "deny (rule): rule pay/never: Too much."
        assert "  pay/never  pay.yaml:6  deny: yes (decided)" in done.out
        assert "    yes        args.amount: {gt: 5000}  <- 9000  (line 6)" in done.out
        assert "The smallest change: `args.amount` = 5000 (pay/never: args.amount: {gt: 5000}): then" in done.out

    def test_json(self, run: Runner) -> None:
        told = run("explain", *CALL, "--args", '{"amount": 10}', "--json").json
        assert told["decision"]["effect"] == "allow"
        assert [rule["rule"] for rule in told["rules"] if rule["decided"]] == ["small"]
        assert told["change"]["steps"][0]["field"] in ("args.amount", "args.card")

    def test_a_folder_that_is_named(self, run: Runner, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        (other / "p.yaml").write_text(PAY.replace("group:agents", "*").replace("[*]", '["*"]'))
        done = run("explain", "--policies", str(other), *CALL, "--args", '{"amount": 10}', "--json").json
        assert done["decision"]["effect"] == "allow"

    def test_an_access_request_on_standard_input(self, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
        request = {
            "principal": {"id": "agent:bot"},
            "server": "shop",
            "tool": "refund",
            "arguments": {"amount": 10},
            "at": "2026-11-23T10:00:00Z",
        }
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(request).encode())))
        told = run("explain", "--json").json
        assert told["decision"]["effect"] == "allow"
        assert told["question"]["at"] == "2026-11-23T10:00:00Z"

    def test_rules_about_others(self, run: Runner) -> None:
        assert "rules are about other calls or callers" in run("explain", *CALL).out
        assert 'shop/read  shop.yaml:4  no: target: tools: ["get_*"]' in run("explain", *CALL, "--all").out

    def test_where_nobody_is_meant_the_rules_of_the_target_are_shown(self, run: Runner) -> None:
        done = run("explain", "--principal", "agent:other", "--server", "shop", "--tool", "refund")
        assert "No rule is about this call: those that name it" in done.out
        assert "applies_to.principals: [group:agents]" in done.out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((*CALL, "--args", "{amount: 1}"), "--args is not JSON\n"),
            ((*CALL, "--args", '{"a": 1, "a": 2}'), "--args is not JSON"),
            ((*CALL, "--args", "[1]"), "--args is not a JSON object"),
            ((*CALL, "--at", "noon"), "`at` is not a moment"),
            ((*CALL, "--at", "2026-11-23T10:00:00"), "`at` needs its offset"),
            ((*CALL, "--at", "0001-01-01T00:00:00+14:00"), "`at` is not in the years 1970 to 9000"),
            ((*CALL, "--at", "9999-12-31T23:59:59Z"), "`at` is not in the years 1970 to 9000"),
            ((*CALL, "--risk", "foo"), "`risk` is one of read, write"),
            ((*CALL, "--ip", "999.1.1.1"), "`ip` is not an address"),
            ((*CALL, "--approved", "pay/larger"), "there is no rule `pay/larger`\n  help: did you mean `pay/large`?"),
            ((*CALL, "--approved", "pay/never"), "rule `pay/never` never asks for approval"),
            ((*CALL, "--approved", "rego/x"), "there is no rule `rego/x`"),
            ((*CALL, "--for", "agent:bot"), "nobody acts for themselves"),
            (("--principal", "agent:bot", "--server", "shop"), "which call?"),
            (("--principal", "agent:bot", "--tool", "refund"), "which call?"),
            (("--principal", "group:ops", "--server", "shop", "--tool", "refund"), "is nobody's name"),
            (("--principal", "", "--server", "shop", "--tool", "refund"), "is nobody's name"),
            ((*CALL, "--for", "alice"), "is nobody's name"),
            (
                (
                    *["--principal", "agent:bot", "--server", "shop", "--method", "tools/call", "--args"],
                    '{"name": "refund"}',
                ),
                "give --tool NAME in its place",
            ),
        ],
    )
    def test_what_is_no_call(self, run: Runner, arguments: tuple[str, ...], said: str) -> None:
        done = run("explain", *arguments)
        assert (done.code, said in done.err) == (2, True), done.err

    def test_a_hold_that_is_satisfied_a_risk_and_an_address(self, run: Runner) -> None:
        how = ("--approved", "pay/large", "--risk", "financial", "--ip", "203.0.113.7")
        done = run("explain", *CALL, "--args", '{"amount": 100}', *how, "--json")
        assert (done.json["decision"]["effect"], done.err) == ("allow", "")

    def test_a_server_that_is_not_configured_is_told(self, run: Runner) -> None:
        done = run("explain", "--principal", "agent:bot", "--server", "shoop", "--tool", "refund", "--json")
        assert done.json["decision"]["effect"] == "deny"
        assert "no server `shoop` is configured" in done.err
        assert "did you mean `shop`?" in done.err
        alone = run("explain", "--policies", "policies", "--principal", "agent:x", "--server", "shoop", "--tool", "a")
        assert alone.err == "", "of policy files alone nobody knows the servers"

    def test_unknown_words_of_a_request(self, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"principal": "agent:bot", "server": "shop", "sever": 1}'))
        )
        done = run("explain")
        assert done.code == 2
        assert "sever" in done.err

    def test_policies_that_do_not_load(self, run: Runner, folder: Path) -> None:
        (folder / "policies" / "pay.yaml").write_text(PAY.replace("effect: deny", "efect: deny"))
        done = run("explain", *CALL)
        assert done.code == 3
        assert "pay.yaml:6:" in done.err
        assert "error[PL103]" in done.err


class TestARecordedDecision:
    """By its id, with what the record keeps."""

    def asked(self, **arguments: object) -> dict[str, object]:
        return {"principal": "agent:bot", "server": "shop", "tool": "refund", "arguments": arguments}

    def test_it_is_explained(self, run: Runner, folder: Path) -> None:
        (row,) = record(folder, [self.asked(amount=9000)])
        done = run("explain", row, "-c", "policylayer.yaml")
        assert done.out.startswith("Recorded 20")
        assert "deny (rule): rule pay/never: Too much." in done.out
        assert "by revision" not in done.out
        told = run("explain", row, "--json").json
        assert told["recorded"]["id"] == row
        assert told["change"]["steps"][0]["to"] == 5000

    def test_another_revision_than_then_is_said(self, run: Runner, folder: Path) -> None:
        (row,) = record(folder, [self.asked(amount=9000)])
        (folder / "policies" / "pay.yaml").write_text(PAY.replace("gt: 5000", "gt: 10000"))
        done = run("explain", row)
        assert "  by revision " in done.out
        assert "\nrequire_approval (rule): rule pay/large: Ask." in done.out

    def test_what_was_not_kept_is_not_guessed(self, run: Runner, folder: Path) -> None:
        (folder / "policylayer.yaml").write_text(
            (folder / "policylayer.yaml").read_text() + "audit: {arguments: digest}\n"
        )
        (row,) = record(folder, [self.asked(amount=10)])
        told = run("explain", row, "--json").json
        assert told["possible"] == ["allow", "deny", "require_approval"]
        assert told["not_known"] == ["args.amount", "args.card"]
        assert told["change"] is None
        assert "the record does not hold what decides" in run("explain", row).out

    def test_what_was_masked_is_not_known(self, run: Runner, folder: Path) -> None:
        (folder / "policies" / "pay.yaml").write_text(PAY + "redact: [args.card]\n")
        (row,) = record(folder, [self.asked(amount=10, card="4111 1111 1111 1111", password="hunter2")])
        told = run("explain", row, "--json").json
        assert told["not_known"] == ["args.card"]

    def test_no_such_row(self, run: Runner, folder: Path) -> None:
        record(folder, [])
        assert run("explain", "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e").code == 1
        assert run("explain", "x", "--policies", "policies").code == 2


@pytest.mark.parametrize("code", [*Code, *RegoCode, *ConfigCode], ids=str)
def test_every_code_is_explained(run: Runner, code: str) -> None:
    done = run("explain", str(code).lower())
    assert done.code == 0
    assert done.out.startswith(f"{code}: ")
    assert len(done.out.splitlines()) > 2


def test_a_code_that_there_is_not(run: Runner) -> None:
    done = run("explain", "PL999")
    assert (done.code, "there is no code `PL999`" in done.err) == (1, True)
