"""What judging a revision is: load its files, run its tests, say what is wrong.

Runs in `worker.py`'s process; `judge.py` asks it from the proxy's. Must not know processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from policylayer.core.immutable import immutable
from policylayer.policy import ast
from policylayer.policy.diagnostics import Diagnostic, ordered
from policylayer.policy.known import Known
from policylayer.policy.load import load
from policylayer.rego.examine import as_problem, examined


@immutable
class Case:
    """What to judge. `found` is what reading the files already found wrong."""

    files: Mapping[str, bytes]
    found: tuple[Diagnostic, ...]
    known: Known
    not_enforced: frozenset[str]
    seconds: int


@immutable
class Finding:
    """What came of it. `policies` and `directory` are to be compiled again where they are used; None: refused."""

    diagnostics: tuple[Diagnostic, ...]
    policies: tuple[ast.Policy, ...] | None = None
    directory: ast.Directory = field(default_factory=ast.Directory)
    rego: Mapping[str, tuple[ast.AppliesTo, ...]] = field(default_factory=dict)
    tests: int = 0


def judge(case: Case) -> Finding:
    """Load, and run the tests if there is a set to test."""
    loaded = load(case.files, case.known, case.not_enforced)
    found = ordered((*loaded.diagnostics, *case.found))
    if loaded.policy_set is None or any(finding.is_error for finding in found):
        return Finding(found)
    examination = examined(loaded, case.files)
    wrong = (*examination.problems, *map(as_problem, examination.failed))
    if wrong:
        return Finding(ordered((*found, *wrong)))
    return Finding(found, loaded.policies, loaded.directory, loaded.rego, len(examination.results))
