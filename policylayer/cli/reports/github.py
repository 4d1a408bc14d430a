"""GitHub's workflow commands: each finding is shown at its line of the pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policylayer.cli.reports import Report
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import visible


def render(command: str, reports: Sequence[Report]) -> str:
    """A command for each finding and each failed test, then the lines that people read."""
    lines = [line for report in reports for line in _of(report)]
    return "\n".join([*lines, *(visible(report.summary) for report in reports if report.summary)]) + "\n"


def _of(report: Report) -> Iterator[str]:
    for each in report.findings:
        said = f"{each.message}\nhelp: {each.help}" if each.help else each.message
        yield _command(each.severity, each.file, each.line, each.column, each.code, said)
    for result in report.results:
        if not result.passed:
            said = f"{result.name}: {result.message}"
            yield _command("error", result.span.file, result.span.line, result.span.column, Code.TEST_FAILED, said)


def _command(severity: str, file: str, line: int, column: int, code: str, said: str) -> str:
    where = f"file={_property(file)},line={line},col={column},title={_property(code)}"
    return f"::{severity} {where}::{_data(said)}"


def _data(text: str) -> str:
    """A message as a command holds it; it can end neither the line nor the command."""
    lines = "\n".join(map(visible, text.split("\n")))
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
