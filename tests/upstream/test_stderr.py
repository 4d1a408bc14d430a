"""What is logged of standard error holds no secret that we gave, wherever it is cut, however many lines it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.upstream.stderr import LONGEST_SAID, Lines

SECRET = "s3cr3t-UPSTREAM-key-0123456789abcdef"
PEM = "-----BEGIN KEY-----\nMIIEvLINEONE0000000000000000000000\nMIIEvLINETWO1111111111111111111111\n-----END KEY-----\n"


def said(*pieces: bytes, secrets: tuple[str, ...] = (SECRET, PEM)) -> list[str]:
    lines = Lines(secrets)
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.end())


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("before", [0, 10, LONGEST_SAID - 1, LONGEST_SAID, 1_999, 2_000, 16_383, 40_000])
@pytest.mark.parametrize("cut", [0, 1, 20, 35, 36])
def test_a_secret_is_hidden_wherever_it_stands_and_is_cut(before: int, cut: int) -> None:
    data = b"x" * before + SECRET.encode() + b"y\nnext\n"
    found = said(data[: before + cut], data[before + cut :])
    assert len(found) == 2
    assert found[1] == "next"
    assert not [at for at in range(len(SECRET) - 8) if SECRET[at : at + 8] in found[0]]
    assert before > LONGEST_SAID - 3 or "***" in found[0]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("shown", [PEM, repr(PEM), PEM.replace("\n", "\r\n"), f"env: {PEM}"])
def test_each_line_of_a_secret_of_several_is_hidden(shown: str) -> None:
    found = "".join(said(f"{shown}\n".encode()))
    assert "MIIE" not in found
    assert "***" in found


@pytest.mark.shows("proxy.5")
def test_many_short_secrets_bring_no_later_one_into_view() -> None:
    """What is hidden takes less room than it had: what follows it, and was not read to its end, must not show."""
    data = f"{SECRET} ".encode() * 500
    for cut in range(1, 60):
        assert "s3cr3t" not in "".join(said(data[:-cut]))


@given(st.lists(st.sampled_from([SECRET[:9], SECRET, SECRET[20:], "x", "\n", " ", "ä"]), max_size=30), st.data())
def test_cut_anywhere_it_comes_to_the_same(parts: list[str], draw: st.DataObject) -> None:
    data = "".join(parts).encode()
    cut = draw.draw(st.integers(0, len(data)))
    assert said(data[:cut], data[cut:]) == said(data)
    assert SECRET not in "".join(said(data))


def test_little_is_kept_of_a_line_that_never_ends() -> None:
    lines = Lines([SECRET])
    for _ in range(1_000):
        assert not list(lines.feed(b"x" * 10_000))
    assert len(lines._line) < 3_000
    (line,) = lines.feed(b"\n")
    assert line == "x" * LONGEST_SAID + "..."


def test_lines_are_cut_short_and_made_printable() -> None:
    assert said(b"a\x1b[31m\xff\r\n\n  \nb") == ["a\\x1b[31m\ufffd", "b"]
    assert said(b"short", secrets=("short",)) == ["short"]
