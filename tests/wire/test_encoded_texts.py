"""Texts in base64 are masked however they are written: what some reader makes a text of is one."""

from __future__ import annotations

import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.wire.encoded_texts import encode, masked
from tests.wire.answers import EMAIL, treated

SECRET = "contact: alice.longname@example.com and some more text to make this line wrap around, bob@example.com ÿÿÿ??>>"
HIDDEN = "contact: [masked] and some more text to make this line wrap around, [masked] ÿÿÿ??>>"
PLAIN = base64.b64encode(SECRET.encode()).decode()


def lenient(written: str) -> bytes:
    """As the most lenient readers do it."""
    kept = "".join(char for char in written.translate(str.maketrans("-_", "+/")) if char.isalnum() or char in "+/")
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    return base64.b64decode(kept + "=" * (-len(kept) % 4))


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "written",
    [
        PLAIN,
        PLAIN.rstrip("="),
        base64.encodebytes(SECRET.encode()).decode(),
        "\r\n".join(textwrap.wrap(PLAIN, 64)),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        f"  {PLAIN[:31]}*{PLAIN[31:]}\t",
        PLAIN.rstrip("=") + "A" * ((1 - len(PLAIN.rstrip("="))) % 4),
    ],
    ids=["plain", "unpadded", "mime", "pem", "urlsafe", "urlsafe unpadded", "strange", "one too many"],
)
def test_however_a_text_is_written_it_is_masked(written: str) -> None:
    found = treated({"content": [{"type": "resource", "resource": {"uri": "f:1", "blob": written}}]}, EMAIL)
    data = lenient(found["content"][0]["resource"]["blob"])
    assert data.decode(errors="replace").startswith(HIDDEN)
    assert b"@" not in data


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-8-sig"])
def test_texts_in_other_encodings_are_masked(encoding: str) -> None:
    written = base64.b64encode(SECRET.encode(encoding)).decode()
    assert base64.b64decode(masked(written, EMAIL.text)).decode(encoding) == HIDDEN


def test_pieces_one_after_the_other_are_each_masked() -> None:
    written = encode("a@b.io!") + encode("c@d.io")
    data = lenient(masked(written, EMAIL.text))
    assert data == b"[masked]![masked]"


def test_what_is_no_base64_at_all_is_masked_as_the_text_it_is() -> None:
    assert masked("mail: a@b.io", EMAIL.text) == "mail: [masked]"


def test_the_alphabet_stays() -> None:
    written = base64.urlsafe_b64encode(SECRET.encode()).decode()
    assert "_" in written
    new = masked(written, EMAIL.text)
    assert base64.urlsafe_b64decode(new).decode() == HIDDEN
    assert "/" not in new


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.integers(1, 80))
def test_where_nothing_is_masked_nothing_changes(data: bytes, width: int) -> None:
    for written in (
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        "\n".join(textwrap.wrap(base64.b64encode(data).decode(), width)),
    ):
        assert masked(written, lambda text: text) is written


@given(st.text(max_size=300))
def test_no_text_is_too_strange(written: str) -> None:
    masked(written, lambda text: text + "x")
