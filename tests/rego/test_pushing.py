"""Our revisions on a real OPA server: whole or not at all, proven by each answer, put there again where lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

from policylayer.clock import Clock
from policylayer.rego import placing
from policylayer.rego.pushed import KEPT, Pushed
from policylayer.rego.server import OpaServer, OpaSettings
from tests.rego.test_embedded import HEAD, describe, question
from tests.rego.test_vectors import INPUT, VECTORS, meaning, module, wanted
from tests.support.opa import opa
from tests.support.ports import free_port

pytest.importorskip("opa_client", reason="the extra `opa` is not installed")
pytestmark = pytest.mark.anyio

DENY = (HEAD + 'decision := {"effect": "deny", "rule": "no"}\n').encode()
ALLOW = (HEAD + 'decision := {"effect": "allow", "rule": "yes"}\n').encode()
BROKEN = (HEAD + "allow { true }\n").encode()


@asynccontextmanager
async def engine(url: str, **settings: Any) -> AsyncIterator[OpaServer]:
    server = OpaServer(OpaSettings(url, push=True, **{"deadline": 5.0, **settings}), Clock())
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def put(server: OpaServer, files: Mapping[str, bytes], revision: str) -> Pushed:
    pushed = await server.push(files, revision)
    assert not isinstance(pushed, str), pushed
    return pushed


async def said(engine: Pushed) -> str | None:
    """The effect, or how it failed."""
    found = await engine.findings(question(), describe)
    return str(found[0].effect or found[0].failure) if found else None


async def held(url: str) -> list[str]:
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(f"{url}/v1/policies") as response:
        return sorted(each["id"] for each in orjson.loads(await response.read()).get("result", ()))


async def delete(url: str, name: str) -> None:
    place = name.replace("/", "%2F")
    async with aiohttp.ClientSession(trust_env=False) as session:
        request = session.delete(aiohttp.client.URL(f"{url}/v1/policies/{place}", encoded=True))
        async with request as response:
            assert response.status == 200


@pytest.mark.shows("rego.3")
async def test_a_refused_push_leaves_what_was_there_in_force_and_nothing_of_itself() -> None:
    async with opa() as running, engine(running.url) as server:
        one = await put(server, {"a.rego": DENY}, "sha256:one")
        before = await held(running.url)
        why = await server.push({"a.rego": ALLOW, "b.rego": BROKEN}, "sha256:two")
        assert isinstance(why, str)
        assert "b.rego: line 2" in why
        assert (await said(one), server.revision, server.ready) == ("deny", "sha256:one", True)
        assert await held(running.url) == before
        two = await put(server, {"a.rego": ALLOW}, "sha256:two")
        assert [await said(each) for each in (one, two)] == ["deny", "allow"], "calls under way end by the old one"
        assert server.revision == "sha256:two"


@pytest.mark.shows("rego.3")
async def test_a_push_that_breaks_off_decides_nothing_and_a_start_trusts_nothing() -> None:
    files = {"a.rego": ALLOW, "b.rego": (HEAD + "other := 1\n").encode()}
    async with opa() as running, engine(running.url) as server:
        made = placing.placed({name: text.decode() for name, text in files.items()}, "sha256:one", 1)
        half = Pushed(server._connection, made, lambda _: None)
        for name, text in list(made.modules.items())[:-1]:
            await server._connection.put(name, text)
        assert await said(half) == "engine_error"
        assert not await half.is_held()
        whole = await put(server, files, "sha256:one")
        assert await said(whole) == "allow"


@pytest.mark.shows("rego.3")
async def test_after_a_restart_every_call_is_denied_until_the_revision_is_there_again() -> None:
    port = free_port()
    async with engine(f"http://127.0.0.1:{port}") as server:
        async with opa(port=port):
            one = await put(server, {"a.rego": DENY}, "sha256:one")
            assert await said(one) == "deny"
        async with opa(port=port) as running:
            seen = []
            async with asyncio.timeout(15):
                while not seen or seen[-1] != "deny":
                    seen.append(await said(one))
                    await asyncio.sleep(0.01)
            assert set(seen) == {"engine_error", "deny"}
            while not server.ready:
                await asyncio.sleep(0.01)
            assert server.revision == "sha256:one"
            assert any("/files/a.rego" in name for name in await held(running.url))


@pytest.mark.shows("rego.3")
async def test_a_file_that_somebody_takes_away_denies_and_comes_back() -> None:
    files = {"a.rego": ALLOW, "b.rego": (HEAD + "other := 1\n").encode()}
    async with opa() as running, engine(running.url) as server:
        one = await put(server, files, "sha256:one")
        (name,) = [each for each in await held(running.url) if each.endswith("/b.rego")]
        await delete(running.url, name)
        assert await said(one) == "engine_error"
        assert (server.ready, server.revision) == (False, None)
        assert "does not hold this revision" in str(server.problem)
        async with asyncio.timeout(10):
            while await said(one) != "allow":
                await asyncio.sleep(0.02)


async def test_it_is_found_out_without_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policylayer.rego.server.EVERY", 0.1)
    async with opa() as running, engine(running.url) as server:
        await put(server, {"a.rego": DENY}, "sha256:one")
        for name in await held(running.url):
            await delete(running.url, name)
        async with asyncio.timeout(10):
            while not await held(running.url):
                await asyncio.sleep(0.02)


@pytest.mark.shows("rego.3")
async def test_two_proxies_with_two_revisions_do_not_touch_each_other() -> None:
    async with opa() as running, engine(running.url) as first, engine(running.url) as second:

        async def pushing(server: OpaServer, text: bytes, name: str) -> list[Pushed]:
            files = {f"{number}.rego": text for number in range(2)}
            return [await put(server, files, f"sha256:{name}{number}") for number in range(6)]

        ours, theirs = await asyncio.gather(pushing(first, DENY, "a"), pushing(second, ALLOW, "b"))
        assert [await said(ours[-1]), await said(theirs[-1])] == ["deny", "allow"]
        assert (first.problem, second.problem) == (None, None)
        places = {name.split("/")[2] for name in await held(running.url)}
        assert len(places) <= KEPT + 1, "old revisions do not pile up"


async def test_two_proxies_with_the_same_revision_share_it() -> None:
    async with opa() as running, engine(running.url) as first, engine(running.url) as second:
        both = await asyncio.gather(*(put(each, {"a.rego": DENY}, "sha256:one") for each in (first, second)))
        assert [await said(each) for each in both] == ["deny", "deny"]
        assert len(await held(running.url)) == 2


async def test_what_others_put_on_the_server_stays(tmp_path: Any) -> None:
    (tmp_path / "own.rego").write_text("package policylayer\ndecision := false\n")
    async with opa(str(tmp_path)) as running, engine(running.url) as server:
        (own,) = await held(running.url)
        for number in range(KEPT + 3):
            one = await put(server, {"a.rego": DENY}, f"sha256:{number}")
        assert await said(one) == "deny"
        assert own in await held(running.url)
        assert len({name.split("/")[2] for name in await held(running.url) if name != own}) == KEPT + 1


async def test_files_that_call_each_other_s_functions_are_put_in_the_order_that_opa_needs() -> None:
    calls = (
        b'import data.policylayer.lib.inner\ndecision := {"effect": "deny"} if inner.f(input.target) == input.target\n'
    )
    files = {
        "a.rego": HEAD.encode() + calls,
        "b/lib.rego": b"package policylayer.lib.inner\nimport data.policylayer.zone\nf(x) := zone.g(x)\n",
        "c.rego": b"package policylayer.zone\ng(x) := x\n",
    }
    async with opa() as running, engine(running.url) as server:
        assert await said(await put(server, files, "sha256:one")) == "deny"


async def test_no_files_at_all_object_to_nothing_and_prove_it() -> None:
    async with opa() as running, engine(running.url) as server:
        none = await put(server, {}, "sha256:none")
        assert await said(none) is None
        for name in await held(running.url):
            await delete(running.url, name)
        assert await said(none) == "engine_error"


@pytest.mark.shows("rego.6")
async def test_what_is_pushed_answers_every_vector_as_opa_does() -> None:
    async with opa() as running, engine(running.url) as server:
        for number, case in enumerate(VECTORS["cases"]):
            made = placing.placed({"case.rego": module(case)}, str(number), 1)
            pushed = Pushed(server._connection, made, lambda _: None)
            await pushed.put()
            answer: dict[str, Any] = {}
            try:
                values, _ = await pushed.decided(orjson.loads(INPUT))
                answer = {"value": values[0]} if values else {}
            except Exception as failure:
                answer = {"error": str(failure)}
            assert meaning(answer) == wanted(case), case["rego"]
            await pushed.remove()


class Forgetful:
    """A server that takes everything and holds nothing; counts what it is asked."""

    def __init__(self) -> None:
        self.puts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_body = b"content-length: "
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(with_body)]
                await reader.readexactly(int(sizes[0].removeprefix(with_body)) if sizes else 0)
                self.puts += head.startswith(b"PUT")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.mark.shows("rego.3")
async def test_a_server_that_holds_nothing_is_not_stormed() -> None:
    forgetful = Forgetful()
    async with await asyncio.start_server(forgetful.serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with engine(url) as server:
            assert await server.push({"a.rego": DENY}, "sha256:one") == (
                "it took the files, but does not hold all of them"
            )
            made = placing.placed({"a.rego": DENY.decode()}, "sha256:one", 1)
            server._current = one = Pushed(server._connection, made, server._lost_one)
            before = forgetful.puts
            for _ in range(200):
                assert await said(one) == "engine_error"
                await asyncio.sleep(0.005)
            assert 2 <= forgetful.puts - before <= 2 * 3, "one trial, and twice more within a second"
            assert not server.ready
            assert "does not hold" in str(server.problem)
