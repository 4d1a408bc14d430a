"""Every example policy loads without a word, has tests, and passes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylayer.policy.diagnostics import render
from policylayer.policy.load import load
from policylayer.rego.examine import examined

ROOT = Path(__file__).resolve().parents[1] / "policies"
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=[path.name for path in FOLDERS])
def test_an_example_loads_and_passes(folder: Path) -> None:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    loaded = load(files)
    assert not loaded.diagnostics, render(loaded.diagnostics, files)
    assert loaded.policy_set is not None
    assert loaded.tests
    if loaded.rego:
        pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    examination = examined(loaded, files)
    assert not examination.problems, render(examination.problems, files)
    assert [str(result) for result in examination.failed] == []
    shown = {name for test in loaded.tests for name in test.expected.rules or ()}
    assert {rule.name for rule in loaded.policy_set.rules} - shown == set(), "each rule has a test"


def test_every_example_is_in_the_list() -> None:
    listed = (ROOT / "README.md").read_text()
    assert all(f"`{folder.name}/`" in listed for folder in FOLDERS)
