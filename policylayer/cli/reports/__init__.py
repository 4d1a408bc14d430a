"""What `check` and `test` found, in the formats that other programs read: one file for each.

A `Report` is what one source came to. Must not know how it was found, nor what people are shown (`check`, `test`).
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from importlib import import_module
from pathlib import Path
from typing import Final

from policylayer.cli.exits import UsageError
from policylayer.core.immutable import immutable
from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.testing import TestResult

FORMATS: Final = ("human", "json", "sarif", "junit", "github")
DOCUMENTS: Final = ("sarif", "junit", "github")
"""Each has `render(command, reports)` in the file of its name."""


@immutable
class Report:
    """One source's findings and test results, their files by paths that can be opened from here.

    `texts` are all files that were read, by the same paths; `summary` is the line that people read.
    """

    source: str
    texts: Mapping[str, bytes]
    findings: tuple[Diagnostic, ...] = ()
    results: tuple[TestResult, ...] = ()
    summary: str = ""
    loaded: bool = field(default=True)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(each.is_error for each in self.findings)


def options(parser: ArgumentParser, as_lines: str) -> None:
    """How a command tells what it found."""
    parser.add_argument("--output", choices=FORMATS, metavar="FORMAT", help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--json", action="store_true", help=f"{as_lines}; the same as --output json")


def form_of(given: Namespace) -> str:
    """The format that is asked for."""
    form: str = given.output or ("json" if given.json else "human")
    if given.json and form != "json":
        raise UsageError(f"--json and --output {form} are two formats", "leave one of them out")
    return form


def render(form: str, command: str, reports: Sequence[Report]) -> str:
    """All reports in one of `DOCUMENTS`."""
    made: str = import_module(f"policylayer.cli.reports.{form}").render(command, reports)
    return made


def prefix_of(source: str) -> str:
    """What stands before the paths of a folder's files; those of a repository are as they are in it."""
    return "" if source.startswith("git:") else f"{Path(source)}/"


def below(prefix: str, finding: Diagnostic) -> Diagnostic:
    """A finding with the path that can be opened from here; one about the folder as a whole is the folder's."""
    shown = prefix.rstrip("/") or "." if finding.file == "." else prefix + finding.file
    # A name that is not UTF-8 is said as far as it can be: no format could hold it.
    return replace(finding, file=os.fsencode(shown).decode("utf-8", "backslashreplace"))
