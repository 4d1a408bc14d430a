"""IP addresses and networks."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import addresses


@given(st.ip_addresses())
def test_every_address_is_read(address: object) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    assert addresses.read(str(address)) == (mapped or address)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_same(address: object) -> None:
    assert addresses.read(f"::ffff:{address}") == address


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "01.2.3.4", "1.2.3.4 ", "0x1.2.3.4", "::1%1", "1.2.3.4/32", "::g", "9" * 70]
)
def test_what_is_no_address(text: str) -> None:
    assert addresses.read(text) is None


def test_networks() -> None:
    assert addresses.read_network("::ffff:10.0.0.0/104") == IPv4Network("10.0.0.0/8")
    assert addresses.read_network("10.0.0.1") == IPv4Network("10.0.0.1/32")
    inside = addresses.contains((IPv4Network("10.0.0.0/8"),))
    assert [inside(ip_address(text)) for text in ("10.1.1.1", "11.0.0.1", "::1")] == [True, False, False]


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/255.0.0.0", "10.0.0.0/", "::1%1/128", "a/8", "10.0.0.0/+8", "/8"]
)
def test_what_is_no_network(text: str) -> None:
    assert addresses.read_network(text) is None
