"""`check` and `test` in the formats that other programs read; what stands in a policy stays in its place there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as xml

import jsonschema_rs
import orjson
import pytest

from policylayer.cli import reports
from policylayer.cli.reports import Report, github, junit, sarif
from policylayer.policy.ast import Span
from policylayer.policy.diagnostics import Diagnostic, error, warning
from policylayer.policy.testing import TestResult
from tests.cli.runner import Runner

TEXT: Final = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
ONE: Final = {"type": "integer", "minimum": 1}
REGION: Final = {
    "type": "object",
    "required": ["startLine", "startColumn", "endColumn"],
    "properties": {"startLine": ONE, "startColumn": ONE, "endColumn": ONE},
}
LOCATION: Final = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "region": REGION,
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~:/%@!$&'()*+,;=-]+$"}},
                },
            },
        }
    },
}
RULE: Final = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "shortDescription": TEXT, "fullDescription": TEXT, "help": TEXT},
    "additionalProperties": False,
}
RESULT: Final = {
    "type": "object",
    "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
    "properties": {
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": TEXT,
        "locations": {"type": "array", "minItems": 1, "items": LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
RUN: Final = {
    "type": "object",
    "required": ["tool", "results"],
    "properties": {
        "tool": {
            "type": "object",
            "required": ["driver"],
            "properties": {
                "driver": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"rules": {"type": "array", "items": RULE, "uniqueItems": True}},
                }
            },
        },
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "results": {"type": "array", "items": RESULT},
    },
}
SARIF: Final = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {"version": {"const": "2.1.0"}, "runs": {"type": "array", "minItems": 1, "items": RUN}},
}
"""What of SARIF 2.1.0's own schema concerns what is written here."""


def read_sarif(text: str) -> dict[str, Any]:
    """The one run of a log, which fits the schema; its results name its rules."""
    log: dict[str, Any] = orjson.loads(text)
    jsonschema_rs.Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    found: dict[str, Any] = run
    return found


@pytest.fixture
def broken(home: Path) -> Path:
    """A policy with a warning and an error."""
    path = home / "policies" / "shop.yaml"
    text = path.read_text().replace("effect: allow", "efect: allow")
    path.write_text(text + "  - {id: never, tools: [drop], effect: deny}\n")
    return home


def test_sarif(run: Runner, broken: Path) -> None:
    done = run("check", "--output", "sarif")
    assert (done.code, done.err) == (3, "")
    found = read_sarif(done.out)
    assert [(each["ruleId"], each["level"]) for each in found["results"]] == [("PL103", "error"), ("PL153", "warning")]
    place = found["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "policies/shop.yaml"
    assert place["region"] == {"startLine": 4, "startColumn": 34, "endColumn": 39}
    assert read_sarif(run("test", "--output", "sarif").out)["results"][0]["ruleId"] == "PL103"


def test_junit(run: Runner, broken: Path) -> None:
    done = run("check", "--output", "junit")
    assert (done.code, done.err) == (3, "")
    root = xml.fromstring(done.out)
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "3", "1", "0")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert set(cases) == {f"policies/{name}.yaml" for name in ("principals", "shop", "shop_test")}
    failure = cases["policies/shop.yaml"].find("failure")
    assert failure is not None
    assert failure.get("message") == "PL103: unknown key `efect` in rule `read`"
    assert "policies/shop.yaml:4:34: error[PL103]" in str(failure.text)
    assert "warning[PL153]" in str(cases["policies/shop.yaml"].findtext("system-out"))


def test_github(run: Runner, broken: Path) -> None:
    first, second, summary = run("check", "--output", "github").out.splitlines()
    assert first == (
        "::error file=policies/shop.yaml,line=4,col=34,title=PL103::"
        "unknown key `efect` in rule `read`%0Ahelp: did you mean `effect`?"
    )
    assert second.startswith("::warning file=policies/shop.yaml,line=6,col=5,title=PL153::a denial without a reason%0A")
    assert summary == "policies: 1 error (1 policy, 3 rules, 1 test, 1 warning)"


def test_tests_in_every_format(run: Runner, home: Path) -> None:
    assert run("test", "--output", "github").out == "policies: 1 passed, 0 failed\n"
    assert read_sarif(run("test", "--output", "sarif").out)["results"] == []
    path = home / "policies" / "shop_test.yaml"
    path.write_text(path.read_text().replace("effect: allow", "effect: deny"))
    done = run("test", "--output", "junit")
    assert (done.code, done.err) == (4, "")
    root = xml.fromstring(done.out)
    assert (root.get("tests"), root.get("failures")) == ("1", "1")
    (case,) = root.iter("testcase")
    assert (case.get("name"), case.get("file"), case.get("line")) == ("reading passes", "policies/shop_test.yaml", "5")
    line = run("test", "--output", "github").out.splitlines()[0]
    assert line.startswith(
        "::error file=policies/shop_test.yaml,line=5,col=13,title=PL190::reading passes: expected deny"
    )
    (result,) = read_sarif(run("test", "--output", "sarif").out)["results"]
    assert (result["ruleId"], result["level"]) == ("PL190", "error")


def test_lines_of_json_are_as_they_were(run: Runner, broken: Path) -> None:
    lines = run("check", "--json").lines
    assert lines == run("check", "--output", "json").lines
    assert [set(line) for line in lines] == [{"file", "line", "column", "severity", "code", "message", "help"}] * 2


def test_two_formats_at_once_are_refused(run: Runner) -> None:
    assert run("check", "--json", "--output", "sarif").code == 2
    assert run("test", "--output", "yaml").code == 2
    assert run("check", "--json", "--output", "json").code == 0


def test_several_folders_are_one_document(run: Runner, broken: Path) -> None:
    (broken / "other").mkdir()
    (broken / "other" / "x.yaml").write_text('policy: x\napplies_to: {principals: "*", servers: "*"}\nrules: []\n')
    done = run("check", "policies", "other", "--output", "junit")
    assert [suite.get("name") for suite in xml.fromstring(done.out)] == ["policies", "other"]
    assert read_sarif(run("check", "policies", "other", "--output", "sarif").out)["results"]


# --- what stands in a policy ------------------------------------------------------------------------------------------

ODD: Final = "50%\r\n::error::x,y:z <b>\x1b[2J\ufffe ]]> &amp; \u202e"


def odd_report() -> Report:
    """A report whose every text means something to some format."""
    finding = Diagnostic(f"policies/a,b:c%\n{ODD}.yaml", 3, 2, "error", "PL103", ODD, ODD)
    result = TestResult(ODD, Span("policies/x y#ä.yaml", 1, 1), False, ODD)
    return Report(ODD, {finding.file: f"\n\n  {ODD}\n".encode()}, (finding,), (result,), ODD)


def test_a_workflow_command_ends_where_it_should() -> None:
    lines = github.render("check", [odd_report()]).splitlines()
    commands = [line for line in lines if line.startswith("::")]
    assert len(commands) == 2
    for command in commands:
        assert not any(sign in command for sign in "\x1b\r\u202e")
        properties = command[2:].partition("::")[0].partition(" ")[2]
        assert [part.partition("=")[0] for part in properties.split(",")] == ["file", "line", "col", "title"]
    assert "file=policies/a%2Cb%3Ac%25%0A50%25" in commands[0]


@pytest.mark.parametrize("command", ["check", "test"])
def test_xml_holds_any_text(command: str) -> None:
    root = xml.fromstring(junit.render(command, [odd_report()]))
    (failure,) = root.iter("failure")
    assert "<b>" in str(failure.get("message"))
    assert "\x1b" not in str(failure.text)


def test_sarif_holds_any_text() -> None:
    report = odd_report()
    finding = report.findings[0]
    plain = Diagnostic("policies/x y#ä.yaml", 1, 1, "error", "PL103", finding.message)
    found = read_sarif(sarif.render("check", [Report("p", {}, (plain,))]))
    place = found["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "policies/x%20y%23%C3%A4.yaml"
    whole = read_sarif(sarif.render("check", [report]))
    assert len(whole["results"]) == 2


def test_a_name_that_is_not_utf_8_is_said_in_every_format(run: Runner, home: Path) -> None:
    (home / os.fsdecode(b"policies/\xff.yaml")).write_text("x")
    for form in reports.FORMATS:
        done = run("check", "--output", form)
        assert done.code == 3
        # As the byte, or as what Python takes it for.
        assert re.search(r"(?i)(x|udc)ff\.yaml", done.out + done.err), form


def test_a_path_from_the_root_is_a_uri() -> None:
    finding = error("PL132", Span("/srv/policies", 1, 1), "there is no policy here")
    (result,) = read_sarif(sarif.render("check", [Report("/srv/policies", {}, (finding,))]))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///srv/policies"


def test_a_finding_keeps_its_fingerprint_when_lines_move() -> None:
    def fingerprint(line: int) -> str:
        text = b"\n" * (line - 1) + b"  efect: deny\n"
        finding = warning("PL103", Span("p.yaml", line, 3), "unknown key")
        (result,) = read_sarif(sarif.render("check", [Report("p", {"p.yaml": text}, (finding,))]))["results"]
        found: str = result["partialFingerprints"]["policylayer/v1"]
        return found

    assert fingerprint(1) == fingerprint(9)


def test_paths_are_shown_as_they_can_be_opened() -> None:
    finding = error("PL132", Span(".", 1, 1), "there is no policy here")
    assert reports.below(reports.prefix_of("team/policies"), finding).file == "team/policies"
    assert reports.below(reports.prefix_of("./p/"), error("PL1", Span("a.yaml", 1, 1), "x")).file == "p/a.yaml"
    assert reports.below(reports.prefix_of("git:.@main"), error("PL1", Span("a.yaml", 1, 1), "x")).file == "a.yaml"
