"""Replacing parts of a JSON text, with every other byte as it was."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.strict_json import Fault, parse
from policylayer.wire import splice
from tests.wire.samples import odd_text

TEXT = b' { "a" : [ 1 , {"b\\u0022" : "x[\\"{,"} , [] ] ,"\\u00e9":{}, "" : -1.50e3 , "c":null}\n'


def at(raw: bytes, *path: str | int) -> bytes | None:
    found = splice.span(raw, path)
    return None if found is None else raw[slice(*found)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), TEXT.strip()),
        (("a",), b'[ 1 , {"b\\u0022" : "x[\\"{,"} , [] ]'),
        (("a", 0), b"1"),
        (("a", 1), b'{"b\\u0022" : "x[\\"{,"}'),
        (("a", 1, 'b"'), b'"x[\\"{,"'),
        (("a", 2), b"[]"),
        (("\u00e9",), b"{}"),
        (("",), b"-1.50e3"),
        (("c",), b"null"),
        (("a", 3), None),
        (("a", -1), None),
        (("a", "0"), None),
        ((0,), None),
        (("b",), None),
        (("c", "x"), None),
        (("", "x"), None),
        (("a", 2, 0), None),
        (("\u00e9", "x"), None),
    ],
)
def test_span(path: tuple[str | int, ...], value: bytes | None) -> None:
    assert at(TEXT, *path) == value


@pytest.mark.parametrize("raw", [b"1", b' "x" ', b"true", b"[]", b"{}"])
def test_a_text_that_is_one_value(raw: bytes) -> None:
    assert at(raw) == raw.strip()
    assert at(raw, "a") is None
    assert at(raw, 0) is None


def test_replace() -> None:
    assert splice.replace(b'{"a":[1, 2]}', ("a", 1), b"{}") == b'{"a":[1, {}]}'
    assert splice.replace(b" 1 ", (), b"2") == b" 2 "
    with pytest.raises(KeyError):
        splice.replace(b'{"a":1}', ("b",), b"2")


def test_insert_member() -> None:
    assert splice.insert_member(b'{"a": {}}', ("a",), "b", b"1") == b'{"a": {"b":1}}'
    assert splice.insert_member(b'{ "a":1}', (), "b", b"[2]") == b'{"b":[2], "a":1}'
    assert splice.insert_member(b'{"a":1, "b": 2}', (), "b", b"3") == b'{"a":1, "b": 3}'
    assert splice.insert_member(b'{"\\u0062": 2}', (), "b", b"3") == b'{"\\u0062": 3}'
    assert splice.insert_member(b"{ }", (), 'q"', b"1") == b'{"q\\"":1 }'
    for raw, path in ((b"[]", ()), (b'{"a":1}', ("a",)), (b"{}", ("a",))):
        with pytest.raises(KeyError):
            splice.insert_member(raw, path, "b", b"1")


def test_remove() -> None:
    assert splice.remove(b'{"a":1}', ("a",)) == b"{}"
    assert splice.remove(b'{ "a":1, "b":2 , "c":3 }', ("b",)) == b'{ "a":1,"c":3 }'
    assert splice.remove(b'{ "a":1, "b":2 }', ("a",)) == b'{ "b":2 }'
    assert splice.remove(b"[1, 2]", (1,)) == b"[1]"
    assert splice.remove(b'{"x":[[1 ]]}', ("x", 0)) == b'{"x":[]}'
    for path in (("z",), ("a", "z"), (0,), ("a", 0, 0)):
        with pytest.raises(KeyError):
            splice.remove(b'{"a":[1]}', path)


def test_remove_items() -> None:
    raw = b'{"x": [ "a", "b" , "c" ]}'
    assert splice.remove_items(raw, ("x",), frozenset()) is raw
    assert splice.remove_items(raw, ("x",), frozenset({1})) == b'{"x": [ "a","c" ]}'
    assert splice.remove_items(raw, ("x",), frozenset({0, 1, 2})) == b'{"x": [  ]}'
    with pytest.raises(KeyError):
        splice.remove_items(raw, ("x",), frozenset({3}))
    with pytest.raises(KeyError):
        splice.remove_items(b'{"x":[]}', ("x",), frozenset({0}))


def test_items() -> None:
    raw = b'{"x":[1, {"a":[2]}, "]"]}'
    assert [raw[slice(*span)] for span in splice.items(raw, ("x",))] == [b"1", b'{"a":[2]}', b'"]"']
    assert splice.items(raw, ("y",)) == []
    assert splice.items(raw, ("x", 0)) == []


def test_what_was_never_accepted_is_noticed() -> None:
    for raw in (b'{"a', b"{a:1}", b'["a]', b"[,]"):
        with pytest.raises((ValueError, IndexError)):
            splice.span(raw, ("b",) if raw[0] == 0x7B else (1,))


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        found += paths(below, (*path, key))
    return found


def get(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@given(st.randoms(use_true_random=False))
def test_every_value_is_where_it_is_said_to_be(source: random.Random) -> None:
    raw = odd_text(source).encode(errors="replace")
    value = parse(raw)
    if isinstance(value, Fault):
        return
    for path in paths(value):
        found = splice.span(raw, path)
        assert found is not None
        assert parse(raw[slice(*found)]) == get(value, path)
        assert len(splice.items(raw, path)) == (len(get(value, path)) if type(get(value, path)) in (dict, list) else 0)


@given(st.randoms(use_true_random=False))
def test_changes_change_that_and_nothing_else(source: random.Random) -> None:
    raw = odd_text(source).encode(errors="replace")
    value = parse(raw)
    if isinstance(value, Fault):
        return
    path = source.choice(paths(value))
    changed = parse(splice.replace(raw, path, b'{"new":[1.50]}'))
    assert get(changed, path) == {"new": [1.5]}
    assert parse(splice.replace(raw, path, orjson.dumps(get(value, path)))) == value
    if path:
        without = json.loads(json.dumps(value))
        del get(without, path[:-1])[path[-1]]
        assert parse(splice.remove(raw, path)) == without
    if isinstance(get(value, path), dict):
        with_more = json.loads(json.dumps(value))
        get(with_more, path)["n\u00e9w"] = 5
        assert parse(splice.insert_member(raw, path, "n\u00e9w", b"5")) == with_more


def test_large_texts() -> None:
    raw = (
        b'{"list":['
        + b",".join(b'{"k":"v\\"[","n":[1,{}]}' for _ in range(20_000))
        + b'],"z":"'
        + b"\\\\" * 100_000
        + b'"}'
    )
    assert at(raw, "z") == b'"' + b"\\\\" * 100_000 + b'"'
    assert at(raw, "list", 19_999, "n", 0) == b"1"


@pytest.mark.parametrize("depth", range(1, splice.LEVELS + 6))
def test_containers_of_any_depth_end_where_they_end(depth: int) -> None:
    inner: Any = {"text": 'not an end: "]}" \\', "more": [{}, []]}
    for level in range(depth):
        inner = [inner, "]"] if level % 2 else {"{": inner, "after": "}"}
    raw = orjson.dumps({"first": inner, "last": 1})
    found = splice.span(raw, ("first",))
    assert found is not None
    assert orjson.loads(raw[slice(*found)]) == inner
    assert orjson.loads(splice.replace(raw, ("last",), b"2")) == {"first": inner, "last": 2}
