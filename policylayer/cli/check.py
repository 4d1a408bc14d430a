"""`policylayer check`: reads policy folders, and says everything that is wrong with them.

Loads neither the database nor the protocol's libraries: it is run on every save.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import NOT_LOADED
from policylayer.cli.folders import Checked, checked, folders_of
from policylayer.cli.options import ConfigOption
from policylayer.cli.output import emit, note, say
from policylayer.policy.diagnostics import as_json, render

app = new("Read policies, and say everything that is wrong with them.")


@app.command()
def check(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR]…", help="Folders, or `git:REPO@REF`. Default: the configured.")
    ] = None,
    config: ConfigOption = None,
    json: Annotated[bool, typer.Option("--json", help="A line for each finding.")] = False,
) -> None:
    """Read policies, and say everything that is wrong with them."""
    sources, known = folders_of(folders, config)
    broken = False
    for source in sources:
        found = checked(source, known)
        broken = broken or found.loaded.policy_set is None
        _tell(found, source, json)
    if broken:
        raise typer.Exit(NOT_LOADED)


def _tell(found: Checked, source: str, json: bool) -> None:
    prefix = "" if source.startswith("git:") else f"{Path(source)}/"
    if json:
        for each in found.diagnostics:
            emit({**as_json(each), "file": f"{prefix}{each.file}"})
        return
    if found.diagnostics:
        note(render(found.diagnostics, found.files))
    errors = sum(each.is_error for each in found.diagnostics)
    warnings = len(found.diagnostics) - errors
    rules = sum(len(policy.rules) for policy in found.loaded.policies)
    said = f"{len(found.loaded.policies)} policies, {rules} rules, {len(found.loaded.tests)} tests"
    state = f"{errors} errors" if errors else "ok"
    say(f"{source}: {state} ({said}{f', {warnings} warnings' if warnings else ''})")
