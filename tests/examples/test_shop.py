"""The example shop: what its tools do, and that both transports and both eras reach them."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from policylayer.examples.shop import Shop, build
from tests.support.processes import ROOT
from tests.support.shop import STDIO, shop

pytestmark = pytest.mark.anyio

TOOLS = {
    *("list_customers", "get_customer", "delete_customer", "list_orders", "create_refund"),
    *("read_file", "write_file", "send_email"),
}


async def use(client: Client) -> dict[str, Any]:
    """List everything and refund once; the annotations of each tool by name."""
    listed = (await client.list_tools()).tools
    result = await client.call_tool("create_refund", {"order": "ord_1", "amount": 40, "note": "broken"})
    assert result.structured_content == {"id": "ref_1", "order": "ord_1", "amount": 40.0, "currency": "EUR"}
    again = await client.call_tool("create_refund", {"order": "ord_1", "amount": 1})
    assert again.is_error
    assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["apology"]
    assert [str(one.uri) for one in (await client.list_resources()).resources] == ["shop://terms"]
    order = await client.read_resource("shop://orders/ord_2")
    assert "900" in order.contents[0].text  # type: ignore[union-attr]
    return {tool.name: tool.annotations for tool in listed}


async def test_all_is_there_and_says_what_it_does() -> None:
    async with Client(build()) as client:
        hints = await use(client)
    assert set(hints) == TOOLS
    assert hints["list_orders"].read_only_hint
    assert hints["delete_customer"].destructive_hint
    assert hints["send_email"].open_world_hint


@pytest.mark.parametrize(("mode", "protocol"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_over_http_in_both_eras(mode: str, protocol: str) -> None:
    with shop() as url:
        async with Client(url, mode=mode) as client:
            assert client.protocol_version == protocol
            assert set(await use(client)) == TOOLS


@pytest.mark.parametrize(("mode", "protocol"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_over_stdio_in_both_eras(mode: str, protocol: str) -> None:
    command = StdioServerParameters(command=STDIO[0], args=[*STDIO[1:]], cwd=str(ROOT))
    async with Client(stdio_client(command), mode=mode) as client:
        assert client.protocol_version == protocol
        assert set(await use(client)) == TOOLS


def test_mistakes_are_told_with_what_there_is() -> None:
    ours = Shop()
    with pytest.raises(ValueError, match="there is no customer `cus_9`; there are cus_1, cus_2, cus_3"):
        ours.get_customer("cus_9")
    with pytest.raises(ValueError, match="paid in USD"):
        ours.create_refund("ord_4", 10)
    with pytest.raises(ValueError, match=r"only 40.0 EUR of order ord_1"):
        ours.create_refund("ord_1", 41)


def test_what_is_deleted_written_and_sent() -> None:
    ours = Shop()
    assert ours.delete_customer("cus_3") == "customer cus_3 is deleted"
    assert len(ours.list_customers()) == 2
    ours.write_file("notes/new.md", "hello")
    assert ours.read_file("notes/new.md") == "hello"
    ours.send_email("a@example.com", "hi", "there")
    assert ours.outbox == [{"to": "a@example.com", "subject": "hi", "body": "there"}]
    assert Shop().list_customers() != ours.list_customers(), "a new shop is as at the start"
