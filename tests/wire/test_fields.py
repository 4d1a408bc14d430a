"""Header fields as they came, and the codec of values that a header cannot carry plainly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound as sdk

from policylayer.wire.fields import Headers, decode_value, encode_value


def test_names_have_no_case_and_values_no_space_around_them() -> None:
    headers = Headers.of([(b"Mcp-Name", b" \tsafe \t"), (b"ACCEPT", b"a"), (b"accept", b"b")])
    assert headers.get("mcp-name") == "safe"
    assert headers.get("accept") == "a"
    assert headers.get_all("accept") == ("a", "b")
    assert headers.repeated("accept")
    assert not headers.repeated("mcp-name")
    assert not headers.repeated("x")
    assert headers.get("x") is None
    assert headers.get_all("x") == ()
    assert "accept" in headers
    assert "x" not in headers
    assert list(headers) == ["mcp-name", "accept"]
    assert list(headers.items()) == [("mcp-name", "safe"), ("accept", "a"), ("accept", "b")]


def test_only_space_and_tab_are_taken_away() -> None:
    assert Headers([("a", "\u00a0x\u00a0")]).get("a") == "\u00a0x\u00a0"
    assert Headers.of([(b"a", b"caf\xe9")]).get("a") == "caf\u00e9"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("us-west1", "us-west1"),
        ("two words", "two words"),
        ("", ""),
        ("Hello, \u4e16\u754c", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("a\tb", "=?base64?YQli?="),
        ("=?base64?x", "=?base64?x"),
        ("=?base64?=", "=?base64?="),
        ("=?base64??=", "=?base64?PT9iYXNlNjQ/Pz0=?="),
    ],
)
def test_the_codec(value: str, encoded: str) -> None:
    assert encode_value(value) == encoded
    assert decode_value(encoded) == value


@pytest.mark.parametrize(
    "value",
    [
        *(
            "=?base64?SGVsbG8?=",
            "=?base64?SGVs!!!bG8=?=",
            "=?base64?SGVsbG9=?=",
            "=?base64?/w==?=",
            "=?base64?SGVs bG8=?=",
        ),
        *("=?base64?7aCA?=", "=?base64?\u00e9?=", "caf\u00e9", "a\x00b", "a\rb", "\x7f"),
    ],
)
def test_values_that_no_encoder_gives(value: str) -> None:
    assert decode_value(value) is None


def test_the_marks_are_exact() -> None:
    assert decode_value("=?BASE64?SGVsbG8=?=") == "=?BASE64?SGVsbG8=?="
    assert decode_value("=?base64?SGVsbG8=") == "=?base64?SGVsbG8="
    assert decode_value("SGVsbG8=") == "SGVsbG8="
    assert decode_value("a\tb") == "a\tb"
    assert decode_value("=?base64??=") == ""


@given(st.text())
def test_everything_survives(value: str) -> None:
    encoded = encode_value(value)
    assert decode_value(encoded) == value
    assert encoded.isascii()
    assert encoded.isprintable()
    assert encoded == encoded.strip()
    assert sdk.decode_header_value(encoded) == value
    assert decode_value(sdk.encode_header_value(value)) == value


@given(st.text(alphabet="=?base64ABC/+ ", max_size=30))
def test_decoding_agrees_with_the_reference(value: str) -> None:
    for candidate in (value, f"=?base64?{value}?="):
        assert decode_value(candidate) == sdk.decode_header_value(candidate)
