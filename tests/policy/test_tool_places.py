"""What may stand at a path of a tool's arguments: references, branches, bounds, and what is not looked into."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy.tool_places import Place, root_of
from policylayer.policy.tool_schema import Document, is_schema
from policylayer.policy.tool_ways import Bounds, kind_of, same

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def obj(properties: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties or {}, **more}


def at(schema: Any, path: str) -> Place:
    return root_of(schema).at(tuple(path.split(".")))


def kinds(place: Place) -> set[str]:
    return {kind for way in place.ways for kind in way.kinds}


POINT = {"$defs": {"p": obj({"x": NUMBER, "q": {"$ref": "#/$defs/p"}}, required=["x"]), "a/b~c": TEXT}}


@pytest.mark.parametrize(
    ("schema", "path", "standing", "found"),
    [
        (obj({"a": TEXT}), "a", "declared", {"string"}),
        (obj({"a": TEXT}), "b", "open", None),
        (obj({"a": TEXT}, additionalProperties=True), "b", "open", None),
        (obj({"a": TEXT}, additionalProperties=False), "b", "closed", set()),
        (obj({"a": TEXT}, unevaluatedProperties=False), "b", "closed", set()),
        (obj({"a": TEXT}, additionalProperties=NUMBER), "b", "declared", {"number"}),
        (
            obj({"a": TEXT}, patternProperties={"^x-": NUMBER}, additionalProperties=False),
            "x-y",
            "declared",
            {"number"},
        ),
        (obj({"a": TEXT}, patternProperties={"(?=x)": NUMBER}, additionalProperties=False), "x", "declared", None),
        (obj({"a": False}), "a", "declared", set()),
        ({"type": "object"}, "a", "open", None),
        ({"type": "object", "additionalProperties": True}, "a", "unsure", None),
        ({}, "a", "unsure", None),
        (True, "a", "unsure", None),
        ({"type": "string"}, "a", "unsure", None),
        (obj({"a": {"type": "object"}}), "a.b", "unsure", None),
        (obj({"a": obj({"b": TEXT})}), "a.c", "open", None),
        (obj({"a": TEXT}), "a.b", "through", set()),
        (obj({"a": {"type": ["string", "null"]}}), "a", "declared", {"string", "null"}),
        (obj({"a": {"$ref": "#/$defs/p"}}, **POINT), "a.x", "declared", {"number"}),
        (obj({"a": {"$ref": "#/$defs/p"}}, **POINT), "a.q.q.q.x", "declared", {"number"}),
        (obj({"a": {"$ref": "#/$defs/a~1b~0c"}}, **POINT), "a", "declared", {"string"}),
        (obj({"a": {"$ref": "#/$defs/a%2F"}}, **POINT), "a", "declared", None),
        (obj({"a": {"$ref": "https://example.com/x.json"}}), "a.b", "unsure", None),
        (obj({"a": {"$ref": "#x"}}), "a.b", "unsure", None),
        (obj({"a": {"$dynamicRef": "#x"}}), "a.b", "unsure", None),
        (obj({"a": {"$ref": "#/properties/a"}}), "a", "declared", None),
        (obj({"a": {"$id": "https://example.com/a", "$ref": "#/$defs/p"}}, **POINT), "a.x", "unsure", None),
        ({"allOf": [obj({"a": TEXT}), obj({"b": NUMBER})]}, "b", "declared", {"number"}),
        ({"allOf": [obj({"a": TEXT}, additionalProperties=False), obj({"b": TEXT})]}, "b", "closed", set()),
        ({"anyOf": [obj({"a": TEXT}), obj({"a": NUMBER})]}, "a", "declared", {"string", "number"}),
        (
            {"oneOf": [obj({"a": TEXT}, additionalProperties=False), obj({"b": TEXT}, additionalProperties=False)]},
            "b",
            "declared",
            {"string"},
        ),
        ({**obj({"a": TEXT}), "if": obj({"a": TEXT}), "then": obj({"b": NUMBER})}, "b", "declared", None),
        ({**obj({"a": TEXT}), "dependentSchemas": {"a": obj({"b": NUMBER})}}, "b", "declared", None),
        (obj({"a": {"enum": [{"b": 1}, {"b": "x"}, 5]}}), "a.b", "declared", {"number", "string"}),
        (obj({"a": {"enum": [{"b": 1}]}}), "a.c", "closed", set()),
    ],
)
def test_how_a_path_stands(schema: Any, path: str, standing: str, found: set[str] | None) -> None:
    place = at(schema, path)
    assert place.standing == standing
    if found is not None:
        assert kinds(place) == found


def test_in_older_dialects_a_reference_is_all_that_is_said() -> None:
    schema = obj({"a": {"$ref": "#/definitions/t", "type": "number"}}, definitions={"t": TEXT})
    assert kinds(at(schema, "a")) == set()
    assert kinds(at({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, "a")) == {"string"}


def test_what_is_required_is_there() -> None:
    schema = obj({"a": TEXT, "b": obj({"c": TEXT}, required=["c"])}, required=["a"])
    assert [at(schema, path).absent for path in ("a", "b", "b.c")] == [False, True, True]
    assert at(obj({"a": False}, required=["a"]), "a").absent


def test_elements() -> None:
    listed = obj({"a": {"type": "array", "items": obj({"b": TEXT})}})
    assert kinds(at(listed, "a").elements().at(("b",))) == {"string"}
    pair = obj({"a": {"type": "array", "prefixItems": [TEXT, NUMBER], "items": False}})
    assert kinds(at(pair, "a").elements()) == {"string", "number"}
    assert at(pair, "a").ways[0].counts.high == 2
    old = obj({"a": {"type": "array", "items": [TEXT], "additionalItems": False}})
    assert kinds(at(old, "a").elements()) == {"string"}
    assert at(obj({"a": {"type": "array"}}), "a").elements().standing == "unsure"
    assert kinds(at(obj({"a": {"const": [1, "x"]}}), "a").elements()) == {"number", "string"}


def test_a_schema_that_contradicts_itself_leaves_nothing() -> None:
    for part in (
        {"enum": ["a"], "const": "b"},
        {"type": "string", "const": 1},
        {"type": "integer", "minimum": 2, "maximum": 1},
    ):
        assert at(obj({"a": part}), "a").ways == ()


def test_what_grows_too_fast_is_not_looked_into() -> None:
    wide: Any = {"allOf": [{"anyOf": [{"minLength": n}, {"maxLength": n}, {"pattern": "x"}]} for n in range(9)]}
    assert at(obj({"a": wide}), "a").standing == "unsure"
    deep: Any = TEXT
    for _ in range(500):
        deep = {"allOf": [deep]}
    assert at(obj({"a": deep}), "a").standing == "unsure"
    assert at(wide | {"type": "object"}, "a").standing == "unsure"
    web = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{(n + step) % 12}"} for step in range(1, 6)]} for n in range(12)}
    assert at(obj({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": web}), "a").standing == "unsure"
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(500)}
    assert at(obj({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": chain}), "a").standing == "unsure"


KEYWORDS = ["type", "properties", "items", "enum", "const", "$ref", "allOf", "anyOf", "if", "then", "required", "a"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "#", "#/properties/a", "string", "object"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_server_sends_is_read(schema: Any) -> None:
    root = root_of(schema)
    for path in ((), ("a",), ("a", "a"), ("b",)):
        root.at(path).elements().at(("a",)).said()
    Document(schema).leads_elsewhere()
    assert is_schema(schema) in (True, False)


def test_no_schema_is_fetched_to_judge_another() -> None:
    """The library would; an unknown dialect is read as the present one."""
    assert is_schema({"$schema": "http://127.0.0.1:1/schema", "type": "object"})
    assert not is_schema({"$schema": "http://127.0.0.1:1/schema", "type": "objekt"})
    assert is_schema({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}]})
    assert not is_schema({"items": [{}]})
    assert not is_schema(None)


def test_bounds() -> None:
    assert Bounds(1, 5) & Bounds(low=1, above=True) == Bounds(1, 5, above=True)
    assert Bounds(1, 5) & Bounds(2, 4) == Bounds(2, 4)
    assert [Bounds(1, 5).holds(number) for number in (0, 1, 5, 5.5)] == [False, True, True, False]
    assert [Bounds(1, 5, True, True).holds(number) for number in (1, 1.5, 5)] == [False, True, False]
    assert [each.is_empty for each in (Bounds(2, 1), Bounds(1, 1), Bounds(1, 1, above=True), Bounds(1))] == [
        True,
        False,
        True,
        False,
    ]


def test_values() -> None:
    assert same(1, 1.0)
    assert same({"a": [1]}, {"a": [1.0]})
    assert not same(1, True)
    assert not same("1", 1)
    assert [kind_of(value) for value in (None, True, 1, 1.5, "", [], {})] == [
        "null",
        "boolean",
        "number",
        "number",
        "string",
        "array",
        "object",
    ]
