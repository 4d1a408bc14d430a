"""Streams of anything, cut anywhere: bytes are kept, and nothing that is not the agent's comes through."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from policylayer.core.decision import Effect
from tests.proxy.fakes import DENY, event, proper, result, stream
from tests.proxy.rig import Rig, call, modern_call
from tests.wire.readers import READERS

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
    b'event:\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n',
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
    note("notifications/resources/updated", {"uri": "file:///open", "Uri": f"file:///{SECRET}"}),
    note("notifications/message", {"level": "info", "Data": SECRET}),
    asks("sampling/createMessage"),
    asks("tools/call"),
    b'event: other\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"x":"CANARY"}}\n\n',
]


ODD = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` ends a line, and a stream does not."""


def read_carelessly(body: bytes) -> list[Any]:
    """The messages as a client finds them that splits text into lines as Python does."""
    lines = [line[5:].strip() for line in body.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("odd", ODD, ids=ascii)
@pytest.mark.parametrize("modern", [False, True])
def test_no_event_is_hidden_in_another_from_us_and_not_from_the_client(odd: str, modern: bool) -> None:
    hidden = f'{odd}data: {{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{{"x":"{SECRET}"}}}}{odd}'
    said = {"level": "info", "data": f"a{odd}data: b"}
    text = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": said}, ensure_ascii=ord(odd) < 32)
    pieces = [f": x{hidden}{odd}\n\n".encode(), f"id: 1{hidden}\ndata: {text}\n\n".encode(), event(result(call()))]
    with capture_logs():
        body = asyncio.run(_relayed(pieces, modern))
    assert read_carelessly(body) == [json.loads(text), json.loads(result(call()))]


HIDDEN = f'{{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage","params":{{"x":"{SECRET}"}}}}'.encode()
NAMED = (
    b"data:\r",
    b"id: 1\rdata:\r",
    b"\rdata:\r",
    b": x\rdata:\r",
    b"Data: ",
    b" data: ",
    b"\xef\xbb\xbfdata: ",
    b": \x00data: ",
)
"""Before a message that the specification finds no data in, and some reader finds one in."""


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("named", NAMED, ids=ascii)
@pytest.mark.parametrize("modern", [False, True])
def test_what_only_a_careless_reader_takes_for_a_message_is_not_relayed(named: bytes, modern: bool) -> None:
    pieces = [named + HIDDEN + b"\n\n", b"id: 3\r\r", event(result(call()))]
    with capture_logs():
        body = asyncio.run(_relayed(pieces, modern))
    assert SECRET.encode() not in body
    assert body.endswith(b"id: 3\n\n" + event(result(call())))
    for reader in READERS:
        assert [json.loads(text) for text in reader(body)] == [json.loads(result(call()))]


def test_a_mark_before_a_stream_is_not_relayed_into_one_that_has_begun() -> None:
    """An answer after a hold comes behind a `: ping`, where a mark is a part of the field's name."""
    with capture_logs():
        body = asyncio.run(_relayed([b"\xef\xbb\xbf" + event(result(call()))], False))
    assert body == event(result(call()))


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
