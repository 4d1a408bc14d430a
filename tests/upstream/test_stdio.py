"""A command with the face of Streamable HTTP, in both eras: sessions, owners, streams, and how each process ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from policylayer.core.errors import Lost, TimedOut
from policylayer.upstream import Exchange
from policylayer.wire.sse import Parser
from tests.upstream.helpers import call
from tests.upstream.scripted import HANDSHAKE, MODERN, Session, events, gone, modern, pid_of, stdio, text

pytestmark = pytest.mark.anyio

# --- handshake era ----------------------------------------------------------------------------------------------------


@pytest.mark.shows("proxy.5")
async def test_a_session_has_its_own_process() -> None:
    async with stdio() as upstream:
        one, two = await Session.open(upstream), await Session.open(upstream)
        assert one.headers != two.headers
        pids = {json.loads(await text(await session.send(call("env"))))["pid"] for session in (one, two)}
        assert len(pids) == 2


@pytest.mark.shows("proxy.5")
async def test_bytes_pass_as_they_are() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        body = call("echo", id="x", meta={"progressToken": "p"}, n=1).replace(b'": ', b'" :\n ')
        answer = await session.send(body)
        assert (answer.status, answer.content_type) == (200, "application/json")
        heard = json.loads(await text(answer))
        assert heard == {"arguments": {"n": 1}, "meta": {"progressToken": "p"}, "id": "x"}


async def test_without_a_session_only_initialize_is_heard() -> None:
    async with stdio() as upstream:
        for exchange in (Exchange("POST", [HANDSHAKE], call()), Exchange("GET", []), Exchange("DELETE", [])):
            answer = await upstream.exchange(exchange)
            assert answer.status == 400
            assert json.loads(await answer.read(1000))["error"]["code"] == -32600


async def test_an_unknown_session_is_over() -> None:
    async with stdio() as upstream:
        answer = await Session(upstream, "guess").send(call(id=9))
        assert answer.status == 404
        assert json.loads(await answer.read(1000))["id"] == 9


@pytest.mark.shows("proxy.5")
async def test_what_comes_before_the_answer_makes_it_a_stream() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        answer = await session.send(call("progress", id=5, meta={"progressToken": "tok"}))
        assert answer.content_type == "text/event-stream"
        got = await events(answer)
        assert [one.get("method", one.get("id")) for one in got] == ["notifications/progress"] * 2 + [5]
        assert got[0]["params"]["progressToken"] == "tok"


async def test_a_request_of_the_server_is_answered_by_a_post() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        answer = await session.send(call("ask", id=5))
        chunks = answer.chunks()
        assert b'"roots/list"' in await anext(chunks)
        told = await session.send(b'{"jsonrpc":"2.0","id":"ask-1","result":{"roots":[]}}')
        assert (told.status, await told.read(10)) == (202, b"")
        assert b'{\\"roots\\": []}' in await anext(chunks)
        answer.close()


@pytest.mark.shows("proxy.5")
async def test_what_belongs_to_no_call_goes_to_the_open_stream_or_is_kept_for_it() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        listening = await session.send(b"", "GET", endless=True)
        assert (listening.status, listening.content_type) == (200, "text/event-stream")
        chunks = listening.chunks()
        assert (await session.send(b"", "GET")).status == 409
        answer = await session.send(call("changed"))
        assert answer.content_type == "application/json"
        await text(answer)
        assert b"list_changed" in await anext(chunks)
        listening.close()
        again = await session.send(b"", "GET", endless=True)
        assert again.status == 200
        again.close()


async def test_a_log_message_during_the_only_call_is_that_call_s() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        got = await events(await session.send(call("log", id=1)))
        assert [one.get("method", one.get("id")) for one in got] == ["notifications/message", 1]


async def test_two_calls_of_one_session_at_once_get_their_own_answers() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        answers = await asyncio.gather(*(session.send(call("both", id=n, n=n)) for n in (1, 2)))
        assert [json.loads(await text(answer)) for answer in answers] == [{"n": 1}, {"n": 2}]


async def test_an_id_that_is_under_way_is_refused() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        hanging = asyncio.get_running_loop().create_task(session.send(call("hang", id=1)))
        await text(await session.send(call("echo", id=2)))
        answer = await session.send(call("echo", id=1))
        assert answer.status == 400
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_delete_ends_the_process_and_the_session() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        pid = json.loads(await text(await session.send(call("env"))))["pid"]
        assert (await session.send(b"", "DELETE")).status == 200
        assert (await session.send(call())).status == 404
        await gone(pid)


@pytest.mark.shows("proxy.5")
async def test_a_process_that_dies_loses_its_calls_and_its_session() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        listening = await session.send(b"", "GET", endless=True)
        with pytest.raises(Lost, match="ended with code 3"):
            await session.send(call("die"))
        assert await events(listening) == []
        assert (await session.send(call())).status == 404


async def test_in_the_handshake_era_going_away_is_no_cancel_but_a_deadline_is() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        hanging = asyncio.get_running_loop().create_task(session.send(call("hang", id=7)))
        await text(await session.send(call("echo", id=2)))
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        with pytest.raises(TimedOut):
            await session.send(call("hang", id=8), timeout=0.1)
        assert json.loads(await text(await session.send(call("cancelled", id=9)))) == [8]


async def test_in_a_session_an_answer_after_the_cancel_reaches_nobody() -> None:
    async with stdio() as upstream:
        session = await Session.open(upstream)
        late = asyncio.get_running_loop().create_task(session.send(call("late", id=7)))
        await text(await session.send(call("echo", id=2)))
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        cancel = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'
        assert (await session.send(cancel)).status == 202
        answer = await session.send(call("cancelled", id=9))
        assert answer.content_type == "application/json"
        assert json.loads(await text(answer)) == [7], "told once"


# --- 2026-07-28 -------------------------------------------------------------------------------------------------------


@pytest.mark.shows("proxy.5")
async def test_at_2026_07_28_an_owner_has_one_process() -> None:
    async with stdio() as upstream:
        ones = await asyncio.gather(*(pid_of(upstream) for _ in range(4)))
        assert len(set(ones)) == 1
        assert await pid_of(upstream, "grant-2") not in ones


@pytest.mark.shows("proxy.5")
async def test_equal_ids_and_tokens_of_two_clients_are_kept_apart() -> None:
    async with stdio() as upstream:
        answers = await asyncio.gather(*(upstream.exchange(modern(call("both", id=1, n=n))) for n in (1, 2)))
        bodies = [json.loads(await answer.read(10_000)) for answer in answers]
        assert [body["id"] for body in bodies] == [1, 1]
        assert [json.loads(body["result"]["content"][0]["text"]) for body in bodies] == [{"n": 1}, {"n": 2}]
        body = call("progress", id="a", meta={"progressToken": "tok"})
        streams = await asyncio.gather(*(upstream.exchange(modern(body)) for _ in range(2)))
        for stream in streams:
            got = await events(stream)
            assert [one.get("id") for one in got] == [None, None, "a"]
            assert [one["params"]["progressToken"] for one in got[:2]] == ["tok", "tok"]


async def test_only_ids_and_tokens_are_rewritten() -> None:
    async with stdio() as upstream:
        body = (
            b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"echo","arguments":{"x":1.50,"id":"a"},'
        )
        body += b'"_meta":{"progressToken":"a","k":[1e2]}}}'
        heard = json.loads(await text(await upstream.exchange(modern(body))))
        assert heard["arguments"] == {"x": 1.5, "id": "a"}
        assert heard["meta"] == {"progressToken": heard["id"], "k": [100.0]}


@pytest.mark.shows("proxy.5")
async def test_closing_a_stream_cancels_its_request() -> None:
    async with stdio() as upstream:
        task = asyncio.get_running_loop().create_task(upstream.exchange(modern(call("hang", id="c"))))
        await pid_of(upstream)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        cancelled = json.loads(await text(await upstream.exchange(modern(call("cancelled")))))
        assert len(cancelled) == 1


async def test_at_2026_07_28_no_notification_cancels_what_may_be_anothers() -> None:
    """Ids are the process's own there: the one that is named would be somebody else's."""
    async with stdio() as upstream:
        for id in (1, "1", 2):
            params = {"requestId": id}
            body = json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).encode()
            assert (await upstream.exchange(modern(body))).status == 202
        assert json.loads(await text(await upstream.exchange(modern(call("cancelled"))))) == []


async def test_an_answer_after_the_cancel_reaches_nobody() -> None:
    async with stdio() as upstream:
        with pytest.raises(TimedOut):
            await upstream.exchange(modern(call("late", id="c"), timeout=0.2))
        assert json.loads(await text(await upstream.exchange(modern(call("echo", id="d")))))["arguments"] == {}


@pytest.mark.shows("proxy.5")
async def test_a_subscription_keeps_the_id_its_client_knows() -> None:
    async with stdio() as upstream:
        body = b'{"jsonrpc":"2.0","id":"sub-1","method":"subscriptions/listen","params":{"notifications":{}}}'
        stream = await upstream.exchange(modern(body, endless=True))
        chunks = stream.chunks()
        for method in ("acknowledged", "list_changed"):
            chunk = await anext(chunks)
            assert method.encode() in chunk
            data = Parser(1 << 16).feed(chunk)[0].data
            assert json.loads(data or b"")["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub-1"
        stream.close()
        assert len(json.loads(await text(await upstream.exchange(modern(call("cancelled")))))) == 1


async def test_there_is_only_post_and_no_session() -> None:
    async with stdio() as upstream:
        for verb in ("GET", "DELETE"):
            assert (await upstream.exchange(Exchange(verb, [MODERN]))).status == 405  # type: ignore[arg-type]
        answer = await upstream.exchange(modern(call("echo")))
        assert "mcp-session-id" not in answer.headers
        answer.close()


async def test_errors_have_the_status_of_their_code() -> None:
    async with stdio() as upstream:
        answer = await upstream.exchange(modern(b'{"jsonrpc":"2.0","id":1,"method":"no/such"}'))
        assert answer.status == 404
        assert json.loads(await answer.read(1000))["error"]["code"] == -32601


async def test_a_failed_probe_leaves_its_process_to_the_session_that_follows() -> None:
    async with stdio("legacy", max_processes=1) as upstream:
        answer = await upstream.exchange(modern(b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}'))
        assert answer.status == 404
        session = await Session.open(upstream)
        assert json.loads(await text(await session.send(call("echo", id="mine"))))["id"] == "mine"


async def test_after_a_process_died_the_next_call_starts_another() -> None:
    async with stdio() as upstream:
        first = await pid_of(upstream)
        with pytest.raises(Lost):
            await upstream.exchange(modern(call("die")))
        assert await pid_of(upstream) != first
