"""An OPA server as the engine: a real one, a stopped one, a frozen one, and ones that answer nonsense."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from policylayer.clock import Clock
from policylayer.core.decision import Effect
from policylayer.rego.connection import Connection
from policylayer.rego.server import OpaServer, OpaSettings
from tests.rego.test_embedded import HEAD, RULES, describe, question
from tests.support.opa import opa
from tests.support.ports import free_port
from tests.support.processes import freeze

pytest.importorskip("opa_client", reason="the extra `opa` is not installed")
pytestmark = pytest.mark.anyio


@asynccontextmanager
async def engine(url: str, **settings: Any) -> AsyncIterator[OpaServer]:
    server = OpaServer(OpaSettings(url, **{"deadline": 5.0, **settings}), Clock())
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def answering(raw: bytes, pause: float = 0.0) -> AsyncIterator[str]:
    """A server that answers every request with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(pause)
            writer.write(raw)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status.encode(),
        len(body),
        body,
    )


async def test_a_real_server_answers_as_the_embedded_engine(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(RULES)
    async with opa(str(tmp_path)) as running, engine(running.url) as server:
        (deny,) = await server.findings(question("delete_all"), describe)
        assert (deny.effect, deny.rule.name) == (Effect.DENY, "rego/no-deletes")
        assert await server.findings(question(arguments={"amount": 500}), describe) == ()
        listed = await server.listed([question("delete_x"), question("read")], describe)
        assert [len(each) for each in listed] == [1, 0]


@pytest.mark.shows("rego.3")
async def test_a_policy_that_fails_is_indeterminate_and_the_server_in_order(tmp_path: Path) -> None:
    conflict = (
        HEAD + 'decision := {"effect": "allow"} if input.args.a\ndecision := {"effect": "deny"} if input.args.b\n'
    )
    (tmp_path / "a.rego").write_text(conflict)
    async with opa(str(tmp_path)) as running, engine(running.url) as server:
        for _ in range(10):
            (found,) = await server.findings(question(arguments={"a": True, "b": True}), describe)
            assert found.failure == "indeterminate"
        assert server.state == "closed"


@pytest.mark.shows("rego.3")
async def test_a_stopped_and_a_frozen_server_deny_and_recover(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(RULES)
    async with opa(str(tmp_path)) as running, engine(running.url, deadline=1.0) as server:
        await _until_allowed(server)
        freeze(running.process.pid)
        (frozen,) = await server.findings(question(arguments={"amount": 1}), describe)
        assert (frozen.failure, frozen.reason) == ("engine_error", "the Rego engine timed out")
        running.process.send_signal(signal.SIGCONT)
        await _until_allowed(server)
        port = int(running.url.rsplit(":", 1)[1])
        running.process.kill()
        await running.process.wait()
        (gone,) = await server.findings(question(arguments={"amount": 1}), describe)
        assert gone.failure == "engine_error"
        async with opa(str(tmp_path), port=port):
            await _until_allowed(server)


async def _until_allowed(server: OpaServer) -> None:
    async with asyncio.timeout(10):
        while True:
            found = await server.findings(question(arguments={"amount": 1}), describe)
            if found and found[0].effect is Effect.ALLOW:
                return
            await asyncio.sleep(0.05)


ANSWERS = {
    "garbage": b"\x00\x01nonsense\r\n\r\n",
    "not json": http(b"<html>"),
    "no object": http(b"[]"),
    "server error": http(b"{}", "503 Service Unavailable"),
    "unauthorized": http(b'{"code":"unauthorized"}', "401 Unauthorized"),
    "redirect": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    "endless": http(b'{"result":"' + b"x" * 2_000_000 + b'"}'),
    "cut short": b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"result":',
}


@pytest.mark.shows("rego.3")
@pytest.mark.parametrize("kind", sorted(ANSWERS))
async def test_nonsense_is_an_engine_error(kind: str) -> None:
    async with answering(ANSWERS[kind]) as url, engine(url) as server:
        (found,) = await server.findings(question(), describe)
        assert (found.effect, found.failure) == (None, "engine_error")


@pytest.mark.shows("rego.3")
async def test_a_slow_answer_is_cut_at_the_deadline() -> None:
    async with answering(http(b'{"result":{"effect":"allow"}}'), pause=3.0) as url, engine(url, deadline=0.1) as server:
        (found,) = await server.findings(question(), describe)
        assert found.reason == "the Rego engine timed out"


@pytest.mark.shows("rego.3")
async def test_wrong_shapes_and_ids() -> None:
    async with answering(http(b'{"result":{"effect":"perhaps"}}')) as url, engine(url) as server:
        (found,) = await server.findings(question(), describe)
        assert found.failure == "indeterminate"
    async with answering(http(b'{"result":{"effect":"allow"},"decision_id":"d-1"}')) as url, engine(url) as server:
        (found,) = await server.findings(question(), describe)
        assert found.engine_id == "d-1"


async def test_the_breaker_opens_after_failures_in_a_row_and_fails_closed() -> None:
    async with engine("http://127.0.0.1:1", deadline=1.0) as server:
        for _ in range(5):
            assert (await server.findings(question(), describe))[0].failure == "engine_error"
        assert server.state == "open"
        (found,) = await server.findings(question(), describe)
        assert found.reason == "the Rego engine is unreachable (not asked again yet)"


@pytest.mark.shows("rego.4")
async def test_the_token_never_shows_in_a_finding() -> None:
    async with engine("http://127.0.0.1:1", token="CANARY-TOKEN") as server:
        (found,) = await server.findings(question(), describe)
        assert "CANARY" not in repr(found)


@pytest.mark.shows("rego.3")
async def test_undefined_is_no_objection_only_of_a_rule_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(HEAD + "other := 1\n")
    port = free_port()
    async with engine(f"http://127.0.0.1:{port}") as server:
        async with opa(port=port):  # as before a bundle is loaded
            (nothing,) = await server.findings(question("read"), describe)
            assert nothing.failure == "engine_error"
            assert "holds no such rule" in nothing.reason
            assert not server.ready
        async with opa(str(tmp_path), port=port):  # the package, but not the rule
            (other,) = await server.findings(question("read"), describe)
            assert other.failure == "engine_error"
        (tmp_path / "a.rego").write_text(RULES)
        async with opa(str(tmp_path), port=port):
            await _until_allowed(server)
            assert await server.findings(question("read"), describe) == ()
            async with asyncio.timeout(15):
                while not server.ready:  # found out without a call
                    await asyncio.sleep(0.02)


@pytest.mark.shows("rego.3")
async def test_a_restart_without_its_policies_denies_the_very_next_call(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(RULES)
    port = free_port()
    async with engine(f"http://127.0.0.1:{port}") as server:
        async with opa(str(tmp_path), port=port):
            assert await server.findings(question("read"), describe) == ()
        async with opa(port=port):
            found = [await server.findings(question("read"), describe) for _ in range(3)]
            assert [each[0].failure for each in found] == ["engine_error"] * 3


async def test_whether_the_rule_is_there_is_not_asked_for_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.rego").write_text(RULES)
    asked: list[str] = []
    look = Connection.has_rules

    async def counted(self: Connection, path: str) -> bool:
        asked.append(path)
        return await look(self, path)

    monkeypatch.setattr(Connection, "has_rules", counted)
    async with opa(str(tmp_path)) as running, engine(running.url) as server:
        for _ in range(50):
            assert await server.findings(question("read"), describe) == ()
        assert len(asked) <= 2  # one more where a second connection was opened meanwhile


async def test_a_rule_that_fails_without_input_is_there(tmp_path: Path) -> None:
    text = 'decision := {"effect": "deny"} if input.target\ndecision := {"effect": "allow"} if not input.version\n'
    (tmp_path / "a.rego").write_text(HEAD + text + 'decision := {"effect": "deny"} if not input.target\n')
    async with opa(str(tmp_path)) as running, engine(running.url) as server:
        assert await server._connection.has_rules("policylayer/decision")
        assert not await server._connection.has_rules("policylayer/other")
