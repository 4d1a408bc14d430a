"""What a server's schema may cost is known before it is used: no schema, however written, makes endless work."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.core.schema_cost import ENDLESS, Cost
from policylayer.wire import stand_ins
from tests.wire.answers import paths, treated


def cost(schema: Any, value: Any) -> int:
    return Cost(schema).work(value, len(orjson.dumps(value)))


def deep(levels: int, name: str = "a") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {name: value}
    return value


def chain(word: str, levels: int) -> Any:
    """Each definition names the next twice."""
    defs: dict[str, Any] = {f"l{n}": {word: [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"l{levels}": {"type": "object"}}, "$ref": "#/$defs/l0"}


NEXT = {"properties": {"a": {"$ref": "#"}}}
BOMBS: dict[str, tuple[Any, Any]] = {
    **{word: (chain(word, 60), {"mail": "alice@example.com"}) for word in ("allOf", "anyOf", "oneOf")},
    "twice at every level": ({"oneOf": [NEXT, NEXT]}, deep(100)),
    "named and by pattern": ({**NEXT, "patternProperties": {"a": {"$ref": "#"}}}, deep(100)),
    "items and contains": ({"items": {"$ref": "#"}, "contains": {"$ref": "#"}}, eval("[" * 90 + "]" * 90)),
    "what others left": ({"allOf": [NEXT], "unevaluatedProperties": {"$ref": "#"}}, deep(100)),
    "itself": ({"allOf": [{"$ref": "#"}]}, {}),
    "long chain": (
        chain("allOf", 1)
        | {
            "$ref": "#/$defs/c0",
            "$defs": {**{f"c{n}": {"allOf": [{"$ref": f"#/$defs/c{n + 1}"}]} for n in range(100)}, "c100": {}},
        },
        {},
    ),
    "members": ({"items": {"enum": [{"a": n} for n in range(3000)]}}, [{"a": 2999}] * 3000),
    "expressions": ({"patternProperties": {f"x{n}": True for n in range(100)}}, {}),
    "an expression in the value": ({"properties": {"a": {"format": "regex"}}}, {"a": "x"}),
    "elsewhere": ({"$dynamicRef": "#x"}, {}),
    "another document inside": ({"properties": {"a": {"$id": "urn:x"}}}, {}),
}


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("name", BOMBS)
def test_a_schema_that_makes_too_much_work_is_never_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """POL-36."""
    schema, value = BOMBS[name]
    assert cost(schema, value) > stand_ins.MOST_WORK

    def used(schema: bytes) -> None:
        raise AssertionError("it would be validated by")

    monkeypatch.setattr(stand_ins, "_validator", used)
    masked = {("mail",): "[masked]"}
    assert stand_ins.fitting(orjson.dumps(schema), value, value, masked) == masked


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            {"type": "object", "properties": {"rows": {"items": {"properties": {"a": {"format": "email"}}}}}},
            {"rows": [{"a": "x@example.com"}] * 20_000},
        ),
        ({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "name": True}}, deep(100, "left")),
        (
            {
                "$id": "https://example.com/x",
                "$defs": {"a": {"type": "string"}},
                "properties": {"a": {"$ref": "#/$defs/a"}},
            },
            {"a": "x"},
        ),
        (
            {"oneOf": [{"properties": {"kind": {"const": f"k{n}"}}} for n in range(100)]},
            {"kind": "k99", "text": "x" * 9_000},
        ),
        (True, {}),
        ({"$defs": {"a/b~c d": {}}, "allOf": [{"$ref": "#/$defs/a~1b~0c%20d"}, {"$ref": "#/allOf/0"}]}, {}),
    ],
    ids=["rows", "tree", "root id", "kinds", "true", "pointers"],
)
def test_ordinary_schemas_are_used(schema: Any, value: Any) -> None:
    assert cost(schema, value) <= stand_ins.MOST_WORK


@pytest.mark.parametrize("reference", ["#/none", "#/allOf/7", "#x", "https://example.com/x", 5])
def test_a_reference_that_leads_nowhere_here_cannot_be_told(reference: Any) -> None:
    schema = Cost({"allOf": [{"$ref": reference}]})
    assert schema.work({}, 2) == ENDLESS
    assert schema.work({}, 2) == ENDLESS


@pytest.mark.parametrize("word", ["$anchor", "$dynamicAnchor", "$recursiveAnchor"])
def test_a_part_that_bears_another_name_cannot_be_told(word: str) -> None:
    assert cost({"properties": {"a": {word: "x"}}}, {"a": 1}) == ENDLESS


@pytest.mark.shows("proxy.5")
def test_values_are_tried_only_as_often_as_the_work_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    blamed = stand_ins._blamed
    monkeypatch.setattr(stand_ins, "_blamed", lambda *asked: tried.append(asked) or blamed(*asked))
    schema = {"properties": {"a": {"type": "string", "pattern": "^x$"}}}
    assert stand_ins.fitting(orjson.dumps(schema), {"a": "x"}, {"a": "[masked]"}, {("a",): "[masked]"}) is None
    often = len(tried)
    tried.clear()
    monkeypatch.setattr(stand_ins, "MOST_WORK", 3 * cost(schema, {"a": "x"}))
    assert stand_ins.fitting(orjson.dumps(schema), {"a": "x"}, {"a": "[masked]"}, {("a",): "[masked]"}) is None
    assert len(tried) == 3 < often


@pytest.mark.shows("proxy.5")
def test_an_answer_under_such_a_schema_is_masked_all_the_same() -> None:
    schema, content = BOMBS["allOf"]
    found = treated(
        {"content": [], "structuredContent": content}, paths("result.structuredContent.mail"), schema=schema
    )
    assert found["structuredContent"] == {"mail": "[masked]"}
