"""Streams of anything, cut anywhere: bytes are kept, and nothing that is not the agent's comes through."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from policylayer.core.decision import Effect
from tests.proxy.rig import DENY, Rig, call, event, modern_call, proper, result, stream

SECRET = "CANARY"
TOKEN = {"progressToken": 1, "progress": 1}


def note(method: str, params: Any = None) -> bytes:
    return event(json.dumps({"jsonrpc": "2.0", "method": method, "params": params or {}}).encode())


def asks(method: str) -> bytes:
    return event(json.dumps({"jsonrpc": "2.0", "id": SECRET, "method": method, "params": {}}).encode())


GOOD = [
    b": comment\n\n",
    b"retry: 10\n\n",
    b"id: 7\ndata:\n\n",
    note("notifications/progress", TOKEN),
    note("notifications/message", {"level": "info", "data": "x"}),
    note("notifications/resources/updated", {"uri": "file:///open"}),
]
BAD = [
    event(result({"id": 2}, {"x": SECRET})),
    event(result({"id": "1"}, {"x": SECRET})),
    note("notifications/strange", {"x": SECRET}),
    note("notifications/resources/updated", {"uri": f"file:///{SECRET}"}),
    note("notifications/tasks/status", {"taskId": SECRET}),
    asks("sampling/createMessage"),
    asks("tools/call"),
    b'event: other\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"x":"CANARY"}}\n\n',
]


@given(st.lists(st.sampled_from(GOOD + BAD), max_size=12), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=150)
def test_what_is_the_agents_comes_through_as_it_was_and_nothing_else(pieces: Any, random: Any, modern: bool) -> None:
    sent = b"".join(pieces) + event(result(call()))
    cuts = sorted(random.randrange(len(sent)) for _ in range(random.randrange(8)))
    chunks = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    with capture_logs():
        body = asyncio.run(_relayed(chunks, modern))
    assert SECRET.encode() not in body
    assert body == b"".join(piece for piece in pieces if piece in GOOD) + event(result(call()))


async def _relayed(chunks: list[bytes], modern: bool) -> bytes:
    rig = Rig()
    rig.engine.says |= {f"file:///{SECRET}": DENY, "sampling/createMessage": DENY}
    rig.deps.tools.learn("shop", {"tools": [{"name": "safe"}]})
    if not modern:
        await rig.initialize(sampling={})
    rig.upstream.answer = lambda exchange, message: (
        stream(*chunks, None)[0] if message.get("method") == "tools/call" else proper(exchange, message)
    )
    answer = await rig.post(modern_call() if modern else call())
    await asyncio.sleep(0)
    assert all(record.decision.enforced is Effect.DENY for record, _ in rig.recorder.rows[1:])
    return answer.body
