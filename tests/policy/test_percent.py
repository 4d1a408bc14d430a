"""Decoding until nothing changes."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy.percent import decode, is_broken


@given(st.lists(st.sampled_from(["%", "2", "5", "4", "c", "%25", "%41", "%c3%a9", "é", "/"]), max_size=12).map("".join))
def test_it_is_what_decoding_again_and_again_ends_in(text: str) -> None:
    data = text.encode()
    while (decoded := unquote_to_bytes(data)) != data:
        data = decoded
    try:
        assert decode(text) == data.decode()
    except UnicodeDecodeError:
        assert decode(text) is None


def test_it_takes_linear_time() -> None:
    assert decode("%" + "25" * 200_000) == "%"


def test_what_is_not_utf8_cannot_be_decoded() -> None:
    assert decode("%ff") is None
    assert decode("a\ud800") is None


def test_a_broken_escape() -> None:
    assert [is_broken(text) for text in ("%41", "%4", "%", "%%41", "a")] == [False, True, True, True, False]
