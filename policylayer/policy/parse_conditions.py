"""Pure: `when` and everything like it: mappings from paths to matchers, combined by all, any and not.

One side of a condition is read by `parse_matchers`. Rules about time that need a rule's effect are in `check_time`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from policylayer.core.call import Json
from policylayer.policy.ast import All, Any_, Bound, Condition, During, Each, Not, Span, Test
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.dotted import PATTERN, condition_path
from policylayer.policy.nodes import Broken, Key, Node, Scalar, Sequence
from policylayer.policy.nodes import Mapping as MappingNode
from policylayer.policy.parse_matchers import NAMES, SAID, SAID_OF_PATH, operands, read_test
from policylayer.policy.parse_time import TIME
from policylayer.policy.shapes import Defined, Definitions, ListOf, Reading, Shape, pairs_of

COMBINERS: Final = ("all", "any", "not")


class Conditions(Shape):
    """A mapping of conditions, conjoined. `item`: inside `every` or `some`, where paths begin with `item`."""

    what = "a mapping of conditions"

    def __init__(self, item: bool = False) -> None:
        self.item = item

    def read(self, node: Node, reading: Reading) -> Condition | None:
        """The conditions as one: those that could be read. What is wrong has been reported, and nothing is made of the
        rest but that it is checked as well."""
        pairs = pairs_of(node, reading, self.what)
        if pairs is None:
            return None
        parts = [self._one(key, value, reading) for key, value in pairs]
        whole = tuple(part for part in parts if part is not None)
        return All(whole) if whole else None

    def _one(self, key: Key, node: Node, reading: Reading) -> Condition | None:
        if key.text in ("all", "any"):
            return self._several(key, node, reading)
        if key.text == "not":
            part = _conditions(self.item).read(node, reading)
            return None if part is None else Not(part)
        if key.text == "time" and not self.item:
            times: tuple[During | Bound, ...] | None = TIME.read(node, reading)
            return None if times is None else All(times)
        return self._test(key, node, reading)

    def _several(self, key: Key, node: Node, reading: Reading) -> Condition | None:
        parts = ListOf(_conditions(self.item), f"a list of condition mappings below `{key.text}`").read(node, reading)
        if not parts:
            return None
        return All(parts) if key.text == "all" else Any_(parts)

    def _test(self, key: Key, node: Node, reading: Reading) -> Test | None:
        path = condition_path(key.text, key.span, reading, self.item)
        if path is not None and self.item and path[0] != "item":
            message = f"{quote(key.text)} does not begin with `item`"
            help_ = "conditions on elements are about `item`; other paths belong beside, or in a `ref`"
            reading.error(Code.UNKNOWN_PATH, key.span, message, help_)
            path = None
        test = read_test(path or (), key.span, node, reading, _table(self.item))
        return None if path is None else test

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object of paths and combiners."""
        own = _conditions(self.item).schema(definitions)
        parts: dict[str, Json] = {"type": "array", "minItems": 1, "items": own}
        properties: dict[str, Json] = {"all": parts, "any": parts, "not": own}
        if not self.item:
            properties["time"] = TIME.schema(definitions)
        pattern = r"^item(\..+)?$" if self.item else PATTERN
        return {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": properties,
            "patternProperties": {pattern: _RightSide(self.item).schema(definitions)},
        }


class _RightSide(Shape):
    """What stands after a path; only its schema is used, `read_test` reads it."""

    def __init__(self, item: bool) -> None:
        self.item = item

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A scalar or a mapping of matchers."""
        return {"anyOf": [{"type": ["string", "number", "boolean"]}, _matchers(self.item).schema(definitions)]}


class _Matchers(_RightSide):
    """A mapping of matchers; only its schema is used."""

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object of matchers."""
        table = {**_table(self.item), **SAID}
        properties: dict[str, Json] = {name: shape.schema(definitions) for name, shape in table.items()}
        return {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": properties}


class _Each(Shape):
    """The operand of `every` and `some`: a scalar, matchers on the element, or conditions about `item`."""

    def read(self, node: Node, reading: Reading) -> Each | None:
        """The operand."""
        if isinstance(node, MappingNode) and _about_item(node):
            condition = _conditions(True).read(node, reading)
            return None if condition is None else Each(condition=condition)
        if isinstance(node, Broken):
            return None
        element = read_test(("item",), _start(node), node, reading, _table(True))
        return None if element is None else Each(element=element)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A scalar, matchers, or conditions."""
        scalar: dict[str, Json] = {"type": ["string", "number", "boolean"]}
        return {"anyOf": [scalar, _matchers(True).schema(definitions), _conditions(True).schema(definitions)]}


def _about_item(node: MappingNode) -> bool:
    """Whether a mapping holds conditions rather than matchers; a mixture is read as conditions, and so reported."""
    known = {*NAMES, *SAID_OF_PATH}
    keys = [key for key in node.names() if key not in known]
    return any(key in COMBINERS or key == "item" or "." in key or key.startswith("args") for key in keys)


def _start(node: Scalar | Sequence | MappingNode) -> Span:
    return node.span


def _conditions(item: bool) -> Defined:
    return _ITEM_CONDITIONS if item else CONDITIONS


def _matchers(item: bool) -> Defined:
    return _ITEM_MATCHERS if item else _MATCHERS


@lru_cache(maxsize=2)
def _table(item: bool) -> dict[str, Shape]:
    return operands(item, Defined("each", lambda: _EACH))


_EACH: Final = _Each()
_PLAIN: Final = Conditions()
_OF_ITEM: Final = Conditions(item=True)
_PLAIN_MATCHERS: Final = _Matchers(False)
_OF_ITEM_MATCHERS: Final = _Matchers(True)

CONDITIONS: Final = Defined("conditions", lambda: _PLAIN)
_ITEM_CONDITIONS: Final = Defined("itemConditions", lambda: _OF_ITEM)
_MATCHERS: Final = Defined("matchers", lambda: _PLAIN_MATCHERS)
_ITEM_MATCHERS: Final = Defined("itemMatchers", lambda: _OF_ITEM_MATCHERS)
