"""`policylayer test`: runs the tests of policy folders, as activation does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from policylayer.cli import reports
from policylayer.cli.exits import FAILED, NOT_LOADED, OK, TESTS_FAILED
from policylayer.cli.folders import checked, folder_options, folders_of, tested
from policylayer.cli.output import emit, note, say, write
from policylayer.cli.plain import Parser
from policylayer.cli.reports import Report
from policylayer.policy.diagnostics import render
from policylayer.policy.known import Known
from policylayer.policy.testing import TestResult


def run(arguments: list[str]) -> int:
    """Test; returns the exit code."""
    parser = Parser("test", "Run the tests of policies.")
    folder_options(parser)
    parser.add_argument("-k", "--filter", metavar="TEXT", default="", help="only tests whose name holds this")
    parser.add_argument("-v", "--verbose", action="store_true", help="those that pass, too")
    reports.options(parser, "a line for each test")
    given = parser.parse_args(arguments)
    sources, known = folders_of(given.folders, given.config)
    told = [_test(source, known, given.filter) for source in sources]
    _tell(reports.form_of(given), told, given.verbose)
    if not all(report.loaded for report in told):
        return NOT_LOADED
    if given.filter and not any(report.results for report in told):
        note(f"policylayer: no test matches `{given.filter}`")
        return FAILED
    return OK if all(result.passed for report in told for result in report.results) else TESTS_FAILED


def _test(source: str, known: Known, only: str) -> Report:
    """One source's results; its findings where it does not load."""
    found = checked(source, known)
    prefix = reports.prefix_of(source)
    texts = {prefix + file: text for file, text in found.files.items()}
    if found.loaded.policy_set is None:
        findings = tuple(reports.below(prefix, each) for each in found.diagnostics)
        return Report(source, texts, findings, loaded=False)
    results = tuple(_below(prefix, result) for result in tested(found, only))
    failed = sum(not result.passed for result in results)
    return Report(source, texts, results=results, summary=f"{source}: {len(results) - failed} passed, {failed} failed")


def _below(prefix: str, result: TestResult) -> TestResult:
    return replace(result, span=replace(result.span, file=prefix + result.span.file))


def _tell(form: str, told: Sequence[Report], verbose: bool) -> None:
    if form in reports.DOCUMENTS:
        write(reports.render(form, "test", told))
        return
    for report in told:
        if not report.loaded:
            note(render(report.findings, report.texts))
            continue
        for result in report.results:
            if form == "json":
                emit(_line(report, result))
            elif verbose or not result.passed:
                say(str(result))
        if form == "human":
            say(report.summary)


def _line(report: Report, result: TestResult) -> dict[str, object]:
    file = result.span.file.removeprefix(reports.prefix_of(report.source))
    where = {"source": report.source, "file": file, "line": result.span.line}
    return {**where, "name": result.name, "passed": result.passed, "message": result.message}
