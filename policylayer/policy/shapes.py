"""Pure: what a node may look like, as tables: each shape reads a node into a value and describes itself for editors.

The `parse_*` modules are made of these, and `schema` prints them, so that what editors complete is what is accepted.
Must not know any key of the language. `read` answers None where the node is wrong, which has then been reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from policylayer.core.call import Json
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, did_you_mean, error, nearest, quote, warning
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.nodes import Broken, Key, Node, Scalar, Sequence, kind_of
from policylayer.policy.nodes import Mapping as MappingNode

Definitions: TypeAlias = dict[str, Json]


@dataclass(slots=True)
class Reading:
    """One reading of one file: where findings go, and what this build does not enforce."""

    file: str
    sink: list[Diagnostic]
    not_enforced: frozenset[str] = NOT_ENFORCED
    limit_names: list[tuple[str, Span]] = field(default_factory=list)
    """Limits that rules name, to be found once the whole file is read."""

    def error(self, code: Code, span: Span, message: str, help: str = "") -> None:
        """Report what keeps the set from being loaded."""
        self.sink.append(error(code, span, message, help))

    def warn(self, code: Code, span: Span, message: str, help: str = "") -> None:
        """Report what an author should know."""
        self.sink.append(warning(code, span, message, help))

    def expected(self, node: Node, what: str, help: str = "") -> None:
        """Report that a node is of the wrong kind."""
        if not isinstance(node, Broken):
            self.error(Code.WRONG_KIND, node.span, f"expected {what}, found {kind_of(node)}", help)

    def enforces(self, feature: str, span: Span, name: str) -> bool:
        """Whether this build enforces a feature; reported at `span` where it does not."""
        if feature in self.not_enforced:
            message = f"{quote(name)} is not enforced by this build"
            self.error(Code.NOT_ENFORCED, span, message, "remove it, or use a version of policylayer that enforces it")
            return False
        return True


class Shape:
    """What a node may look like."""

    what: str = "a value"

    def read(self, node: Node, reading: Reading) -> Any:
        """The value, or None where the node is wrong, which has then been reported."""
        raise NotImplementedError

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """The shape as JSON Schema (draft 7, which editors read)."""
        raise NotImplementedError


@dataclass(frozen=True)
class ListOf(Shape):
    """A list of one shape, as a tuple; empty ones are refused unless said."""

    item: Shape
    what: str = "a list"
    empty: bool = False
    lone: str | None = None
    """The one text that may stand without brackets."""

    def read(self, node: Node, reading: Reading) -> tuple[Any, ...] | None:
        """The items that could be read."""
        if self.lone is not None and isinstance(node, Scalar) and node.value == self.lone:
            return (self.item.read(node, reading),)
        if not isinstance(node, Sequence):
            help_ = f"write it in brackets: [{node.text}]" if isinstance(node, Scalar) else ""
            reading.expected(node, self.what, help_)
            return None
        if not node.items and not self.empty:
            help_ = "leave the key out, or list something: an empty list is never taken to mean all or none"
            reading.error(Code.EMPTY_COLLECTION, node.span, "an empty list", help_)
            return None
        return tuple(value for item in node.items if (value := self.item.read(item, reading)) is not None)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An array."""
        plain: dict[str, Json] = {"type": "array", "items": self.item.schema(definitions)}
        if not self.empty:
            plain["minItems"] = 1
        return plain if self.lone is None else {"anyOf": [plain, {"const": self.lone}]}


@dataclass(frozen=True)
class MapOf(Shape):
    """A mapping with keys of the author's choice to one shape, as a dict from key to (place of the key, value)."""

    key: Callable[[Key, Reading], bool]
    item: Shape
    what: str = "a mapping"
    pattern: str = ".*"
    empty: bool = False

    def read(self, node: Node, reading: Reading) -> dict[str, tuple[Span, Any]] | None:
        """The entries that could be read."""
        if self.empty and isinstance(node, MappingNode) and not node.pairs:
            return {}
        pairs = pairs_of(node, reading, self.what)
        if pairs is None:
            return None
        found: dict[str, tuple[Span, Any]] = {}
        for key, value_node in pairs:
            good = self.key(key, reading)
            value = self.item.read(value_node, reading)
            if good and value is not None:
                found[key.text] = (key.span, value)
        return found

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object with free keys."""
        made: dict[str, Json] = {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {self.pattern: self.item.schema(definitions)},
        }
        return made if self.empty else {**made, "minProperties": 1}


def pairs_of(node: Node, reading: Reading, what: str) -> tuple[tuple[Key, Node], ...] | None:
    """The pairs of a mapping that is not empty, or None."""
    if not isinstance(node, MappingNode):
        reading.expected(node, what)
        return None
    if not node.pairs:
        reading.error(Code.EMPTY_COLLECTION, node.span, "an empty mapping", "leave the key out, or say something")
        return None
    return node.pairs


@dataclass(frozen=True)
class Field:
    """One key of a record. `feature`: it is an error to use the key while this build does not enforce that."""

    shape: Shape
    about: str
    required: bool = False
    feature: str | None = None


class Values(Mapping[str, Any]):
    """What a record's keys said. A key that was written wrongly is `written`, but has no value."""

    __slots__ = ("_values", "broken", "span", "spans")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.spans: dict[str, Span] = {}
        self._values: dict[str, Any] = {}
        self.broken = False

    def put(self, key: Key, value: Any) -> None:
        """Remember one key."""
        self.spans[key.text] = key.span
        if value is None:
            self.broken = True
        else:
            self._values[key.text] = value

    def written(self, key: str) -> bool:
        """Whether the key stands there, well or badly."""
        return key in self.spans

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Record(Shape):
    """A mapping with known keys. `build` makes something of its values, and reports what the table cannot say."""

    name: str
    fields: dict[str, Field]
    build: Callable[[Values, Reading], Any] = field(default=lambda values, reading: values)
    name_key: str | None = None
    """The key whose value names this record in messages."""

    def read(self, node: Node, reading: Reading) -> Any:
        """What `build` makes of the keys."""
        pairs = pairs_of(node, reading, f"a mapping ({self.name})")
        if pairs is None:
            return None
        where = self._named(pairs)
        values = Values(node.span)
        for key, value_node in pairs:
            known = self.fields.get(key.text)
            if known is None:
                self._unknown(key, where, values, reading)
                continue
            if known.feature is not None and not reading.enforces(known.feature, key.span, key.text):
                values.broken = True
            values.put(key, known.shape.read(value_node, reading))
        for name, known in self.fields.items():
            if known.required and not values.written(name):
                reading.error(Code.MISSING_KEY, node.span, f"{quote(name)} is missing in {where}", known.about)
                values.broken = True
        return self.build(values, reading)

    def _named(self, pairs: tuple[tuple[Key, Node], ...]) -> str:
        for key, node in pairs:
            if key.text == self.name_key and isinstance(node, Scalar) and isinstance(node.value, str):
                return f"{self.name} {quote(node.value)}"
        return self.name if self.name_key is None else f"a {self.name}"

    def _unknown(self, key: Key, where: str, values: Values, reading: Reading) -> None:
        """Report a key that there is not; what it was meant to be counts as written, so that it is not missed too."""
        help_ = did_you_mean(key.text, self.fields)
        reading.error(Code.UNKNOWN_KEY, key.span, f"unknown key {quote(key.text)} in {where}", help_)
        values.broken = True
        meant = nearest(key.text, self.fields)
        if meant is not None:
            values.spans.setdefault(meant, key.span)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object with known keys."""
        properties: dict[str, Json] = {}
        for key, known in self.fields.items():
            described = known.shape.schema(definitions)
            properties[key] = {"description": known.about, **described} if "$ref" not in described else described
        required: list[Json] = [key for key, known in self.fields.items() if known.required]
        made: dict[str, Json] = {"type": "object", "minProperties": 1, "additionalProperties": False}
        made["properties"] = properties
        return {**made, "required": required} if required else made


@dataclass(frozen=True)
class Defined(Shape):
    """A shape with a name of its own in the JSON Schema; `find` breaks cycles."""

    name: str
    find: Callable[[], Shape]

    def read(self, node: Node, reading: Reading) -> Any:
        """As the shape it names."""
        return self.find().read(node, reading)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A reference to the definition."""
        if self.name not in definitions:
            definitions[self.name] = {}
            definitions[self.name] = self.find().schema(definitions)
        return {"$ref": f"#/definitions/{self.name}"}


ANYTHING: Final[dict[str, Json]] = {}
"""The JSON Schema of whatever JSON there is."""


class RawJson(Shape):
    """A mapping that is data, not language: anything JSON can say, empty ones and nulls included."""

    what = "a mapping"

    def read(self, node: Node, reading: Reading) -> dict[str, Json] | None:
        """The data."""
        if not isinstance(node, MappingNode):
            reading.expected(node, self.what)
            return None
        value = to_json(node)
        return value if isinstance(value, dict) else None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """Any object."""
        return {"type": "object"}


def to_json(node: Node) -> Json:
    """A node as data. What could not be read has been reported and is null here."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [to_json(item) for item in node.items]
    if isinstance(node, MappingNode):
        return {key.text: to_json(value) for key, value in node.pairs}
    return None
