"""Pure: one condition's right side: a scalar, or a mapping of matchers, read into `ast.Test`.

The table at the end is the language's list of matchers; `schema` prints it. Patterns are checked for what a glance can
tell (globs, absolute paths); expressions, URLs, networks and schemas are read by `compile`, which reports them at the
same places. Whole conditions are in `parse_conditions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from policylayer.core.call import Json
from policylayer.policy import globs
from policylayer.policy.ast import Matcher, Path, Ref, Scalar, Span, Test
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.dotted import PATTERN, condition_path
from policylayer.policy.nodes import Broken, Node, Sequence
from policylayer.policy.nodes import Mapping as MappingNode
from policylayer.policy.nodes import Scalar as ScalarNode
from policylayer.policy.schema_words import SchemaJson
from policylayer.policy.shapes import Definitions, RawJson, Reading, Shape
from policylayer.policy.words import Choice, Flag, text_of

NUMERIC: Final = ("eq", "neq", "in", "not_in", "lt", "lte", "gt", "gte")
TEXTUAL: Final = ("contains", "starts_with", "ends_with", "glob", "matches", "finds")
FOLDABLE: Final = frozenset(("eq", "neq", "in", "not_in", *TEXTUAL))
TYPES: Final = ("string", "number", "boolean", "object", "array")
SAID_OF_PATH: Final = ("absent", "ignore_case")


# --- operands ---------------------------------------------------------------------------------------------------------


def type_of(value: Scalar) -> str:
    """The JSON type of a literal; integers and other numbers are one."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def literal(node: Node, reading: Reading, numeric: bool) -> Scalar | None:
    """A scalar that is not null; `numeric`: a number."""
    if not isinstance(node, ScalarNode):
        help_ = "an object is compared field by field; a list needs `every` or `some`"
        reading.expected(node, "a number" if numeric else "a text, a number, true or false", help_)
        return None
    if node.value is None:
        help_ = "a null counts as missing: ask `exists: false`"
        reading.error(Code.NULL_LITERAL, node.span, "nothing equals null", help_)
        return None
    if numeric and type_of(node.value) != "number":
        reading.expected(node, "a number", "write it without quotes" if node.quoted else "")
        return None
    return node.value


def reference(node: MappingNode, reading: Reading, item: bool) -> Ref | None:
    """`{ref: path}`."""
    if node.names() != ("ref",):
        help_ = "compare with a literal, or with another path: `{ref: args.other}`"
        reading.error(Code.BAD_OPERAND, node.span, "a literal is always a scalar", help_)
        return None
    (_, target), *_ = node.pairs
    text = text_of(target, reading, "a path")
    path = None if text is None else condition_path(text, target.span, reading, item)
    return None if path is None else Ref(path, target.span)


@dataclass(frozen=True)
class One(Shape):
    """A literal, or `{ref: path}`."""

    item: bool
    numeric: bool = False

    def read(self, node: Node, reading: Reading) -> Scalar | Ref | None:
        """The literal or the reference."""
        if isinstance(node, MappingNode):
            return reference(node, reading, self.item)
        return literal(node, reading, self.numeric)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A scalar or a reference."""
        kinds: list[Json] = ["number"] if self.numeric else ["string", "number", "boolean"]
        return {"anyOf": [{"type": kinds}, _ref_schema(definitions)]}


@dataclass(frozen=True)
class Many(Shape):
    """A list of literals of one type, or `{ref: path}`."""

    item: bool
    numeric: bool = False

    def read(self, node: Node, reading: Reading) -> tuple[Scalar, ...] | Ref | None:
        """The literals or the reference."""
        if isinstance(node, MappingNode):
            return reference(node, reading, self.item)
        if not isinstance(node, Sequence):
            help_ = f"write it in brackets: [{node.text}]" if isinstance(node, ScalarNode) else ""
            reading.expected(node, "a list of literals", help_)
            return None
        if not node.items:
            reading.error(Code.EMPTY_COLLECTION, node.span, "an empty list", "list the values")
            return None
        found = [
            (item.span, value) for item in node.items if (value := literal(item, reading, self.numeric)) is not None
        ]
        alike = [value for _, value in found if type_of(value) == type_of(found[0][1])]
        for span, value in found:
            if type_of(value) != type_of(found[0][1]):
                message = f"a list of literals holds one type: {type_of(found[0][1])} or {type_of(value)}, not both"
                reading.error(Code.MIXED_LITERALS, span, message, "quote all of them, or none")
        return tuple(alike) or None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A list of scalars or a reference."""
        kinds = ["number"] if self.numeric else ["string", "number", "boolean"]
        lists: list[Json] = [{"type": "array", "minItems": 1, "items": {"type": kind}} for kind in kinds]
        return {"anyOf": [*lists, _ref_schema(definitions)]}


def _ref_schema(definitions: Definitions) -> dict[str, Json]:
    definitions["ref"] = {
        "type": "object",
        "required": ["ref"],
        "additionalProperties": False,
        "properties": {"ref": {"type": "string", "pattern": PATTERN}},
    }
    return {"$ref": "#/definitions/ref"}


@dataclass(frozen=True)
class Texts(Shape):
    """One text, or a list of them of which any will do, as a tuple. `check` reports a text that cannot be meant."""

    check: Callable[[str, Span, Reading], bool] | None = None
    empty: bool = False
    lone: bool = True

    def read(self, node: Node, reading: Reading) -> tuple[str, ...] | None:
        """The texts."""
        if not isinstance(node, Sequence):
            if not self.lone:
                reading.expected(node, "a list of texts")
                return None
            text = self._one(node, reading)
            return None if text is None else (text,)
        if not node.items and not self.empty:
            reading.error(Code.EMPTY_COLLECTION, node.span, "an empty list", "list the texts")
            return None
        found = tuple(text for item in node.items if (text := self._one(item, reading)) is not None)
        return found if found or not node.items else None

    def _one(self, node: Node, reading: Reading) -> str | None:
        if isinstance(node, MappingNode):
            reading.error(Code.BAD_OPERAND, node.span, "expected text", "`ref` works in comparisons only")
            return None
        text = text_of(node, reading, "text")
        if text is None or self.check is None or self.check(text, node.span, reading):
            return text
        return None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string, a list of strings, or either."""
        many: dict[str, Json] = {"type": "array", "items": {"type": "string"}}
        if not self.empty:
            many["minItems"] = 1
        return {"anyOf": [{"type": "string"}, many]} if self.lone else many


def check_glob(text: str, span: Span, reading: Reading) -> bool:
    """Whether a glob has only `*` and `**` in it."""
    sign = globs.refused(text)
    if sign is not None:
        help_ = "only `*` and `**` are wildcards here; for anything else use `matches`"
        reading.error(Code.BAD_GLOB, span, f"{quote(sign)} is not allowed in a glob", help_)
        return False
    if not text:
        reading.error(Code.BAD_GLOB, span, "an empty glob matches nothing")
        return False
    return True


def check_text(text: str, span: Span, reading: Reading) -> bool:
    """Whether a text says something: every text contains, begins and ends with the empty one."""
    if not text:
        help_ = 'to compare with the empty text, write `eq: ""`; to ask whether it is there, `exists: true`'
        reading.error(Code.EMPTY_COLLECTION, span, "an empty text", help_)
    return bool(text)


def check_directory(text: str, span: Span, reading: Reading) -> bool:
    """Whether a directory of `within` is absolute and says one thing."""
    if not text.startswith("/"):
        reading.error(Code.RELATIVE_PATH, span, f"the directory {quote(text)} is not absolute", "begin it with `/`")
        return False
    if "*" in text:
        help_ = "`within` takes directories; use `path_glob` for patterns"
        reading.error(Code.BAD_GLOB, span, f"{quote(text)} looks like a glob", help_)
        return False
    return _check_resolved(text, span, reading)


def check_path_glob(text: str, span: Span, reading: Reading) -> bool:
    """Whether a file path pattern is absolute and a glob."""
    if not text.startswith(("/", "**")):
        help_ = "begin it with `/`; `/**/name` is that name anywhere"
        reading.error(Code.RELATIVE_PATH, span, f"the pattern {quote(text)} is not absolute", help_)
        return False
    return check_glob(text, span, reading) and _check_resolved(text, span, reading)


def _check_resolved(text: str, span: Span, reading: Reading) -> bool:
    segments = text.removeprefix("/").split("/")
    odd = {".", ".."} & set(segments) or "" in segments[:-1] or "\\" in text or "\0" in text
    if odd:
        help_ = (
            "write it without `.`, `..`, empty segments and backslashes: values are resolved before they are compared"
        )
        reading.error(Code.RELATIVE_PATH, span, f"the path {quote(text)} is not resolved", help_)
    return not odd


@dataclass(frozen=True)
class Numeric(Shape):
    """A mapping of numeric matchers, as a tuple of `Matcher`."""

    item: bool

    def read(self, node: Node, reading: Reading) -> tuple[Matcher, ...] | None:
        """The matchers."""
        if not isinstance(node, MappingNode):
            help_ = f"write {{eq: {node.text}}}" if isinstance(node, ScalarNode) else ""
            reading.expected(node, "a mapping of numeric matchers", help_)
            return None
        if not node.pairs:
            reading.error(Code.EMPTY_COLLECTION, node.span, "an empty mapping", "say what the number must be")
            return None
        found = []
        for key, value_node in node.pairs:
            if key.text not in NUMERIC:
                message = f"{quote(key.text)} is not a numeric matcher"
                reading.error(Code.UNKNOWN_MATCHER, key.span, message, did_you_mean(key.text, NUMERIC))
                continue
            value = _numeric(key.text, self.item).read(value_node, reading)
            if value is not None:
                found.append(Matcher(key.text, value, value_node.span, places_of(value, value_node)))
        return tuple(found) or None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object of numeric matchers."""
        properties: dict[str, Json] = {name: _numeric(name, self.item).schema(definitions) for name in NUMERIC}
        return {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": properties}


def _numeric(name: str, item: bool) -> Shape:
    return Many(item, numeric=True) if name in ("in", "not_in") else One(item, numeric=True)


# --- the table --------------------------------------------------------------------------------------------------------


def operands(item: bool, each: Shape) -> dict[str, Shape]:
    """Every matcher and the shape of its operand; `each` is the shape of `every` and `some`."""
    return {
        "eq": One(item),
        "neq": One(item),
        "in": Many(item),
        "not_in": Many(item),
        "lt": One(item, numeric=True),
        "lte": One(item, numeric=True),
        "gt": One(item, numeric=True),
        "gte": One(item, numeric=True),
        "decimal": Numeric(item),
        "contains": Texts(check_text),
        "starts_with": Texts(check_text),
        "ends_with": Texts(check_text),
        "glob": Texts(check_glob),
        "matches": Texts(check_text),
        "finds": Texts(check_text),
        "length": Numeric(item),
        "exists": Flag(),
        "type": Choice(TYPES, "a JSON type"),
        "keys": Texts(empty=True, lone=False),
        "within": Texts(check_directory),
        "path_glob": Texts(check_path_glob),
        "host": Texts(),
        "url_glob": Texts(),
        "cidr": Texts(),
        "schema": SchemaJson(),
        "every": each,
        "some": each,
    }


NAMES: Final = tuple(operands(False, RawJson()))
SAID: Final[dict[str, Shape]] = {
    "absent": Choice(("match", "no_match"), "`match` or `no_match`"),
    "ignore_case": Flag("`true`"),
}


def read_test(path: Path, span: Span, node: Node, reading: Reading, table: dict[str, Shape]) -> Test | None:
    """A path with its right side. What could be read of a wrong one is returned too, so that it is checked as well."""
    if isinstance(node, Sequence):
        help_ = "to be one of several values, write `in: [...]`; for the elements of a list, `every` or `some`"
        reading.error(Code.BAD_OPERAND, node.span, "a path cannot equal a list", help_)
        return None
    if not isinstance(node, MappingNode):
        value = None if isinstance(node, Broken) else literal(node, reading, numeric=False)
        return None if value is None else Test(path, (Matcher("eq", value, node.span),), span)
    if not node.pairs:
        reading.error(Code.EMPTY_COLLECTION, node.span, "an empty mapping", "say what the value must be")
        return None
    found: dict[str, Matcher] = {}
    places: dict[str, Span] = {}
    broken = False
    for key, value_node in node.pairs:
        shape = table.get(key.text) or SAID.get(key.text)
        if shape is None:
            _unknown(key.text, key.span, reading)
            broken = True
            continue
        operand = shape.read(value_node, reading)
        broken = broken or operand is None
        if operand is not None:
            found[key.text] = Matcher(key.text, operand, value_node.span, places_of(operand, value_node))
            places[key.text] = key.span
    if not broken:
        return _test(path, span, found) if _agree(found, places, reading) else None
    rest = found.keys() - set(SAID_OF_PATH)
    return _test(path, span, found) if rest else None


def places_of(operand: Any, node: Node) -> tuple[Span, ...]:
    """Where each literal of a list stands; those that could not be read are passed over."""
    if not isinstance(node, Sequence) or not isinstance(operand, tuple):
        return ()
    places: list[Span] = []
    for item in node.items:
        if len(places) < len(operand) and isinstance(item, ScalarNode) and item.value == operand[len(places)]:
            places.append(item.span)
    return tuple(places)


def _unknown(word: str, span: Span, reading: Reading) -> None:
    known = (*NAMES, *SAID_OF_PATH)
    help_ = did_you_mean(word, known)
    if word == "ref":
        help_ = "compare with it: `eq: {ref: path}`"
    reading.error(Code.UNKNOWN_MATCHER, span, f"unknown matcher {quote(word)}", help_)


def _test(path: Path, span: Span, found: dict[str, Matcher]) -> Test:
    matchers = tuple(matcher for name, matcher in found.items() if name not in SAID_OF_PATH)
    absent: Any = found["absent"].value if "absent" in found else None
    folds = "ignore_case" in found and found["ignore_case"].value is True
    return Test(path, matchers, span, absent, folds)


def _agree(found: dict[str, Matcher], places: dict[str, Span], reading: Reading) -> bool:
    """Whether matchers that speak of the same thing can stand together."""
    names = found.keys() - set(SAID_OF_PATH)
    problems = []
    if not names:
        first = next(iter(found))
        problems.append((Code.MEANINGLESS, first, f"{quote(first)} says nothing by itself", "add a matcher"))
    if "exists" in found and "absent" in found:
        help_ = "`exists` asks whether the value is there; `absent` says what holds when it is not: keep one"
        problems.append((Code.MEANINGLESS, "absent", "`absent` cannot stand beside `exists`", help_))
    if "exists" in found and found["exists"].value is False and len(names) > 1:
        help_ = "nothing more can be asked of a value that is not there"
        problems.append((Code.MEANINGLESS, "exists", "`exists: false` stands alone", help_))
    if "ignore_case" in found and names and not names & FOLDABLE:
        help_ = "it goes with eq, neq, in, not_in, " + ", ".join(TEXTUAL)
        problems.append((Code.IGNORE_CASE, "ignore_case", "`ignore_case` folds nothing here", help_))
    for code, name, message, help_ in problems:
        reading.error(code, places[name], message, help_)
    return not problems
