"""A command with the face of Streamable HTTP, in both eras: sessions, owners, streams, and how each process ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog

from policylayer.clock import Clock
from policylayer.core.errors import Lost, NotSent, ProtocolFault, TimedOut
from policylayer.upstream import Answer, Exchange, Limits, Overloaded, StdioServer, Upstream, Upstreams
from policylayer.upstream.child import LINES_AT_ONCE
from policylayer.upstream.glance import Glance, glance
from policylayer.wire.sse import Parser
from tests.support import stdio_server
from tests.upstream.helpers import call

pytestmark = pytest.mark.anyio

PROGRAM = str(Path(stdio_server.__file__))
MODERN = ("MCP-Protocol-Version", "2026-07-28")
HANDSHAKE = ("MCP-Protocol-Version", "2025-11-25")
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}'
)
LIMITS = Limits(timeout=10, breaker_failures=1000)


@asynccontextmanager
async def stdio(*how: str, limits: Limits = LIMITS, **settings: Any) -> AsyncIterator[Upstream]:
    """The scripted server as an upstream."""
    settings.setdefault("stop_timeout", 0.3)
    command = settings.pop("command", (sys.executable, "-S", PROGRAM, *how))
    upstreams = Upstreams([StdioServer("plain", command, limits=limits, **settings)], Clock())
    await upstreams.start()
    try:
        upstream = upstreams.get("plain")
        assert upstream is not None
        yield upstream
    finally:
        await upstreams.close()


def modern(body: bytes, owner: str = "grant-1", **more: Any) -> Exchange:
    """A POST at 2026-07-28."""
    return Exchange("POST", [MODERN], body, owner=owner, **more)


class Session:
    """A handshake session through an upstream."""

    def __init__(self, upstream: Upstream, id: str) -> None:
        self.upstream = upstream
        self.headers = [HANDSHAKE, ("Mcp-Session-Id", id)]

    @classmethod
    async def open(cls, upstream: Upstream, owner: str = "grant-1") -> Session:
        answer = await upstream.exchange(Exchange("POST", [], INITIALIZE, owner=owner))
        assert json.loads(await answer.read(10_000))["result"]["serverInfo"]["name"] == "plain"
        answer.close()
        return cls(upstream, answer.headers["mcp-session-id"])

    async def send(self, body: bytes, verb: Any = "POST", **more: Any) -> Answer:
        return await self.upstream.exchange(Exchange(verb, self.headers, body, **more))


async def text(answer: Answer) -> str:
    """The text of the result in a JSON answer."""
    try:
        found: str = json.loads(await answer.read(1 << 24))["result"]["content"][0]["text"]
        return found
    finally:
        answer.close()


async def events(answer: Answer) -> list[dict[str, Any]]:
    """All messages of a stream."""
    parser = Parser(1 << 20)
    found = [json.loads(event.data or b"") async for chunk in answer.chunks() for event in parser.feed(chunk)]
    answer.close()
    return found


async def pid_of(upstream: Upstream, owner: str = "grant-1") -> int:
    pid: int = json.loads(await text(await upstream.exchange(modern(call("env"), owner))))["pid"]
    return pid


async def gone(pid: int) -> None:
    """Wait until a process is no more, not even as a zombie."""
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.01)


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


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.shows("proxy.5")
async def test_a_process_sees_a_clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLICYLAYER_CANARY", "CANARY")
    monkeypatch.setenv("LANG", "C.UTF-8")
    async with stdio(env={"CONFIGURED": "yes"}, cwd=tmp_path) as upstream:
        seen = json.loads(await text(await upstream.exchange(modern(call("env")))))
    assert seen["env"]["CONFIGURED"] == "yes"
    assert seen["env"]["LANG"] == "C.UTF-8"
    assert not [name for name in seen["env"] if "CANARY" in name or name.startswith("PYTEST")]
    assert seen["cwd"] == str(tmp_path)


@pytest.mark.parametrize(
    ("command", "cwd", "expected"),
    [
        (("no-such-program-here",), None, "there is no program `no-such-program-here`"),
        (("/",), None, "permission denied"),
        ((sys.executable,), Path("/nonexistent"), "its folder `/nonexistent` does not exist"),
    ],
)
async def test_a_command_that_cannot_be_started_says_what_to_mend(
    command: tuple[str, ...], cwd: Path | None, expected: str
) -> None:
    async with stdio(command=command, cwd=cwd) as upstream:
        for exchange in (modern(call()), Exchange("POST", [], INITIALIZE)):
            with pytest.raises(NotSent, match=expected) as caught:
                await upstream.exchange(exchange)
            assert caught.value.help


async def test_a_command_that_ends_at_once() -> None:
    async with stdio(command=(sys.executable, "-c", "import sys; sys.exit('no licence')")) as upstream:
        with pytest.raises((Lost, NotSent)):
            await upstream.exchange(Exchange("POST", [], INITIALIZE))


@pytest.mark.shows("proxy.5")
async def test_over_the_cap_of_processes_a_session_is_refused_and_a_place_becomes_free() -> None:
    async with stdio(max_processes=2) as upstream:
        first = await Session.open(upstream)
        pid = json.loads(await text(await first.send(call("env"))))["pid"]
        await Session.open(upstream)
        with pytest.raises(Overloaded, match="as many processes"):
            await Session.open(upstream)
        with pytest.raises(Overloaded):
            await upstream.exchange(modern(call()))
        await first.send(b"", "DELETE")
        await gone(pid)
        async with asyncio.timeout(10):
            while True:
                try:
                    await Session.open(upstream)
                except Overloaded:
                    await asyncio.sleep(0.01)
                else:
                    return


@pytest.mark.shows("proxy.5")
async def test_an_idle_process_is_ended() -> None:
    async with stdio(idle_timeout=0.05, session_idle_timeout=0.05) as upstream:
        await gone(await pid_of(upstream))
        session = await Session.open(upstream)
        pid = json.loads(await text(await session.send(call("env"))))["pid"]
        await gone(pid)
        async with asyncio.timeout(5):
            while (await session.send(call())).status != 404:
                await asyncio.sleep(0.01)


async def test_an_open_stream_is_not_idle() -> None:
    async with stdio(session_idle_timeout=0.05) as upstream:
        session = await Session.open(upstream)
        listening = await session.send(b"", "GET", endless=True)
        await asyncio.sleep(0.2)
        assert json.loads(await text(await session.send(call("echo", id="still"))))["id"] == "still"
        listening.close()


@pytest.mark.parametrize("how", [("stubborn", "family"), ("family",), ("family", "apart")])
async def test_closing_ends_all_processes_even_stubborn_ones_and_their_children(
    how: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    async with stdio(*how, env={"FAMILY": str(family)}, stop_timeout=0.1) as upstream:
        pids = [await pid_of(upstream), int(family.read_text())]
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not psutil.pid_exists(pids[0])
    child = pids[1]
    async with asyncio.timeout(5):
        while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)


async def test_a_killed_process_takes_its_children_along(tmp_path: Path) -> None:
    family = tmp_path / "family"
    async with stdio("family", env={"FAMILY": str(family)}, stop_timeout=0.1) as upstream:
        os.kill(await pid_of(upstream), signal.SIGKILL)
        child = int(family.read_text())
        async with asyncio.timeout(5):
            while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)


async def test_lines_that_are_no_messages_are_passed_over() -> None:
    async with stdio() as upstream:
        assert await text(await upstream.exchange(modern(call("noise")))) == "after noise"


async def test_a_flood_of_lines_neither_holds_up_others_nor_fills_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, most, running = 0, 0, True

    def counting(line: bytes) -> Glance | None:
        nonlocal lines
        lines += 1
        return glance(line)

    async def others() -> None:
        nonlocal most
        while running:
            before = lines
            await asyncio.sleep(0)
            most = max(most, lines - before)

    monkeypatch.setattr("policylayer.upstream.conversation.glance", counting)
    with structlog.testing.capture_logs() as logs:
        async with stdio() as upstream:
            having_turns = asyncio.get_running_loop().create_task(others())
            assert await text(await upstream.exchange(modern(call("flood", lines=50_000)))) == "flooded"
            running = False
            await having_turns
    assert lines > 50_000
    assert most <= 2 * LINES_AT_ONCE, "what is in the buffer is not read in one go"
    assert len([entry for entry in logs if entry["event"] == "server wrote a line that is no message"]) < 20


async def test_a_line_that_is_too_long_ends_the_process() -> None:
    small = Limits(timeout=10, max_answer_bytes=100_000)
    async with stdio(limits=small) as upstream:
        assert len(await text(await upstream.exchange(modern(call("long", size=90_000))))) == 90_000
        with pytest.raises((Lost, ProtocolFault), match="more than 100000 bytes"):
            await upstream.exchange(modern(call("long", size=1_000_000)))
        assert await pid_of(upstream)


async def test_what_a_process_says_on_stderr_is_logged_without_its_secrets() -> None:
    with structlog.testing.capture_logs() as logs:
        async with stdio(env={"TOKEN": "CANARY-SECRET-VALUE"}) as upstream:
            with pytest.raises(Lost) as caught:
                await upstream.exchange(modern(call("die")))
    said = [entry["line"] for entry in logs if entry["event"] == "server stderr"]
    assert said == ["dying with ***"]
    assert "CANARY" not in caught.value.message
