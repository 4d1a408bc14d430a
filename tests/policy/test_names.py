"""Globs over names: `*` is anything, everything else itself."""

from __future__ import annotations

import re

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
