"""Where a name may lead (UP-16, UP-17)."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from policylayer.upstream.addresses import GuardedResolver, reach

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
