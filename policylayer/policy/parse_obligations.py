"""Pure: what else a rule makes the proxy do: `label`, `earn`, `mask`, `cap`.

`redact` is a list of argument paths (`dotted.WildPath`). Must not know how any of them is carried out.
"""

from __future__ import annotations

import re
from typing import Final

from policylayer.core.call import Json
from policylayer.policy.ast import MaskRule, ResultPath
from policylayer.policy.codes import Code
from policylayer.policy.dotted import WildPath
from policylayer.policy.nodes import Key, Node, Scalar
from policylayer.policy.nodes import Mapping as MappingNode
from policylayer.policy.shapes import Definitions, Field, ListOf, Reading, Record, Shape, Values
from policylayer.policy.words import Choice, Name, Text

PATTERNS: Final = ("email", "phone", "card", "iban", "jwt", "secret", "ip")
"""Named patterns that `mask` knows."""

_SIZE: Final = re.compile(r"([1-9][0-9]{0,8})(KiB|MiB)")
_FACTORS: Final = {"KiB": 1 << 10, "MiB": 1 << 20}


def is_name(key: Key, reading: Reading) -> bool:
    """Whether a key is a name; reported where not."""
    return Name("a name").read(Scalar(key.span, key.text, key.text, False), reading) is not None


LABELS: Final = ListOf(Name("a label"), "a list of labels")


class _Cap(Shape):
    """A size: bytes, or a number with KiB or MiB."""

    def read(self, node: Node, reading: Reading) -> int | None:
        """Bytes."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            reading.expected(node, "a size", "write bytes, or a number with KiB or MiB: 64KiB")
            return None
        return int(found[1]) * _FACTORS[found[2]]

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An integer or a string of a pattern."""
        size: dict[str, Json] = {"type": "string", "pattern": "^[1-9][0-9]*(KiB|MiB)$"}
        return {"anyOf": [{"type": "integer", "minimum": 1}, size]}


CAP: Final = _Cap()
_RESULT: Final = WildPath(("result",))


def _mask(values: Values, reading: Reading) -> MaskRule | None:
    if len(values.spans) != 1:
        help_ = "write one entry for each"
        reading.error(Code.CONFLICTING_KEYS, values.span, "a mask has one of `path`, `pattern`, `matches`", help_)
        return None
    if values.broken:
        return None
    return MaskRule(values.span, values.get("path"), values.get("pattern"), values.get("matches"))


_MASK: Final = Record(
    "a mask",
    {
        "path": Field(_RESULT, "a path into the result: `result.structuredContent.card.**`"),
        "pattern": Field(Choice(PATTERNS, "a named pattern"), "a kind of text, wherever it stands"),
        "matches": Field(Text("an RE2 expression"), "an RE2 expression, wherever it is found"),
    },
    _mask,
)


class _MaskItem(Shape):
    """A result path, or a mapping."""

    def read(self, node: Node, reading: Reading) -> MaskRule | None:
        """The mask."""
        if isinstance(node, MappingNode):
            mask: MaskRule | None = _MASK.read(node, reading)
            return mask
        path: ResultPath | None = _RESULT.read(node, reading)
        return None if path is None else MaskRule(node.span, path)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string or an object."""
        return {"anyOf": [_RESULT.schema(definitions), _MASK.schema(definitions)]}


MASKS: Final = ListOf(_MaskItem(), "a list of masks")
