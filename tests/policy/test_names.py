"""Globs over names: `*` is anything, everything else itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import names

ALPHABET = "ab*\n/."


@given(st.text(ALPHABET, max_size=8), st.text("ab\n/.", max_size=10))
def test_against_an_expression(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert names.matcher(pattern)(name) is bool(re.fullmatch(expression, name, re.DOTALL))


def test_other_wildcards_are_refused() -> None:
    assert [names.refused(text) for text in ("a?", "a[b]", "{a}", "a\\", "a*")] == ["?", "[", "{", "\\", None]


PATTERNS = st.text("ab*", min_size=1, max_size=5).filter(lambda text: "***" not in text)
NAMES = st.text("abc", max_size=7)


@given(PATTERNS, PATTERNS, NAMES)
def test_what_covers_matches_all_that_is_covered(wide: str, narrow: str, name: str) -> None:
    if names.covers(wide, narrow) and names.matcher(narrow)(name):
        assert names.matcher(wide)(name)


@given(PATTERNS, PATTERNS, NAMES)
def test_two_globs_meet_where_a_name_is_of_both(one: str, other: str, name: str) -> None:
    if names.matcher(one)(name) and names.matcher(other)(name):
        assert names.meet(one, other)


@pytest.mark.parametrize(
    ("one", "other", "covers", "meet"),
    [
        ("*", "a*b", True, True),
        ("a*", "a*b", True, True),
        ("a*b", "a*", False, True),
        ("get_*", "set_*", False, False),
        ("*_x", "*_y", False, False),
        ("a*c", "ab*", False, True),
        ("a", "a", True, True),
        ("a", "b", False, False),
        ("a*a", "a", False, False),
    ],
)
def test_covering_and_meeting(one: str, other: str, covers: bool, meet: bool) -> None:
    assert (names.covers(one, other), names.meet(one, other), names.meet(other, one)) == (covers, meet, meet)
