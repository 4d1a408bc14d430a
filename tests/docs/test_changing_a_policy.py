"""docs/changing-a-policy.md: what it shows is what happens: its files written, its commands run, words compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.recorded import record

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "changing-a-policy.md").read_text()
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLAIN = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d)?"), "TIME"),
    (re.compile(r"Revision [0-9a-f]{12}"), "Revision REVISION"),
)
"""What differs each time."""


def blocks(kind: str) -> list[str]:
    return [text for found, text in FENCED.findall(PAGE) if found == kind]


def files() -> Iterator[tuple[str, str]]:
    """The files that the guide shows whole: their first line names them."""
    for text in blocks("yaml"):
        yield text.partition("\n")[0].removeprefix("# "), text


def plain(text: str) -> str:
    for pattern, word in PLAIN:
        text = pattern.sub(word, text)
    return text.rstrip("\n")


def commands() -> Iterator[tuple[str, str]]:
    """Each command with what it is shown to print."""
    for text in blocks("console"):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The guide's repository, committed, with a week's calls in the proxy's log."""
    for name, text in files():
        if name.startswith("policies/"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    (tmp_path / "policylayer.yaml").write_text('servers: {stripe: {url: "http://127.0.0.1:1/mcp"}}\n')
    for arguments in (("init", "-q", "-b", "main"), ("add", "policies"), ("commit", "-qm", "first")):
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)
    amounts = (1200, 2600, 2600, 3900, 4800, 7000, 800)
    calls = [("create_refund", {"amount": amount}) for amount in amounts]
    calls += [("list_charges", {"limit": 10})] * 5 + [("delete_customer", {"id": "c1"})]
    record(
        tmp_path,
        [{"principal": "agent:refund-bot", "server": "stripe", "tool": tool, "arguments": a} for tool, a in calls],
    )
    return tmp_path


def test_the_guide_happens_as_it_says(folder: Path) -> None:
    blank = {name: value for name, value in os.environ.items() if not name.startswith("POLICYLAYER_")}
    environment = {**blank, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command, shown in commands():
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        said = done.stdout + (f"[exit code {done.returncode}]\n" if done.returncode and command.count(">") else "")
        assert plain(said) == plain(shown), f"{command}\n{done.stderr}"
    assert (folder / "report.md").read_text().startswith("### Recorded decisions")
    assert (folder / "report.json").read_text().startswith('{"revision"')


def test_its_workflow_and_hooks_name_what_there_is() -> None:
    written = dict(files())
    workflow = yaml.safe_load(written[".github/workflows/policies.yaml"])
    (step,) = [step for step in workflow["jobs"]["policies"]["steps"] if "policylayer" in step["uses"]]
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert set(step["with"]) <= set(action["inputs"])
    hooks = yaml.safe_load(written[".pre-commit-config.yaml"])["repos"][0]["hooks"]
    known = [hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())]
    assert [hook["id"] for hook in hooks] == known


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
