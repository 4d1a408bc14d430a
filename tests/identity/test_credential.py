"""What a credential looks like, and what a header must look like to hold one."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.identity import credential
from policylayer.identity.credential import Sort, mint, presented

GRANT = mint(Sort.GRANT)
JWT = b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


def test_a_credential_is_256_random_bits_behind_a_public_prefix() -> None:
    sort, prefix, secret = GRANT.token.split("_", 2)
    assert (sort, len(prefix), len(secret)) == ("plg", 8, 43)
    assert prefix == GRANT.prefix
    assert len({mint(Sort.GRANT).token for _ in range(100)}) == 100


def test_only_a_hash_is_made_of_it() -> None:
    assert GRANT.hash == sha256(GRANT.token.encode()).digest()
    assert GRANT.token not in repr(GRANT)
    assert GRANT.hash.hex() not in repr(GRANT)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_read_without_regard_to_case(scheme: str) -> None:
    shown = presented(f"{scheme} {GRANT.token}".encode(), Sort.GRANT)
    assert shown is not None
    assert shown.prefix == GRANT.prefix
    assert shown.matches(GRANT.hash)


GARBAGE = [
    b"",
    b"Bearer",
    b"Bearer ",
    b"Bearer  " + GRANT.token.encode(),
    b" Bearer " + GRANT.token.encode(),
    b"Bearer\t" + GRANT.token.encode(),
    b"Bearer " + GRANT.token.encode() + b" ",
    b"Bearer " + GRANT.token.encode() + b"\n",
    b"Bearer " + GRANT.token.encode() + b", Bearer " + GRANT.token.encode(),
    b"Bearer " + GRANT.token.encode() + b"A",
    b"Bearer " + GRANT.token.encode()[:-1],
    b"Bearer " + GRANT.token.encode()[:-1] + b"\xe9",
    b"Bearer " + GRANT.token.encode()[:-1] + b"\x00",
    b"Bearer " + GRANT.token.upper().encode(),
    b"Bearer x",
    b"Bearer plg_",
    b"Bearer " + b"A" * 65_536,
    b"Basic " + GRANT.token.encode(),
    b"Token " + GRANT.token.encode(),
    GRANT.token.encode(),
    JWT,
]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("header", GARBAGE, ids=range(len(GARBAGE)))
def test_auth_01_garbage_is_no_credential(header: bytes) -> None:
    assert presented(header, Sort.GRANT) is None
    assert presented(header, Sort.PERSON) is None


def test_a_grant_is_no_persons_token_and_the_other_way_round() -> None:
    assert presented(f"Bearer {GRANT.token}".encode(), Sort.PERSON) is None
    assert presented(f"Bearer {mint(Sort.PERSON).token}".encode(), Sort.GRANT) is None


@given(st.binary(max_size=120))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    shown = presented(b"Bearer " + data, Sort.GRANT)
    assert shown is None or shown.matches(sha256(data).digest())


@pytest.mark.shows("proxy.5")
def test_auth_02_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Hmac:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(credential, "hmac", Hmac)
    shown = presented(f"Bearer {GRANT.token}".encode(), Sort.GRANT)
    assert shown is not None
    assert shown.matches(GRANT.hash)
    assert not shown.matches(bytes(32))
    assert [other for _, other in compared] == [GRANT.hash, bytes(32)]
