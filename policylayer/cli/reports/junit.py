"""JUnit's XML, as CI systems read it: a suite for each source, a case for each test, or for each file checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree as xml

from policylayer.cli.reports import Report
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, visible
from policylayer.policy.diagnostics import render as rendered

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(command: str, reports: Sequence[Report]) -> str:
    """One document."""
    root = xml.Element("testsuites", name=f"policylayer {command}")
    for report in reports:
        suite = xml.SubElement(root, "testsuite", name=_text(report.source))
        suite.extend(_tests(report) if command == "test" and report.loaded else _files(report))
    for element in (*root, root):
        cases = list(element.iter("testcase"))
        element.set("tests", str(len(cases)))
        element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        element.set("errors", str(sum(case.find("error") is not None for case in cases)))
        element.set("skipped", "0")
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def _tests(report: Report) -> Iterator[xml.Element]:
    for result in report.results:
        case = _case(report, result.name, result.span.file, result.span.line)
        if not result.passed:
            failure = xml.SubElement(case, "failure", message=_text(result.message), type=Code.TEST_FAILED)
            failure.text = _text(str(result))
        yield case


def _files(report: Report) -> Iterator[xml.Element]:
    """A case for each file: its errors are why it fails, its warnings are printed."""
    for file in sorted({*report.texts, *(each.file for each in report.findings)}):
        found = [each for each in report.findings if each.file == file]
        errors = [each for each in found if each.is_error]
        case = _case(report, file, file, errors[0].line if errors else 1)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            message = _text(f"{errors[0].code}: {errors[0].message}{more}")
            failure = xml.SubElement(case, "failure", message=message, type=errors[0].code)
            failure.text = _shown(errors, report)
        warnings = [each for each in found if not each.is_error]
        if warnings:
            xml.SubElement(case, "system-out").text = _shown(warnings, report)
        yield case


def _case(report: Report, name: str, file: str, line: int) -> xml.Element:
    return xml.Element(
        "testcase", name=_text(name), classname=_text(report.source), file=_text(file), line=str(line), time="0"
    )


def _shown(findings: Sequence[Diagnostic], report: Report) -> str:
    return _NOT_XML.sub("?", rendered(findings, report.texts))


def _text(text: str) -> str:
    """A text without what XML cannot hold."""
    return _NOT_XML.sub("?", visible(text))
