"""Globs over texts: `*` stops at `/`, `**` does not, `/**/` also matches `/`."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import globs


def naive(pattern: str, text: str) -> bool:
    """The definition, character by character."""

    @lru_cache(None)
    def at(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern.startswith("/**/", p) and t < len(text) and text[t] == "/" and at(p + 3, t):
            return True
        if pattern.startswith("**", p):
            return any(at(p + 2, end) for end in range(t, len(text) + 1))
        if pattern[p] == "*":
            stop = next((i for i in range(t, len(text)) if text[i] == "/"), len(text))
            return any(at(p + 1, end) for end in range(t, stop + 1))
        return t < len(text) and text[t] == pattern[p] and at(p + 1, t + 1)

    return at(0, 0)


PIECES = st.lists(st.sampled_from(["a", "b.", "/", "/**/", "**", "*", "\n", "ä"]), max_size=6).map("".join)


@given(PIECES.filter(lambda text: "***" not in text), st.text("ab./\nä", max_size=9))
def test_against_the_definition(pattern: str, text: str) -> None:
    assert globs.glob(pattern)(text) is naive(pattern, text)


@given(st.text(max_size=20).filter(lambda text: "*" not in text))
def test_everything_else_is_itself(text: str) -> None:
    assert globs.glob(text + "*")(text)
    assert not globs.glob(text + "*")("x" + text) or text.startswith("x") or not text


def test_two_stars_twice_are_two_stars_once() -> None:
    twice = globs.glob("a/**/**/b")
    assert [twice(text) for text in ("a/b", "a/x/y/b", "a/xb", "ab")] == [True, True, False, False]


@pytest.mark.parametrize(("pattern", "sign"), [("a***", "***"), ("a?", "?"), ("a*b**", None)])
def test_what_is_refused(pattern: str, sign: str | None) -> None:
    assert globs.refused(pattern) == sign
