"""What stands before the API: Host, Origin, who is really asking, and which app gets which path."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from policylayer.api.front import Front
from policylayer.proxy.hosts import Hosts
from tests.api.rig import Answer, call

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]
HOSTS = Hosts.of(["proxy.example.com"], ["https://console.example.com"], "https://public.example.com", loopback=True)


class Seen:
    """An app that answers with its name and the address it saw."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = f"{self.name} {scope['client'][0] if scope['client'] else None}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def ask(path: str, *headers: tuple[str, str], peer: str = "127.0.0.1", behind: tuple[Any, ...] = ()) -> Answer:
    front = Front(Seen("agents"), {"/api/v1": Seen("api"), "": Seen("rest")}, HOSTS, behind)
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "method": "GET", "path": path, "headers": raw, "client": (peer, 1), "query_string": b""}
    return await call(front, scope, b"")


@pytest.mark.parametrize(
    ("path", "app"), [("/mcp/shop", "agents"), ("/api/v1/policy", "api"), ("/healthz", "rest"), ("/mcpx", "rest")]
)
async def test_paths(path: str, app: str) -> None:
    assert (await ask(path, ("host", "localhost:8080"))).body.startswith(app.encode())


async def test_an_agent_that_names_no_server_is_told_how() -> None:
    answer = await ask("/mcp", ("host", "localhost:8080"))
    assert (answer.status, answer.json["detail"].startswith("agents connect to `/mcp/SERVER`")) == (404, True)
    assert (await ask("/mcp", ("host", "evil.example"))).status == 421
    slashed = await ask("/mcp/shop/", ("host", "localhost:8080"))
    assert (slashed.status, "without a slash at its end" in slashed.json["detail"]) == (404, True)


async def test_agents_requests_are_checked_by_their_own_endpoint() -> None:
    assert (await ask("/mcp/shop", ("host", "evil.example"))).status == 200


@pytest.mark.parametrize("host", ["proxy.example.com", "PROXY.example.com:8443", "public.example.com", "[::1]:8080"])
async def test_hosts_that_are_served(host: str) -> None:
    assert (await ask("/metrics", ("host", host))).status == 200


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        ["localhost.evil.example"],
        ["localhost:80.evil.example"],
        ["a@localhost"],
        ["localhost/x?y"],
        ["localhost", "localhost"],
    ],
)
async def test_hosts_that_are_not(hosts: list[str]) -> None:
    answer = await ask("/metrics", *(("host", host) for host in hosts))
    assert (answer.status, answer.json["code"]) == (421, "bad_host")
    for probe in ("/healthz", "/readyz"):
        assert (await ask(probe, *(("host", host) for host in hosts))).body == b"rest None"


async def test_forwarded_hosts_change_nothing() -> None:
    assert (await ask("/metrics", ("host", "evil.example"), ("x-forwarded-host", "localhost"))).status == 421


@pytest.mark.parametrize(
    ("origins", "status"),
    [
        (["https://console.example.com"], 200),
        (["https://public.example.com"], 200),
        (["http://localhost:8080"], 200),
        (["null"], 403),
        (["http://localhost:80.evil.example"], 403),
        (["https://evil.example"], 403),
        (["https://console.example.com", "https://console.example.com"], 403),
    ],
)
async def test_origins(origins: list[str], status: int) -> None:
    answer = await ask("/api/v1/policy", ("host", "localhost:8080"), *(("origin", origin) for origin in origins))
    assert answer.status == status
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    ("peer", "forwarded", "behind", "seen"),
    [
        ("10.0.0.1", "1.2.3.4", (), "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", (ip_network("10.0.0.0/8"),), "1.2.3.4"),
        ("11.0.0.1", "1.2.3.4", (ip_network("10.0.0.0/8"),), "11.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", (ip_network("10.0.0.0/8"),), "1.2.3.4"),
    ],
)
async def test_who_is_asking(peer: str, forwarded: str, behind: tuple[Any, ...], seen: str) -> None:
    answer = await ask("/healthz", ("host", "localhost"), ("x-forwarded-for", forwarded), peer=peer, behind=behind)
    assert answer.body.decode() == f"rest {seen}"
