"""SARIF 2.1.0, as code scanning reads it: one run, its rules the codes, its results the findings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson

from policylayer import __version__
from policylayer.cli.reports import Report
from policylayer.policy.codes import Code
from policylayer.policy.codes_about import CODES, About
from policylayer.policy.diagnostics import Diagnostic, error, token_end, visible

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def render(command: str, reports: Sequence[Report]) -> str:
    """One log with one run."""
    found = [(each, report) for report in reports for each in _findings(report)]
    codes = sorted({each.code for each, _ in found})
    about = _about()
    driver = {
        "name": "policylayer",
        "version": __version__,
        "rules": [_rule(code, about.get(code)) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, codes.index(each.code), report) for each, report in found],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return orjson.dumps(log, option=orjson.OPT_INDENT_2).decode() + "\n"


def _findings(report: Report) -> Iterator[Diagnostic]:
    """Failed tests are findings, too."""
    yield from report.findings
    for result in report.results:
        if not result.passed:
            yield error(Code.TEST_FAILED, result.span, f"{result.name}: {result.message}")


def _about() -> Mapping[str, About]:
    from policylayer.rego.codes import ABOUT as REGO

    return {str(code): about for table in (CODES, REGO) for code, about in table.items()}


def _rule(code: str, about: About | None) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code}
    if about is not None:
        rule["shortDescription"] = {"text": about.title}
        rule["fullDescription"] = {"text": about.explanation}
        rule["help"] = {"text": f"For example: {about.example}\nInstead: {about.fix}"}
    return rule


def _result(finding: Diagnostic, index: int, report: Report) -> dict[str, Any]:
    said = f"{finding.message} (help: {finding.help})" if finding.help else finding.message
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": visible(said)},
        "locations": [{"physicalLocation": _location(finding, report)}],
        "partialFingerprints": {"policylayer/v1": _fingerprint(finding, report)},
    }


def _location(finding: Diagnostic, report: Report) -> dict[str, Any]:
    path = Path(finding.file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    line = _line(finding, report)
    end = max(token_end(line, finding.column - 1), finding.column) + 1
    region = {"startLine": finding.line, "startColumn": finding.column, "endColumn": end}
    return {"artifactLocation": {"uri": uri}, "region": region}


def _line(finding: Diagnostic, report: Report) -> str:
    lines = report.texts.get(finding.file, b"").decode("utf-8", "replace").split("\n")
    return lines[finding.line - 1].rstrip("\r") if 0 < finding.line <= len(lines) else ""


def _fingerprint(finding: Diagnostic, report: Report) -> str:
    """The same finding keeps it when lines move."""
    parts = (finding.code, finding.file, finding.message, _line(finding, report).strip())
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
