"""The credential that we use at a server is in nothing that it says to an agent; what others say is their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policylayer.wire.credentials import Credentials
from tests.proxy.fakes import FakeAnswer, event, result, stream
from tests.proxy.rig import Rig, call, modern_call

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]

OURS = "s3cret-of-the-shop"


@pytest.fixture(autouse=True)
def shops_own(rig: Rig) -> None:
    rig.deps.credentials = {"shop": Credentials([OURS])}
    rig.deps.tools.learn("shop", {"tools": [{"name": "safe"}]})


def says(rig: Rig, text: str, streamed: bool) -> None:
    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        body = result(message, {"content": [{"type": "text", "text": text}]})
        return stream(b"id: %b-1\n" % OURS.encode() + event(body), None)[0] if streamed else FakeAnswer(body=body)

    rig.upstream.answer = rig.files.answer = answer


@pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_it_is_masked_and_the_outcome_says_so(rig: Rig, made: Any, streamed: bool) -> None:
    says(rig, f"TOKEN={OURS}", streamed)
    answered = await rig.post(made())
    told = (answered.messages or [answered.json])[0]["result"]
    assert told["content"] == [{"type": "text", "text": "TOKEN=[masked]"}]
    assert OURS not in str(answered.body)
    assert rig.recorder.outcomes[-1].outcome.detail == "it held the proxy's credential, which was masked"
    assert rig.deps.metrics.of("credentials_hidden", server="shop") == 1


async def test_an_answer_without_it_is_relayed_as_it_came(rig: Rig) -> None:
    says(rig, "TOKEN=another", streamed=False)
    answered = await rig.post(call())
    assert answered.json["result"]["content"] == [{"type": "text", "text": "TOKEN=another"}]
    assert rig.recorder.outcomes[-1].outcome.detail == ""
    assert rig.deps.metrics.of("credentials_hidden") == 0


async def test_what_another_server_says_is_its_own(rig: Rig) -> None:
    says(rig, OURS, streamed=False)
    answered = await rig.post(call(), server="files")
    assert answered.json["result"]["content"] == [{"type": "text", "text": OURS}]


async def test_lists_are_no_way_round(rig: Rig) -> None:
    rig.upstream.answer = lambda _, message: FakeAnswer(
        body=result(message, {"tools": [{"name": "safe", "description": f"as {OURS}", "inputSchema": {}}]})
    )
    answered = await rig.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
    assert "as [masked]" in json.dumps(answered.json)


@pytest.mark.parametrize(
    "field", [b"event: %b", b"id: %b", b": %b", b"retry: 5\nevent: %b\ndata:", b"data: \nevent: %b"]
)
async def test_no_field_of_an_event_is_a_way_round(rig: Rig, field: bytes) -> None:
    rig.upstream.answer = lambda _, message: stream(
        b"retry: 9\n" + field % OURS.encode() + b"\n\n", event(result(message, {"content": []})), None
    )[0]
    answered = await rig.post(call())
    assert answered.messages[-1]["result"] == {"content": []}
    assert OURS.encode() not in answered.body
