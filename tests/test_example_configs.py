"""Every example configuration loads, and its policies do with the servers that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylayer.cli.folders import checked
from policylayer.config import load
from policylayer.policy.known import Known

ROOT = Path(__file__).resolve().parents[1] / "examples"
CONFIGS = sorted(ROOT.glob("*/policylayer.yaml"))
ENVIRONMENT = {"SHOP_TOKEN": "none", "POLICYLAYER_KEY": "00" * 32}


@pytest.mark.parametrize("path", CONFIGS, ids=[path.parent.name for path in CONFIGS])
def test_an_example_configuration_loads(path: Path) -> None:
    config = load(path, ENVIRONMENT)
    known = Known(servers=frozenset(server.name for server in config.servers))
    assert checked(config.policies, known).diagnostics == ()


def test_every_example_is_in_the_list() -> None:
    listed = (ROOT / "README.md").read_text()
    assert len(CONFIGS) >= 3
    assert all(f"`{path.parent.name}/`" in listed for path in CONFIGS)
