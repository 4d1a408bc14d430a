"""Every example policy loads without a word, has tests, and passes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylayer.examples.shop import build
from policylayer.policy import tool_lists
from policylayer.policy.diagnostics import Diagnostic, render
from policylayer.policy.known import Known
from policylayer.policy.load import load
from policylayer.rego.examine import examined

ROOT = Path(__file__).resolve().parents[1] / "policies"
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir())


@pytest.mark.shows("policy.7")
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


async def _listed() -> tool_lists.ToolList:
    """The example shop's tools, as it lists them."""
    tools = await build().list_tools()
    text = tool_lists.as_text("shop", [tool.model_dump(mode="json", by_alias=True) for tool in tools])
    sink: list[Diagnostic] = []
    found = tool_lists.read("shop.tools.json", text.encode(), sink)
    assert found is not None
    assert sink == []
    return found


@pytest.mark.anyio
async def test_the_shops_policies_are_right_about_the_shops_tools() -> None:
    listed = await _listed()
    folder = ROOT / "shop"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    known = Known(servers=frozenset({"shop"}), tools={"shop": listed.schemas})
    found = load(files, known).diagnostics
    assert not found, render(found, files)
    slip = files["support.yaml"].replace(b"args.note:", b"args.notes:")
    codes = {each.code for each in load({**files, "support.yaml": slip}, known).diagnostics}
    assert codes == {"PL404"}


def test_every_example_is_in_the_list() -> None:
    listed = (ROOT / "README.md").read_text()
    assert all(f"`{folder.name}/`" in listed for folder in FOLDERS)
