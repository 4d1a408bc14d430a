"""X-Forwarded-For is believed from the configured proxies only."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from policylayer.proxy.client_ip import client_ip

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ("198.51.100.1",), "203.0.113.9"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1, 203.0.113.7",), "203.0.113.7"),
        ("10.0.0.1", ("198.51.100.1, 10.0.0.2",), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1", "10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1:5555",), "198.51.100.1"),
        ("10.0.0.1", ("203.0.113.7, 198.51.100.1:5555, 10.0.0.2:80",), "198.51.100.1"),
        ("10.0.0.1", ("[2001:db8::1]:443",), "2001:db8::1"),
        ("10.0.0.1", ("[2001:db8::1]",), "2001:db8::1"),
        ("10.0.0.1", ("nonsense",), None),
        ("10.0.0.1", ("",), None),
        ("10.0.0.1", ("unknown",), None),
        ("10.0.0.1", ("1.2.3.4:5:6",), None),
        ("10.0.0.1", ("[1.2.3.4",), None),
        ("10.0.0.1", ("198.51.100.1, nonsense, 10.0.0.2",), None),
        ("fd00::1", ("::ffff:198.51.100.1",), "198.51.100.1"),
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        (None, ("198.51.100.1",), None),
    ],
)
def test_the_nearest_address_that_is_not_ours(
    peer: str | None, forwarded: tuple[str, ...], expected: str | None
) -> None:
    assert client_ip(peer, forwarded, PROXIES) == expected


def test_without_proxies_nothing_is_believed() -> None:
    assert client_ip("10.0.0.1", ("198.51.100.1",), ()) == "10.0.0.1"
