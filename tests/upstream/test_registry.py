"""All configured servers by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from policylayer.clock import Clock
from policylayer.upstream import Exchange, HttpServer, StdioServer, Upstreams
from tests.support import stdio_server
from tests.support.ports import free_port
from tests.support.recording import Recording
from tests.upstream.helpers import QUICK, call, post, text_of, whole

pytestmark = pytest.mark.anyio

COMMAND = (sys.executable, "-S", str(Path(stdio_server.__file__)))


async def test_servers_of_both_kinds_by_name() -> None:
    async with Recording() as rec:
        upstreams = Upstreams([HttpServer("shop", rec.url), StdioServer("files", COMMAND)], Clock())
        await upstreams.start()
        try:
            assert upstreams.get("nobody") is None
            for name in ("shop", "files"):
                upstream = upstreams.get(name)
                assert upstream is not None
                assert upstream.name == name
                headers = [("MCP-Protocol-Version", "2026-07-28")]
                answer, _ = await whole(upstream, Exchange("POST", headers, call("safe"), owner="g"))
                assert answer.status == 200
        finally:
            await upstreams.close()
        assert upstreams.get("shop") is None


@pytest.mark.shows("proxy.5")
async def test_one_server_that_is_down_does_not_touch_another_and_its_condition_says_so() -> None:
    """R-07, in small."""
    async with Recording() as rec:
        down = HttpServer("down", f"http://127.0.0.1:{free_port()}/mcp")
        upstreams = Upstreams([HttpServer("up", rec.url, limits=QUICK), down], Clock())
        await upstreams.start()
        try:
            bad, good = upstreams.get("down"), upstreams.get("up")
            assert bad is not None
            assert good is not None
            for _ in range(10):
                with pytest.raises(Exception, match="down"):
                    await bad.exchange(post(call()))
                assert await text_of(good, call()) == "safe done"
            conditions = {one.name: one for one in upstreams.conditions()}
        finally:
            await upstreams.close()
    assert (conditions["up"].breaker, conditions["up"].last_failure) == ("closed", "")
    assert conditions["down"].breaker == "open"
    assert "cannot be reached" in conditions["down"].last_failure
    assert all(one.calls == one.streams == 0 for one in conditions.values())


async def test_a_literal_address_is_taken_as_meant_and_a_metadata_name_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """UP-16: what a name resolves to is checked where it is used."""
    async with Recording() as rec:
        upstreams = Upstreams([HttpServer("evil", f"http://metadata.test:{rec.port}/mcp", limits=QUICK)], Clock())
        await upstreams.start()
        try:
            evil = upstreams.get("evil")
            assert evil is not None

            async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
                return [
                    {"hostname": host, "host": "169.254.169.254", "port": port, "family": 2, "proto": 0, "flags": 0}
                ]

            monkeypatch.setattr("policylayer.upstream.addresses.SystemResolver.resolve", resolve)
            with pytest.raises(Exception, match="link-local, metadata") as caught:
                await evil.exchange(post(call()))
            assert "169.254" not in str(caught.value)
        finally:
            await upstreams.close()
