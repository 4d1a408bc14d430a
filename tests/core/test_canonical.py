"""The canonical form and its vectors: equal calls have equal digests, and no others."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.canonical import canonical, digest, number
from policylayer.core.strict_json import parse
from tests.support import require

CASES = Path(__file__).resolve().parents[1] / "cases" / "canonical"


def vectors(*names: str) -> list[Any]:
    files = [json.loads((CASES / f"{name}.json").read_text()) for name in names]
    return [pytest.param(case, id=case["name"]) for file in files for case in file["cases"]]


def decimals(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=5) | st.dictionaries(st.text(), below, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("case", vectors("structure", "numbers", "strings"))
def test_vector(case: dict[str, str]) -> None:
    value = parse(case["json"].encode())
    assert canonical(value).decode() == case["canonical"]
    assert digest(value).hex() == case["sha256"]


def test_the_page_shows_the_first_call() -> None:
    shown = (CASES.parents[2] / "docs" / "canonical-form.md").read_text()
    first = json.loads((CASES / "calls.json").read_text())["cases"][0]
    assert f"'{first['canonical']}'" in shown


@given(json_values)
def test_the_form_reads_as_the_value(value: Any) -> None:
    text = canonical(value)
    assert decimals(text) == decimals(json.dumps(value))
    assert canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(), json_values), st.randoms())
def test_order_of_members_never_matters(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    assert canonical({name: value[name] for name in names}) == canonical(value)


@given(json_values, json_values)
def test_equal_forms_are_equal_values(one: Any, other: Any) -> None:
    if canonical(one) == canonical(other):
        assert decimals(json.dumps(one)) == decimals(json.dumps(other))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_written_as_its_shortest_decimal(value: float) -> None:
    text = number(value)
    assert float(text) == value
    assert Decimal(text) == Decimal(repr(value))
    assert canonical([value]) == f"[{text}]".encode()


@given(st.integers(-(10**15), 10**15))
def test_integral_doubles_are_integers(value: int) -> None:
    assert canonical(float(value)) == canonical(value)


def test_doubles_are_written_as_ecmascript_writes_them() -> None:
    node = require.program("node")
    values = [10.0**exponent * factor for exponent in range(-320, 309) for factor in (1, 1.5, 9.87654321)]
    values = [value for value in values if math.isfinite(value)]
    script = (
        "let s='';process.stdin.on('data',d=>s+=d).on('end',()=>console.log(JSON.stringify(JSON.parse(s).map(String))))"
    )
    said = subprocess.run([node, "-e", script], input=orjson.dumps(values), capture_output=True, check=True).stdout
    assert [number(value) for value in values] == json.loads(said)


def test_integers_beyond_64_bits_are_their_digits() -> None:
    assert canonical({"n": [2**70, -(2**70)]}) == b'{"n":[1180591620717411303424,-1180591620717411303424]}'


def test_any_mapping_is_an_object() -> None:
    assert canonical(OrderedDict(b=1, a=1.0)) == b'{"a":1,"b":1}'


def test_the_value_is_left_as_it_was() -> None:
    value: dict[str, Any] = {"a": [1.0, {"b": 2.0}], "c": [1]}
    canonical(value)
    assert value == {"a": [1.0, {"b": 2.0}], "c": [1]}
    assert type(value["a"][0]) is float


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [-math.inf], "\ud800", {"\udfff": 1}, {1: 2}, (1, 2), {1, 2}, b"x", {"a": object()}]
)
def test_what_is_no_json_has_no_form(value: Any) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        canonical(value)


def test_the_digest_is_sha256() -> None:
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').digest()
