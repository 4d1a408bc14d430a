"""`policylayer test`: runs the tests of policy folders, as activation does."""

from __future__ import annotations

from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import NOT_LOADED, TESTS_FAILED
from policylayer.cli.folders import checked, folders_of
from policylayer.cli.options import ConfigOption
from policylayer.cli.output import emit, note, say
from policylayer.policy.diagnostics import render
from policylayer.policy.testing import TestResult, run

app = new("Run the tests of policies.")


@app.command("test")
def run_tests(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR]…", help="Folders, or `git:REPO@REF`. Default: the configured.")
    ] = None,
    config: ConfigOption = None,
    filter: Annotated[str | None, typer.Option("-k", "--filter", help="Only tests whose name holds this.")] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Those that pass, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A line for each test.")] = False,
) -> None:
    """Run the tests of policies."""
    sources, known = folders_of(folders, config)
    code = 0
    for source in sources:
        found = checked(source, known)
        if found.loaded.policy_set is None:
            note(render(found.diagnostics, found.files))
            code = NOT_LOADED
            continue
        chosen = [each for each in found.loaded.tests if filter is None or filter.lower() in each.name.lower()]
        results = run(found.loaded.policy_set, chosen)
        failed = [result for result in results if not result.passed]
        _tell(source, results, verbose, json)
        code = code or (TESTS_FAILED if failed else 0)
    raise typer.Exit(code)


def _tell(source: str, results: list[TestResult], verbose: bool, json: bool) -> None:
    for result in results:
        if json:
            where = {"source": source, "file": result.span.file, "line": result.span.line}
            emit({**where, "name": result.name, "passed": result.passed, "message": result.message})
        elif verbose or not result.passed:
            say(str(result))
    if not json:
        failed = sum(not result.passed for result in results)
        say(f"{source}: {len(results) - failed} passed, {failed} failed")
