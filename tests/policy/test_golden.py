"""Each malformed file or folder is refused with exactly these words at exactly these places.

`POLICYLAYER_GOLDEN=write pytest tests/policy/test_golden.py` writes what is said now; read the difference before
committing it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from policylayer.core.call import Json
from policylayer.policy import tool_lists
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, render
from policylayer.policy.known import Known
from policylayer.policy.load import Loaded, load

CASES = Path(__file__).resolve().parents[1] / "cases" / "diagnostics"
BASE = {"principals.yaml": (CASES / "base" / "principals.yaml").read_bytes()}
NAMES = sorted(
    path.stem if path.suffix == ".yaml" else path.name
    for path in CASES.iterdir()
    if path.suffix == ".yaml" or (path.is_dir() and path.name != "base")
)


def tools_of(server: str) -> Mapping[str, Json]:
    """The input schemas that `base` has recorded of a server."""
    sink: list[Diagnostic] = []
    name = f"{server}.tools.json"
    found = tool_lists.read(name, (CASES / "base" / name).read_bytes(), sink)
    assert found is not None
    assert not sink
    return found.schemas


EVERYTHING = frozenset(
    {"limits", "label", "earn", "mask", "cap", "risk", "traits", "annotations", "session", "for", "rego"}
)
KNOWN = Known(
    servers=frozenset({"shop", "stripe"}),
    methods=frozenset({"tools/call", "tools/list", "sampling/createMessage"}),
)
LISTED = Known(servers=frozenset({"shop", "stripe"}), tools={"stripe": tools_of("stripe")})
"""What is known to the cases whose names begin with `tool-`."""
WITHOUT_ERRORS = {"hidden-direction", "no-reason", "client-claim", "limit-warnings", "opens-with-membership"} | {
    "configuration",
    "beaten",
    "left-by-query",
    "tool-fine",
    "tool-never",
    "tool-uncovered",
}
"""Cases whose findings are all warnings."""
RAISED_ELSEWHERE = {Code.TEST_FAILED, Code.TESTS_STOPPED, Code.NOT_LOADED, Code.UNREADABLE} | {
    Code.TOOLS_UNREADABLE,
    Code.TOOLS_CHANGED,
    Code.BAD_INPUT_SCHEMA,
}
"""Codes of `revisions/` and of recorded tools, which tests of their own show."""


def files_of(name: str) -> dict[str, bytes]:
    """The files of a case; one that is a single file stands beside the principals.yaml of `base`."""
    single = CASES / f"{name}.yaml"
    if single.exists():
        return {**BASE, f"{name}.yaml": single.read_bytes()}
    folder = CASES / name
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def loaded(name: str) -> tuple[Loaded, dict[str, bytes]]:
    """The case, loaded by a build that enforces all of the language, or nothing of it."""
    files = files_of(name)
    known = LISTED if name.startswith("tool-") else KNOWN
    return load(files, known, EVERYTHING if name in ("not-enforced", "unknown-files") else frozenset()), files


@pytest.mark.shows("proxy.9", "policy.5")
@pytest.mark.parametrize("name", NAMES)
def test_a_malformed_file_is_refused_in_these_words(name: str) -> None:
    result, files = loaded(name)
    said = render(result.diagnostics, files)
    golden = CASES / f"{name}.golden"
    if os.environ.get("POLICYLAYER_GOLDEN") == "write":
        golden.write_text(said)
    assert said == golden.read_text()
    assert (result.policy_set is None) is (name not in WITHOUT_ERRORS)
    assert all(finding.line >= 1 and finding.column >= 1 for finding in result.diagnostics)


def test_every_code_has_a_golden_case() -> None:
    shown = {code for path in CASES.glob("*.golden") for code in re.findall(r"\[(PL\d+)\]", path.read_text())}
    assert {str(code) for code in Code} - shown == {str(code) for code in RAISED_ELSEWHERE}


def test_every_golden_case_has_its_files() -> None:
    assert sorted(path.stem for path in CASES.glob("*.golden")) == NAMES
