"""RE2, and folding the case of an expression's literals, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy.regexes import BadRegex, compile_regex, fold

ATOMS = st.sampled_from(
    [
        "a",
        "Z",
        "k",
        "s",
        "1",
        r"\.",
        r"\d",
        r"\D",
        "[a-c]",
        "[^x-zQ]",
        "[A-z]",
        "[0-Z]",
        "[!-~]",
        r"[\d_k]",
        "[]a]",
        ".",
        "(?:ab|C)",
        "(x)",
        "(?:y|k)",
        "[kK]",
        "[sS]",
        "|",
        "a{1,2}",
        "B+",
        "^",
        "$",
        r"\bs",
        r"[^\W]",
        r"[\--b]",
        "é",
    ]
)
PATTERNS = st.lists(ATOMS, max_size=5).map("".join)
TEXTS = st.text("aAbBcCkKsSxXyYzZ19._-éÉ\u212a\u017f ]", max_size=8)


@pytest.mark.shows("policy.5")
@given(PATTERNS, TEXTS)
def test_folding_is_that_of_ascii(pattern: str, text: str) -> None:
    expected = re.search(pattern, text, re.IGNORECASE | re.ASCII | re.DOTALL)
    assert compile_regex(pattern, whole=False, ignore_case=True)(text) is bool(expected)


KELVIN, LONG_S = "\u212a", "\u017f"
TWO_CASES = [
    "[yY]|[kK]",
    "[kK]|[sS]",
    "a|[kK]",
    "[kK]|K",
    r"b|[\x4bk]",
    r"[\113k]|[Ss]x|[sS]",
    "[K-Kk-k]|y",
    "k|[sS]+|[sS]",
]


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize("pattern", [*TWO_CASES, "(?:y|k)", "k|s", "s|k|x", "(k|a)*", "[sk]|a"])
@pytest.mark.parametrize("ignore_case", [False, True])
def test_two_cases_of_a_letter_are_no_more_than_these(pattern: str, ignore_case: bool) -> None:
    ignore_case = ignore_case and "\\x" not in pattern
    check = compile_regex(pattern, whole=False, ignore_case=ignore_case)
    whole = compile_regex(f"(?:{pattern})+", whole=True, ignore_case=ignore_case)
    assert check("k") or check("S")
    for odd in (KELVIN, LONG_S):
        assert not whole(odd)
        assert pattern == "(k|a)*" or not check(odd)


@given(PATTERNS, TEXTS)
def test_whole_and_anywhere(pattern: str, text: str) -> None:
    assert compile_regex(pattern, whole=True)(text) is bool(re.fullmatch(pattern, text, re.ASCII | re.DOTALL))
    assert compile_regex(pattern, whole=False)(text) is bool(re.search(pattern, text, re.ASCII | re.DOTALL))


def test_a_dot_is_a_newline_too() -> None:
    assert compile_regex("a.b", whole=True)("a\nb")


@pytest.mark.parametrize(
    ("pattern", "folded"),
    [
        ("a1", "[aA]1"),
        (r"\d\bx", r"\d\b[xX]"),
        ("[a-c]", "[a-cA-C]"),
        ("[^A-]", "[^A-a-a]"),
        ("(?P<ab>c)", "(?P<ab>[cC])"),
        ("(?s:c)", "(?s:[cC])"),
        ("[[:alpha:]b]", "[[:alpha:]bB-B]"),
        ("[X-c]", "[X-cx-zA-C]"),
        (r"[\n-b]", r"[\n-ba-zA-B]"),
        (r"[\101]", r"[\101a-a]"),
        ("[a[:]b", "[a[:A-A][bB]"),
    ],
)
def test_how_it_is_written(pattern: str, folded: str) -> None:
    assert fold(pattern) == folded
    compile_regex(pattern, whole=True, ignore_case=True)


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "pattern", ["(?i)a", "(?i:a)", "(?si)a", "(?-i)a", "x(?m-i:a)", "(?im)", "[a[:](?i)x]", "[]a](?i)", r"[\]](?i)"]
)
def test_the_case_flag_is_refused(pattern: str) -> None:
    with pytest.raises(BadRegex, match="refused"):
        compile_regex(pattern, whole=False)


@pytest.mark.parametrize("pattern", ["[(?i)]", r"\Q(?i)\E", "(?s)a", "(?P<i>a)", "(?:i)"])
def test_what_only_looks_like_it(pattern: str) -> None:
    assert compile_regex(pattern, whole=False)


@pytest.mark.parametrize("pattern", [r"\pL", r"\PL", r"\x41", r"\x{41}", r"\Qa\E", r"[\x41]", r"\C", r"\141", r"a\101"])
def test_escapes_that_may_spell_letters_are_refused_with_folding(pattern: str) -> None:
    with pytest.raises(BadRegex, match="ignore_case"):
        compile_regex(pattern, whole=False, ignore_case=True)


@pytest.mark.parametrize("pattern", ["(a", "a**b(?=c)", r"\1", "[b-a]", "a{1001}", "\ud800", "x" * 10_001, "\\"])
def test_what_is_no_expression(pattern: str) -> None:
    with pytest.raises(BadRegex):
        compile_regex(pattern, whole=False)


@given(st.text(r"ab[]()\-^:*+?{}1,Qpx|.P<>", max_size=10), st.text(max_size=5))
def test_nothing_else_is_ever_raised(pattern: str, text: str) -> None:
    for ignore_case in (False, True):
        try:
            check = compile_regex(pattern, whole=False, ignore_case=ignore_case)
        except BadRegex:
            continue
        assert check(text) in (True, False)


def test_time_is_linear() -> None:
    assert not compile_regex("(a+)+$", whole=True)("a" * 50_000 + "b")
