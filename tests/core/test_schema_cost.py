"""What a policy's own schema may cost, whatever value it is asked about; a server's is in `tests/wire`."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.core.schema_cost import ENDLESS, Cost
from tests.wire.test_schema_cost import chain


def places(schema: Any) -> tuple[int, int]:
    return Cost(schema, own=True).places()


def below(word: str, levels: int) -> Any:
    """Each definition names the next twice, one level further down a value."""
    step: Any = lambda n: {"properties": {"x": {"$ref": f"#/$defs/l{n + 1}"}}}  # noqa: E731
    defs = {f"l{n}": {word: [step(n)] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"l{levels}": {"type": "object"}}, "$ref": "#/$defs/l0"}


@pytest.mark.parametrize("word", ["allOf", "anyOf", "oneOf"])
def test_what_names_the_next_twice_doubles_with_each(word: str) -> None:
    assert 1 << 20 < places(chain(word, 20))[0] < 1 << 22
    assert places(chain(word, 60)) == (ENDLESS, ENDLESS)
    assert places(below(word, 20))[1] == 1 << 21
    assert places(below(word, 30))[1] == 1 << 31


KINDS = [
    {
        "properties": {"kind": {"const": n}, "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}},
        "required": ["kind"],
    }
    for n in range(12)
]


@pytest.mark.parametrize(
    ("schema", "most"),
    [
        ({"type": "object"}, (1, 0)),
        ({"items": {"type": "integer"}}, (1, 1)),
        ({"items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}, (5, 8)),
        ({"$ref": "#/$defs/node", "$defs": {"node": {"oneOf": KINDS}}}, (38, 48)),
        ({"allOf": [{"$ref": "#"}]}, (6, 3)),
        ({"items": {"enum": [f"sku-{n}" for n in range(5_000)]}}, (1, 1)),
        ({"items": {"enum": [1.5, 2.5]}}, (1, 33)),
        ({"$anchor": "here", "properties": {f"p{n}": {"pattern": "a", "format": "regex"} for n in range(99)}}, (1, 1)),
    ],
    ids=["flat", "list", "any value", "kinds", "itself", "texts", "numbers", "expressions"],
)
def test_what_ordinary_schemas_take(schema: Any, most: tuple[int, int]) -> None:
    assert all(found <= expected for found, expected in zip(places(schema), most, strict=True))


@pytest.mark.parametrize(
    "schema",
    [
        {"$dynamicRef": "#x"},
        {"$ref": "#x", "$defs": {"x": {"$anchor": "x"}}},
        {"properties": {"a": {"$id": "urn:x"}}},
    ],
)
def test_what_cannot_be_told(schema: Any) -> None:
    assert places(schema) == (ENDLESS, ENDLESS)
