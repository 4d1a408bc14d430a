"""Pure: the keywords of JSON Schema 2020-12, and what a `schema` matcher says that is none of them.

A validator ignores keywords that it does not know, so a misspelt `maximum` would let everything through: here they are
errors, at their place and at any depth. Whether the known ones are used rightly is `matchers_shape`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policylayer.core.call import Json
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.nodes import Key, Mapping, Node, Scalar, Sequence
from policylayer.policy.shapes import RawJson, Reading

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

ONE: Final = frozenset(
    [
        "additionalProperties",
        "items",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contentSchema",
    ]
)
"""Keywords that hold a schema."""
SEVERAL: Final = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
NAMED: Final = frozenset(["properties", "patternProperties", "dependentSchemas", "$defs"])
"""Keywords that hold schemas under names that are the author's own."""
PLAIN: Final = frozenset(
    [
        "$schema",
        "$id",
        "$ref",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$vocabulary",
        "$comment",
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
        "title",
        "description",
        "default",
        "deprecated",
        "readOnly",
        "writeOnly",
        "examples",
        "format",
        "contentEncoding",
        "contentMediaType",
    ]
)
"""All others; what stands in them is data."""
KEYWORDS: Final = ONE | SEVERAL | NAMED | PLAIN
_FOREIGN: Final = {
    "additionalItems": "in 2020-12 it is `items`, beside `prefixItems`",
    "dependencies": "in 2020-12 it is `dependentRequired`, or `dependentSchemas`",
    "definitions": "in 2020-12 it is `$defs`",
    "nullable": 'write `type: [string, "null"]`; at the top a null is missing and never comes here',
    "id": "in 2020-12 it is `$id`",
    "$recursiveRef": "in 2020-12 it is `$dynamicRef`",
    "$recursiveAnchor": "in 2020-12 it is `$dynamicAnchor`",
    "divisibleBy": "in 2020-12 it is `multipleOf`",
    "extends": "in 2020-12 it is `allOf`",
}
"""Keywords of other dialects."""


class SchemaJson(RawJson):
    """A JSON Schema as data, with its keywords looked at."""

    def read(self, node: Node, reading: Reading) -> dict[str, Json] | None:
        """The schema; what is wrong with its keywords has been reported."""
        for key, value in _keywords(node):
            if key.text not in KEYWORDS:
                help_ = _FOREIGN.get(key.text) or did_you_mean(key.text, KEYWORDS)
                message = f"{quote(key.text)} is no keyword of JSON Schema 2020-12, and would be ignored"
                reading.error(Code.BAD_SCHEMA, key.span, message, help_ or "leave it out")
            elif key.text == "$schema" and isinstance(value, Scalar) and str(value.value).rstrip("#") != DRAFT:
                reading.error(Code.BAD_SCHEMA, value.span, "only JSON Schema 2020-12 is understood", "leave it out")
        return super().read(node, reading)


def _keywords(node: Node) -> Iterator[tuple[Key, Node]]:
    """The keywords of a schema and of all that are in it. Not recursive: text may be nested deeply."""
    waiting = [node]
    while waiting:
        schema = waiting.pop()
        for key, value in schema.pairs if isinstance(schema, Mapping) else ():
            yield key, value
            waiting += _schemas_in(key.text, value)


def _schemas_in(keyword: str, value: Node) -> tuple[Node, ...]:
    if keyword in ONE:
        return (value,)
    if keyword in SEVERAL and isinstance(value, Sequence):
        return value.items
    if keyword in NAMED and isinstance(value, Mapping):
        return tuple(schema for _, schema in value.pairs)
    return ()
