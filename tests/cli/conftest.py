"""A folder with a configuration and a policy, and a way to run commands in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policylayer.backstage import Backstage
from policylayer.config import load
from tests.cli.runner import Runner

CONFIG = """\
listen: 127.0.0.1:0
servers:
  shop: {url: "http://127.0.0.1:1/mcp"}
"""
POLICY = """\
policy: shop
applies_to: {principals: [group:agents], servers: [shop]}
rules:
  - {id: read, tools: ["get_*"], effect: allow}
  - {id: write, tools: ["set_*"], effect: require_approval, approval: {approvers: [group:leads]}, reason: Ask.}
"""
PRINCIPALS = "groups: {agents: [agent:bot], leads: [user:lena]}\n"
TESTS = """\
tests:
  - name: reading passes
    principal: agent:bot
    call: {server: shop, tool: get_x, arguments: {}}
    expect: {effect: allow}
"""


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> Runner:
    """Runs commands in `home`."""
    monkeypatch.chdir(home)
    for name in ("POLICYLAYER_URL", "POLICYLAYER_TOKEN", "POLICYLAYER_GRANT", "POLICYLAYER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Runner(capfd)


@pytest.fixture
def begun(home: Path) -> None:
    """A database and a key as a first start leaves them; without it there is none."""

    async def make() -> None:
        backstage = Backstage(load(home / "policylayer.yaml", {}), "tests", lambda: None)  # type: ignore[arg-type, return-value]
        await backstage.start()
        await backstage.close()

    asyncio.run(make())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder as `init` leaves one, more or less."""
    (tmp_path / "policylayer.yaml").write_text(CONFIG)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "shop.yaml").write_text(POLICY)
    (tmp_path / "policies" / "shop_test.yaml").write_text(TESTS)
    (tmp_path / "policies" / "principals.yaml").write_text(PRINCIPALS)
    return tmp_path
