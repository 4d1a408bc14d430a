"""`policylayer check`: reads policy folders, and says everything that is wrong with them.

Loads neither the database, the protocol's libraries nor the command line's: it is run on every save.
"""

from __future__ import annotations

from pathlib import Path

from policylayer.cli.exits import NOT_LOADED, OK
from policylayer.cli.folders import Checked, checked, folder_options, folders_of
from policylayer.cli.output import emit, note, say
from policylayer.cli.plain import Parser
from policylayer.policy.diagnostics import as_json, render


def run(arguments: list[str]) -> int:
    """Check; returns the exit code."""
    parser = Parser("check", "Read policies, and say everything that is wrong with them.")
    folder_options(parser)
    parser.add_argument("--json", action="store_true", help="a line for each finding")
    given = parser.parse_args(arguments)
    sources, known = folders_of(given.folders, given.config)
    code = OK
    for source in sources:
        found = checked(source, known)
        if found.loaded.policy_set is None:
            code = NOT_LOADED
        _tell(found, source, given.json)
    return code


def _tell(found: Checked, source: str, json: bool) -> None:
    if json:
        prefix = "" if source.startswith("git:") else f"{Path(source)}/"
        for each in found.diagnostics:
            emit({**as_json(each), "file": f"{prefix}{each.file}"})
        return
    if found.diagnostics:
        note(render(found.diagnostics, found.files))
    errors = sum(each.is_error for each in found.diagnostics)
    warnings = len(found.diagnostics) - errors
    loaded = found.loaded
    parts = [
        _count(len(loaded.policies), "policy", "policies"),
        _count(sum(len(policy.rules) for policy in loaded.policies), "rule"),
        _count(len(loaded.tests), "test"),
        *([_count(warnings, "warning")] if warnings else []),
    ]
    say(f"{source}: {_count(errors, 'error') if errors else 'ok'} ({', '.join(parts)})")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
