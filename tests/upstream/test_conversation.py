"""What a process says while nobody listens is kept up to a number and a size."""

from __future__ import annotations

import json

import pytest

from policylayer.upstream.conversation import MOST_KEPT, MOST_KEPT_BYTES, Conversation
from policylayer.upstream.settings import StdioServer

pytestmark = pytest.mark.anyio


def notification(number: int, size: int) -> bytes:
    params = {"level": "info", "data": f"{number}" + "x" * size}
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params}).encode()


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("size", [10, 50_000, 2 * MOST_KEPT_BYTES])
async def test_what_nobody_fetches_is_kept_up_to_a_size(size: int) -> None:
    conversation = Conversation(StdioServer("shop", ("true",), None, {}), False, lambda *_: None)
    for number in range(2 * MOST_KEPT):
        conversation._keep(notification(number, size))
        assert sum(map(len, conversation._kept)) == conversation._kept_size <= MOST_KEPT_BYTES
        assert len(conversation._kept) <= MOST_KEPT
    assert not conversation._kept or conversation._kept[-1] == notification(2 * MOST_KEPT - 1, size)
