"""The one strict parse: what is refused and why, and that what is accepted reads the same everywhere."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core import strict_json
from policylayer.core.canonical import digest
from policylayer.core.strict_json import Fault, parse, parse_lenient
from policylayer.wire.limits import DEFAULT, Limits


def reason(raw: bytes, limits: Limits = DEFAULT) -> str | None:
    value = parse(raw, limits)
    return value.reason if isinstance(value, Fault) else None


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"100", 100),
        (b"100.0", 100.0),
        (b"1E2", 100.0),
        (b"-0.0", -0.0),
        (b"-0", 0),
        (b"19.990", 19.99),
        (b"0e99999999999999999999", 0.0),
        (b"-0.000e-99999999999999999999", -0.0),
        (b"5e-324", 5e-324),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b"9007199254740993", 9007199254740993),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'{"a":[1.5,{"b":[true,null,"x",2]}]}', {"a": [1.5, {"b": [True, None, "x", 2]}]}),
        (b' \t\r\n"\\u0000\\ud834\\udd1e" ', "\x00\U0001d11e"),
    ],
)
def test_accepted(raw: bytes, value: Any) -> None:
    got = parse(raw)
    assert got == value
    assert type(got) is type(value)
    assert repr(got) == repr(value)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "json"),
        (b"   ", "json"),
        (b"{", "json"),
        (b'{"a":1,}', "json"),
        (b"[1,]", "json"),
        (b"{'a':1}", "json"),
        (b"[1] // x", "json"),
        (b"/* x */ 1", "json"),
        (b"{a:1}", "json"),
        (b"1 2", "json"),
        (b"01", "json"),
        (b"+1", "json"),
        (b".5", "json"),
        (b"1.", "json"),
        (b"0x10", "json"),
        (b"NaN", "json"),
        (b"[Infinity]", "json"),
        (b"[-Infinity]", "json"),
        (b"\x0b1", "json"),
        (b'"\x00"', "encoding"),
        (b'"abcdef\x1f"', "json"),
        (b'"\n"', "json"),
        (b'"\\x41"', "json"),
        (b"{} \x00", "encoding"),
        (b"\xef\xbb\xbf{}", "encoding"),
        ("{}".encode("utf-16"), "encoding"),
        ("[1]".encode("utf-16-le"), "encoding"),
        ("[1]".encode("utf-16-be"), "encoding"),
        ("[1]".encode("utf-32"), "encoding"),
        ("[1]".encode("utf-32-be"), "encoding"),
        (b'"\xc0\xaf"', "encoding"),
        (b'"\xed\xa0\x80"', "encoding"),
        (b'"\xf4\x90\x80\x80"', "encoding"),
        (b'"\xe2\x82"', "encoding"),
        (b'"\xff"', "encoding"),
        (b'{"\xff":1}', "encoding"),
        (b'"\\ud800"', "encoding"),
        (b'"\\udc00"', "encoding"),
        (b'"\\udc00\\ud800"', "encoding"),
        (b'"\\ud800\\ud800"', "encoding"),
        (b'"\\ud800x"', "encoding"),
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b'[{"x":{"a":{},"b":1,"a":1}}]', "duplicate_key"),
        (b'{"":1,"":2}', "duplicate_key"),
        (b"100.00000000000000001", "number"),
        (b"0.1000000000000000055511151231257827", "number"),
        (b"1e400", "number"),
        (b"-1e400", "number"),
        (b"1e-400", "number"),
        (b"[1e99999999999999999999]", "number"),
        (b"1.7976931348623159e308", "number"),
        (b"9007199254740993.0", "number"),
        (b"18446744073709551616", "number"),
        (b"-9223372036854775809", "number"),
        (b"1" * 5000, "number"),
        (b"1." + b"1" * 5000, "number"),
    ],
)
def test_refused(raw: bytes, why: str) -> None:
    assert reason(raw) == why


def test_only_what_is_no_json_is_a_parse_error() -> None:
    assert strict_json.SYNTAX.parse
    assert strict_json.ENCODING.parse
    for fault in (strict_json.SIZE, strict_json.DUPLICATE, strict_json.DEPTH, strict_json.NODES, strict_json.NUMBER):
        assert not fault.parse


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b'{"a":['])
def test_depth(opening: bytes) -> None:
    closing = opening.translate(bytes.maketrans(b"[{", b"]}"), b'":a')[::-1]
    levels = len(closing)
    inside = 64 // levels
    assert reason(opening * inside + b"1" + closing * inside) is None
    assert reason(opening * (inside + 1) + b"1" + closing * (inside + 1)) == "depth"


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("levels", [65, 500, 900, 100_000])
def test_json_17_deep_nesting(levels: int) -> None:
    assert reason(b"[" * levels) in ("depth", "json")
    assert reason(b"[" * levels + b"]" * levels) == "depth"
    assert reason(b'{"a":' * levels + b"1" + b"}" * levels) == "depth"


def test_size() -> None:
    assert reason(b'"12345678"', Limits(size=10)) is None
    assert reason(b'"123456789"', Limits(size=10)) == "size"


def test_the_number_of_values() -> None:
    few = Limits(nodes=10)
    assert reason(b"[" + b",".join([b"1"] * 9) + b"]", few) is None
    assert reason(b"[" + b",".join([b"1"] * 10) + b"]", few) == "nodes"
    assert reason(b'{"a":[' + b",".join([b"1"] * 9) + b"]}", few) == "nodes"
    assert reason(b'["' + b"," * 1000 + b'[[[[{{{{","\\"' + b"," * 1000 + b'"]', few) is None
    assert reason(b'["' + b'\\",' * 1000, few) == "json"


def test_no_string_makes_counting_slow() -> None:
    # An unterminated string of escaped quotes would be searched once per quote by a naive pattern.
    assert reason(b'"' + b'\\"' * 1_000_000) == "json"


@pytest.mark.shows("proxy.5")
def test_json_19_many_keys() -> None:
    keys = ",".join(f'"{number * 2**61 - 1 if number % 2 else number}":{number}' for number in range(50_000))
    value = parse(("{" + keys + "}").encode())
    assert isinstance(value, dict)
    assert len(value) == 50_000


def test_what_servers_send_may_have_numbers_of_any_form() -> None:
    assert parse_lenient(b"[100.00000000000000001,1e-400]") == [100.0, 0.0]
    assert parse_lenient(b"123456789012345678901234567890") == 123456789012345678901234567890
    assert parse_lenient(b"[1e400]") == strict_json.NUMBER
    assert parse_lenient(b'{"a":1,"a":1}') == strict_json.DUPLICATE
    assert parse_lenient(b"[" * 100) == strict_json.SYNTAX
    assert parse_lenient(b"[" * 65 + b"]" * 65) == strict_json.DEPTH
    assert parse_lenient(b"12", Limits(size=1)) == strict_json.SIZE


def test_no_bytes_raise() -> None:
    source = random.Random(1)
    for _ in range(2000):
        parse(source.randbytes(source.randrange(40)))


NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([2**63, -(2**64)]))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.text('"\\\\.e019', max_size=24),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=12,
)


@given(st.builds(lambda value: {"a": value}, VALUES))
def test_what_is_plain_needs_no_second_look(value: dict[str, Any]) -> None:
    raw = json.dumps(value).encode()
    if not strict_json.is_plain(raw, 3):
        return
    walked = strict_json.parse(raw, replace(DEFAULT, depth=3), plain=False)
    assert strict_json.parse(raw, replace(DEFAULT, depth=3)) == walked
    assert not isinstance(walked, strict_json.Fault)
    assert digest(value, plain=True) == digest(value)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b'{"a": 1, "b": "2026-07-28", "c": true}', True),
        (b'{"a": 1.5}', False),
        (b'{"a": -0}', True),
        (b'{"a": 1e5}', False),
        (b'{"a": 1E5}', False),
        (b'{"a": 999999999999999999}', True),
        (b'{"a": 9223372036854775807}', False),
        (b'{"a": "v1.5"}', True),
        (b'{"a": "\\"1.5"}', True),
        (b'{"a": "\\\\", "b": 1.5}', False),
        (b'{"a": "\\\\\\"", "b": 1.5}', False),
        (b'{"a": "\\\\\\"1.5"}', True),
        (b'{"1.5": 1.5}', False),
        (b'{"a": [[[1]]]}', False),
        (b'{"a": [[1]]}', True),
    ],
)
def test_what_is_plain(raw: bytes, plain: bool) -> None:
    assert strict_json.is_plain(raw, 3) is plain
