"""Links: no two rows read the same, and each depends on all before it."""

from __future__ import annotations

import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.chain import START, Linker, encode, link

KEY = bytes(range(32))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CELLS = st.lists(st.none() | TEXTS | st.integers(-(2**63), 2**63 - 1), max_size=6).map(tuple)


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        ((None,), ("",)),
        ((None,), ("null",)),
        ((1,), ("1",)),
        (('a","b',), ("a", "b")),
        (("é",), ("e\u0301",)),
        ((), (None,)),
    ],
)
def test_rows_that_look_alike_have_different_links(
    one: tuple[str | int | None, ...], other: tuple[str | int | None, ...]
) -> None:
    """AUD-12."""
    assert link(KEY, START, one) != link(KEY, START, other)


@given(CELLS, CELLS)
def test_the_encoding_is_injective(one: tuple[str | int | None, ...], other: tuple[str | int | None, ...]) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(CELLS)
def test_the_encoding_is_plain_json(cells: tuple[str | int | None, ...]) -> None:
    assert encode(cells) == json.dumps(list(cells), ensure_ascii=False, separators=(",", ":")).encode()


def test_a_link_depends_on_key_and_predecessor() -> None:
    row = ("a", 1, None)
    assert len({link(KEY, START, row), link(bytes(32), START, row), link(KEY, KEY, row)}) == 3


@given(st.binary(max_size=200), CELLS)
def test_a_link_is_the_hmac_that_everyone_knows(key: bytes, cells: tuple[str | int | None, ...]) -> None:
    assert Linker(key).link(START, cells) == hmac.digest(key, START + encode(cells), "sha256")
