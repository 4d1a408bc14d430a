"""Host and Origin are compared whole."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.proxy.hosts import Hosts


def test_names_without_a_port_stand_for_any_port() -> None:
    hosts = Hosts.of(["proxy.example.com", "other.example.com:8443"])
    assert hosts.host_allowed("proxy.example.com")
    assert hosts.host_allowed("PROXY.example.com:9000")
    assert hosts.host_allowed("other.example.com:8443")
    assert not hosts.host_allowed("other.example.com")
    assert not hosts.host_allowed("other.example.com:8444")
    assert not hosts.host_allowed("localhost")
    assert not hosts.host_allowed(None)


def test_the_public_url_adds_its_host_and_its_origin() -> None:
    hosts = Hosts.of(public_url="https://proxy.example.com")
    assert hosts.host_allowed("proxy.example.com")
    assert hosts.host_allowed("proxy.example.com:443")
    assert not hosts.host_allowed("proxy.example.com:80")
    assert hosts.origin_allowed("https://proxy.example.com", "proxy.example.com")
    assert hosts.origin_allowed("https://proxy.example.com:443", "proxy.example.com")
    assert not hosts.origin_allowed("http://proxy.example.com", "proxy.example.com:443")
    assert not hosts.origin_allowed("https://proxy.example.com.evil.example", "proxy.example.com")


def test_an_origin_is_ours_where_it_names_the_host_itself() -> None:
    hosts = Hosts.of(loopback=True)
    assert hosts.origin_allowed("http://localhost:8080", "localhost:8080")
    assert hosts.origin_allowed("http://[::1]:8080", "[::1]:8080")
    assert not hosts.origin_allowed("http://localhost:8081", "localhost:8080")
    assert not hosts.origin_allowed("http://127.0.0.1:8080", "localhost:8080")
    assert not hosts.origin_allowed("http://localhost", "localhost:8080")


@pytest.mark.parametrize(
    ("how", "host", "schemes"),
    [
        ({}, "localhost:8080", {"http"}),
        ({"tls": True}, "localhost:8080", {"https"}),
        ({}, "proxy.example.com", {"http"}),
        ({"tls": True}, "proxy.example.com", {"https"}),
        ({"public_url": "https://other.example.com"}, "proxy.example.com", {"https"}),
        ({"public_url": "https://other.example.com"}, "localhost:8080", {"http"}),
        ({"public_url": "https://other.example.com"}, "other.example.com", {"https"}),
        ({"fronted": True, "public_url": "http://other.example.com"}, "proxy.example.com", {"http"}),
        ({"fronted": True}, "proxy.example.com", {"http", "https"}),
    ],
)
def test_an_origin_of_another_scheme_is_not_ours(how: dict[str, Any], host: str, schemes: set[str]) -> None:
    hosts = Hosts.of(["proxy.example.com"], loopback=True, **how)
    assert {each for each in ("http", "https") if hosts.origin_allowed(f"{each}://{host}", host)} == schemes


def test_configured_origins_are_exact() -> None:
    hosts = Hosts.of(origins=["https://app.example.com", "http://localhost:3000"], loopback=True)
    assert hosts.origin_allowed("https://app.example.com", "localhost")
    assert hosts.origin_allowed("http://localhost:3000", "localhost:8080")
    assert not hosts.origin_allowed("http://localhost:30000", "localhost:8080")
    assert not hosts.origin_allowed("http://localhost:3000@evil.example", "localhost:8080")
