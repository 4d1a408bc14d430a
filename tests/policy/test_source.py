"""Strict YAML: what is read, what is refused and where, and that no input of any kind raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.nodes import Broken, Mapping, Node, Scalar, Sequence
from policylayer.policy.source import read


def said(text: str | bytes) -> list[tuple[str, int, int]]:
    """Codes with their places."""
    sink: list[Diagnostic] = []
    read("f.yaml", text if isinstance(text, bytes) else text.encode(), sink)
    return sorted((finding.code, finding.line, finding.column) for finding in sink)


def tree(text: str) -> Node | None:
    """The tree of a text in which nothing is wrong."""
    sink: list[Diagnostic] = []
    node = read("f.yaml", text.encode(), sink)
    assert sink == []
    return node


def value(text: str) -> object:
    """The value of `a` in `a: TEXT`."""
    node = tree(f"a: {text}\n")
    assert isinstance(node, Mapping)
    scalar = node.pairs[0][1]
    assert isinstance(scalar, Scalar)
    return scalar.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        ("-0", 0),
        ("5.0", 5.0),
        ("0.10", 0.1),
        ("1.5e+3", 1500.0),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("true", True),
        ("false", False),
        ("null", None),
        ("text", "text"),
        ("two words", "two words"),
        ('"no"', "no"),
        ("'5'", "5"),
        ('"a\\u0000b"', "a\0b"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("20/hour", "20/hour"),
        ("30m", "30m"),
        ("user:alice@example.com", "user:alice@example.com"),
        ("args.a", "args.a"),
        ("yesterday", "yesterday"),
        ("-x", "-x"),
        ("1.2.3", "1.2.3"),
        ("nan", "nan"),
        ("|\n  no\n", "no\n"),
        (">-\n  a\n  b\n", "a b"),
    ],
)
def test_values_are_those_of_the_json_schema(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


TRAPS = [
    *("no", "No", "NO", "yes", "Yes", "YES", "y", "Y", "n", "N", "on", "On", "ON", "off", "Off", "OFF"),
    *("True", "TRUE", "False", "FALSE", "~", "Null", "NULL", "=", "017", "0o17", "0x1F", "0b1", "1_000", "1e5"),
    *("1E5", "1e-5", "1.5e3", ".5", "5.", "+5", "-.5", ".inf", "-.Inf", ".nan", ".NaN", "12:30", "12:30:45"),
    *("09:00", "190:20:30.15", "2026-11-23", "2026-11-23T10:00:00Z", "08"),
]


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize("text", TRAPS)
def test_load_04_what_yaml_1_1_reads_otherwise_must_be_quoted(text: str) -> None:
    assert said(f"a: {text}\n") == [("PL108", 1, 4)]
    assert said(f"{text}: a\n") == [("PL108", 1, 1)]
    assert said(f"a: [{text}]\n") == [("PL108", 1, 5)]
    assert said(f'a: "{text}"\n') == []


@pytest.mark.parametrize("text", ["5", "1.5", "true", "null"])
def test_a_key_must_be_text(text: str) -> None:
    assert said(f"{text}: a\n") == [("PL116", 1, 1)]
    assert said(f'"{text}": a\n') == []


@pytest.mark.parametrize("text", ["100.00000000000000001", "9223372036854775808123", "1.0e+400", "1" * 5000])
def test_a_number_that_is_not_exact_is_refused(text: str) -> None:
    assert said(f"a: {text}\n") == [("PL115", 1, 4)]


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2\n", "b: {a: 1,\na: 2}\n", 'a: 1\n"a": 2\n', "'a': 1\n\"\\x61\": 2\n"],
)
def test_load_01_duplicate_keys_at_any_level_however_quoted(text: str) -> None:
    assert [(code, line) for code, line, _ in said(text)] == [("PL104", 2)]


@pytest.mark.shows("policy.5")
def test_load_01_duplicates_by_merge_and_anchor() -> None:
    assert said("a: &x {k: 1}\nb:\n  <<: *x\n  k: 2\n") == [("PL105", 1, 4), ("PL105", 3, 3), ("PL105", 3, 7)]


@pytest.mark.shows("policy.5")
def test_load_02_an_alias_bomb_costs_nothing() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for previous, name in zip("abcdefghi", "bcdefghij", strict=True):
        bomb += f"{name}: &{name} [{','.join(f'*{previous}' for _ in range(10))}]\n"
    assert {code for code, *_ in said(bomb)} == {"PL105"}


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.EMPTY_FILE),
        (b"\n\n", Code.EMPTY_FILE),
        (b"# only a comment\n", Code.EMPTY_FILE),
        (b"---\n", Code.EMPTY_VALUE),
        (b"...\n", Code.SYNTAX),
        (b"\xef\xbb\xbfa: b\n", Code.ENCODING),
        ("a: b\n".encode("utf-16"), Code.ENCODING),
        ("a: b\n".encode("utf-16-be"), Code.CONTROL_CHARACTER),
        ("a: b\n".encode("utf-32"), Code.ENCODING),
        (b"a: \xff\n", Code.ENCODING),
        (b"a: \xed\xa0\x80\n", Code.ENCODING),
        (b"a: \x00\n", Code.CONTROL_CHARACTER),
        (b"a: \x7f\n", Code.CONTROL_CHARACTER),
        (b"a: b\rc: d\n", Code.CONTROL_CHARACTER),
        (b"\ta: b\n", Code.TAB),
        (b"a:\tb\n", Code.TAB),
        (b"a: b\n---\nc: d\n", Code.DOCUMENTS),
        (b"%YAML 1.1\n---\na: b\n", Code.DOCUMENTS),
        (b"%TAG ! tag:x,2000:\n---\na: b\n", Code.DOCUMENTS),
        (b"a: " + b"x" * (1 << 20), Code.TOO_LARGE),
        (b"[" * 100_000, Code.TOO_LARGE),
        (b"- " * 100_000, Code.TOO_LARGE),
        (b"a: [" + b"1," * 60_000 + b"1]\n", Code.TOO_LARGE),
    ],
)
def test_load_07_files_that_are_no_policy_texts(data: bytes, code: Code) -> None:
    assert {found for found, *_ in said(data)} == {code}


def test_windows_line_ends_are_line_ends() -> None:
    assert said("a: b\r\nc: no\r\n") == [("PL108", 2, 4)]


def test_tabs_may_stand_in_quoted_texts_and_comments() -> None:
    assert said("a: 'x\ty' # c\tq\nb: |\n  x\ty\n#\tz\n") == []
    assert said("a: 'x' \t# c\n") == [("PL111", 1, 8)]


@pytest.mark.parametrize("sign", ["*", "!", "@", "`", "%"])
def test_an_unquoted_sign_has_its_own_diagnostic_and_reading_goes_on(sign: str) -> None:
    assert said(f"a: [{sign}]\nb: {sign}x\nc: no\n") == [("PL108", 3, 4), ("PL109", 1, 5), ("PL109", 2, 4)]


def test_many_unquoted_signs_are_all_found_and_too_many_end() -> None:
    assert len(said("".join(f"k{number}: @x\n" for number in range(50)))) == 50
    endless = "a: " + "x" * 500_000 + "\n" + "".join(f"k{number}: @x\n" for number in range(5000))
    assert 1 < len(said(endless)) < 10, "reading again is bounded by the size of the text"


def test_positions_count_characters_from_one() -> None:
    node = tree('ключ:\n  - {a: [x, "y"]}\n')
    assert isinstance(node, Mapping)
    (key, inner), *_ = node.pairs
    assert (key.span.line, key.span.column) == (1, 1)
    assert isinstance(inner, Sequence)
    mapping = inner.items[0]
    assert isinstance(mapping, Mapping)
    assert (mapping.span.line, mapping.span.column) == (2, 5)
    values = mapping.pairs[0][1]
    assert isinstance(values, Sequence)
    assert [(item.span.line, item.span.column) for item in values.items] == [(2, 10), (2, 13)]
    assert said("ключ: no\n") == [("PL108", 1, 7)]


def test_what_is_broken_stays_in_the_tree() -> None:
    sink: list[Diagnostic] = []
    node = read("f.yaml", b"a: no\nb: [x, !t y]\n", sink)
    assert isinstance(node, Mapping)
    assert isinstance(node.pairs[0][1], Broken)
    inner = node.pairs[1][1]
    assert isinstance(inner, Sequence)
    assert [type(item) for item in inner.items] == [Scalar, Broken]


PIECES = st.sampled_from(
    [
        *"abc:-?[]{},&*!|>'\"%@` \n\t#~=<.0123456789\\",
        "\n  ",
        "\n- ",
        ": ",
        "---\n",
        "...\n",
        "&a ",
        "*a",
        "<<",
        "\u2028",
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    sink: list[Diagnostic] = []
    node = read("f.yaml", text.encode("utf-8", "surrogatepass"), sink)
    assert node is not None or sink
    assert all(finding.line >= 1 and finding.column >= 1 for finding in sink)


@given(st.binary(max_size=80))
def test_no_bytes_raise(data: bytes) -> None:
    sink: list[Diagnostic] = []
    assert read("f.yaml", data, sink) is not None or sink
