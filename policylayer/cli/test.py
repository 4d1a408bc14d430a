"""`policylayer test`: runs the tests of policy folders, as activation does."""

from __future__ import annotations

from collections.abc import Sequence

from policylayer.cli.exits import NOT_LOADED, OK, TESTS_FAILED
from policylayer.cli.folders import checked, folder_options, folders_of, tested
from policylayer.cli.output import emit, note, say
from policylayer.cli.plain import Parser
from policylayer.policy.diagnostics import render
from policylayer.policy.testing import TestResult


def run(arguments: list[str]) -> int:
    """Test; returns the exit code."""
    parser = Parser("test", "Run the tests of policies.")
    folder_options(parser)
    parser.add_argument("-k", "--filter", metavar="TEXT", default="", help="only tests whose name holds this")
    parser.add_argument("-v", "--verbose", action="store_true", help="those that pass, too")
    parser.add_argument("--json", action="store_true", help="a line for each test")
    given = parser.parse_args(arguments)
    sources, known = folders_of(given.folders, given.config)
    code = OK
    for source in sources:
        found = checked(source, known)
        if found.loaded.policy_set is None:
            note(render(found.diagnostics, found.files))
            code = NOT_LOADED
            continue
        results = tested(found, given.filter)
        _tell(source, results, given.verbose, given.json)
        if not all(result.passed for result in results):
            code = code or TESTS_FAILED
    return code


def _tell(source: str, results: Sequence[TestResult], verbose: bool, json: bool) -> None:
    for result in results:
        if json:
            where = {"source": source, "file": result.span.file, "line": result.span.line}
            emit({**where, "name": result.name, "passed": result.passed, "message": result.message})
        elif verbose or not result.passed:
            say(str(result))
    if not json:
        failed = sum(not result.passed for result in results)
        say(f"{source}: {len(results) - failed} passed, {failed} failed")
