"""The README's policy is one: it passes `check` as it stands there, with the groups that are named beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policylayer.cli.folders import checked
from policylayer.policy.known import Known

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.shows("proxy.1")
def test_the_policy_passes_check(tmp_path: Path) -> None:
    policy = re.search(r"```yaml\n(policy: .*?)```", README, re.DOTALL)
    groups = re.search(r"`(groups: \{.*?\})`", README)
    assert policy is not None
    assert groups is not None
    (tmp_path / "payments.yaml").write_text(policy[1])
    (tmp_path / "principals.yaml").write_text(groups[1])
    found = checked(str(tmp_path), Known())
    assert [each.message for each in found.diagnostics] == []


def test_what_it_links_to_is_there() -> None:
    links: list[str] = re.findall(r"\]\(([^)#:]+)\)", README)
    assert {"docs/operations.md", "examples"} <= set(links)
    assert [link for link in links if not (ROOT / link).exists()] == []
