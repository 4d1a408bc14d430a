"""Where a name may lead (UP-16, UP-17), and that looking it up holds up no other name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from policylayer.upstream.addresses import GuardedResolver, SystemResolver, reach

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", "public"),
        ("2606:2800:220:1::1", "public"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("172.16.0.1", "private"),
        ("fd00::1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.169.254", "forbidden"),
        ("::ffff:169.254.169.254", "forbidden"),
        ("fe80::1", "forbidden"),
        ("fe80::1%eth0", "forbidden"),
        ("0.0.0.0", "forbidden"),
        ("::", "forbidden"),
        ("100.100.100.200", "forbidden"),
        ("fd00:ec2::254", "forbidden"),
        ("224.0.0.1", "forbidden"),
    ],
)
def test_how_far_in_an_address_lies(address: str, expected: str) -> None:
    assert reach(address) == expected


class Names(AbstractResolver):
    """Answers each lookup with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.5", "::1", "fd00::8"])
async def test_a_name_that_was_public_may_not_become_private(inner: str) -> None:
    resolver = GuardedResolver(Names(["93.184.216.34"], ["93.184.216.35"], [inner], ["93.184.216.34", inner]))
    await resolver.resolve("shop.example", 443)
    await resolver.resolve("shop.example", 443)
    for _ in range(2):
        with pytest.raises(OSError, match="now to"):
            await resolver.resolve("shop.example", 443)


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        ([["10.0.0.5"], ["10.0.0.6"], ["127.0.0.1"]], 2),
        ([["10.0.0.5"], ["10.0.0.5", "93.184.216.34"]], 1),
        ([["127.0.0.1"], ["::1"], ["10.0.0.5"]], 2),
        ([["127.0.0.1"], ["93.184.216.34"]], 1),
        ([["93.184.216.34", "10.0.0.5"], ["10.0.0.5"], ["93.184.216.34"], ["93.184.216.34", "::1"]], 3),
        ([[], ["10.0.0.5"], [], ["127.0.0.1"]], 3),
    ],
)
async def test_a_name_may_lead_neither_further_in_nor_further_out_than_at_first(
    answers: list[list[str]], refused: int
) -> None:
    resolver = GuardedResolver(Names(*answers))
    for number, answer in enumerate(answers):
        if number == refused:
            with pytest.raises(OSError, match="addresses first, and now to"):
                await resolver.resolve("shop.example", 443)
        else:
            assert len(await resolver.resolve("shop.example", 443)) == len(answer)


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "fe80::1"])
async def test_a_name_may_never_lead_to_a_metadata_service(address: str) -> None:
    resolver = GuardedResolver(Names([address], ["10.0.0.1", address]))
    for _ in range(2):
        with pytest.raises(OSError, match="link-local"):
            await resolver.resolve("shop.internal", 80)


async def test_private_and_loopback_servers_are_normal() -> None:
    names = Names(["10.0.0.5"], ["10.0.0.6"], ["127.0.0.1", "::1"], ["::1"])
    resolver = GuardedResolver(names)
    for host in ("shop.internal", "shop.internal", "localhost", "localhost"):
        assert await resolver.resolve(host, 80)
    await resolver.close()
    assert names.closed


class System:
    """A system that answers for `dead` names only when it is told to, as where their name server is down."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.begun = threading.Event()
        self.asked: list[str] = []
        self.running: list[threading.Thread] = []

    def look(self, host: str, port: object, **kinds: Any) -> list[Any]:
        self.asked.append(host)
        self.running.append(threading.current_thread())
        self.begun.set()
        if host.startswith("dead"):
            self.answer.wait()
        if host.endswith("none"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.0.{len(self.asked)}", 0))]


@pytest.fixture
def system() -> Iterator[System]:
    made = System()
    yield made
    made.answer.set()
    for thread in made.running:
        thread.join()


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


async def given_up(resolver: SystemResolver, name: str) -> None:
    """A caller that does not wait until the system has answered."""
    waiting = asyncio.ensure_future(resolver.resolve(name, 80))
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_names_whose_server_is_down_hold_up_no_other(system: System, loop: Callable[[], Any]) -> None:
    async def run() -> None:
        resolver = SystemResolver(system.look)
        for number in range(40):
            await given_up(resolver, f"dead-{number}.example")
        async with asyncio.timeout(30):
            (found,) = await resolver.resolve("shop.example", 81)
        assert (found["hostname"], found["host"], found["port"]) == ("shop.example", "10.0.0.41", 81)
        await resolver.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def test_a_name_is_looked_up_once_at_a_time_for_all_who_wait(system: System) -> None:
    resolver = SystemResolver(system.look)
    for _ in range(10):
        await given_up(resolver, "dead.example")
    waiting = [asyncio.ensure_future(resolver.resolve("dead.example", port)) for port in (80, 81)]
    await given_up(resolver, "dead.example")
    assert system.asked == ["dead.example"]
    system.answer.set()
    assert [(each["host"], each["port"]) for one in waiting for each in await one] == [
        ("10.0.0.1", 80),
        ("10.0.0.1", 81),
    ]
    # What is known is not kept: each connect looks again.
    assert [each["host"] for each in await resolver.resolve("dead.example", 80)] == ["10.0.0.2"]


async def test_a_name_that_leads_nowhere_is_told_to_all_who_wait_and_looked_up_again(system: System) -> None:
    resolver = SystemResolver(system.look)
    waiting = [asyncio.ensure_future(resolver.resolve("dead.none", 80)) for _ in range(2)]
    await given_up(resolver, "dead.none")
    system.answer.set()
    for one in waiting:
        with pytest.raises(socket.gaierror, match="not known"):
            await one
    with pytest.raises(socket.gaierror):
        await resolver.resolve("dead.none", 80)
    assert len(system.asked) == 2


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_closing_waits_for_no_lookup(system: System, loop: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)

    async def run() -> None:
        resolver = GuardedResolver(SystemResolver(system.look))
        waiting = asyncio.ensure_future(resolver.resolve("dead.example", 80))
        await asyncio.sleep(0)
        system.begun.wait()
        await resolver.close()
        with pytest.raises(OSError, match="no longer"):
            await waiting

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    assert all(thread.daemon for thread in system.running)
    system.answer.set()
    for thread in system.running:
        thread.join()
    assert failed == []


async def test_where_no_thread_can_be_had_the_name_cannot_be_reached(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = SystemResolver(system.look)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="no thread"):
            await resolver.resolve("shop.example", 80)
    assert await resolver.resolve("shop.example", 80)
