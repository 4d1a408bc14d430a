"""Pure: limits: `20/hour`, `{calls: …}`, `{sum: …}`, and in a rule the name of one of the file's.

Whether a name is one of the file's is `parse_policy`'s, since it has read them all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from policylayer.core.call import Json
from policylayer.policy.ast import Limit
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.dotted import PathText
from policylayer.policy.nodes import Mapping as MappingNode
from policylayer.policy.nodes import Node, Scalar
from policylayer.policy.shapes import Definitions, Field, ListOf, Reading, Record, Shape, Values
from policylayer.policy.words import NAMED_UNITS, Choice, Duration, Flag, Name, Number, seconds

_RATE: Final = re.compile(r"([1-9][0-9]{0,17})/([a-z0-9]+)")
RATE_PATTERN: Final = r"^[1-9][0-9]*/(second|minute|hour|day|[1-9][0-9]*[smhd])$"


def exact(number: int | float) -> Decimal:
    """The decimal that was written: floats have been held to their shortest form."""
    return Decimal(number) if isinstance(number, int) else Decimal(repr(number))


def _limit(values: Values, reading: Reading) -> Limit | None:
    if _refused(values, reading) or values.broken:
        return None
    what: str = "calls" if "calls" in values else "max"
    by = {"by": values["by"]} if "by" in values else {}
    return Limit(
        max=exact(values[what]),
        per=values["per"],
        span=values.span,
        sum=values.get("sum"),
        decimal=values.get("decimal", False),
        over=values.get("over", "deny"),
        **by,
    )


def _refused(values: Values, reading: Reading) -> bool:
    """Whether the keys do not make one limit; reported."""
    counts, sums = values.written("calls"), values.written("sum")
    if counts == sums:
        help_ = (
            "a limit counts calls, `{calls: 20, per: hour}`, or sums a field, `{sum: args.amount, max: 100, per: day}`"
        )
        reading.error(Code.BAD_LIMIT, values.span, "a limit has either `calls` or `sum`", help_)
        return True
    if sums and not values.written("max"):
        reading.error(Code.MISSING_KEY, values.span, "`max` is missing in this limit", "how much the sum may come to")
        return True
    for key in ("max", "decimal"):
        if counts and values.written(key):
            reading.error(Code.BAD_LIMIT, values.spans[key], f"`{key}` goes with `sum`", "remove it")
            return True
    return False


_LIMIT: Final = Record(
    "a limit",
    {
        "calls": Field(Number("a whole number", whole=True, least=1), "how many calls"),
        "sum": Field(PathText(), "the number in each call that is summed"),
        "max": Field(Number("a number", least=0), "how much the sum may come to"),
        "per": Field(Duration(named=True), "the window: second, minute, hour, day, or a duration", required=True),
        "by": Field(ListOf(PathText(), "a list of paths"), "what has a counter of its own; default: [principal.id]"),
        "decimal": Field(Flag(), "the summed field is text such as 12.50"),
        "over": Field(Choice(("deny", "require_approval"), "`deny` or `require_approval`"), "what happens beyond it"),
    },
    _limit,
)


@dataclass(frozen=True)
class LimitShape(Shape):
    """A limit; `named`: or the name of one of the file's."""

    named: bool

    def read(self, node: Node, reading: Reading) -> Limit | str | None:
        """The limit or the name."""
        if isinstance(node, MappingNode):
            limit: Limit | None = _LIMIT.read(node, reading)
            return limit
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            reading.expected(node, "a limit", "write it as 20/hour, {calls: …} or {sum: …}")
            return None
        if "/" in node.value:
            return self._rate(node.value, node, reading)
        if self.named:
            reading.limit_names.append((node.value, node.span))
            return Name("a limit's name").read(node, reading)
        reading.error(Code.BAD_LIMIT, node.span, f"{quote(node.value)} is not a limit", "write it as 20/hour")
        return None

    def _rate(self, text: str, node: Scalar, reading: Reading) -> Limit | None:
        found = _RATE.fullmatch(text)
        per = (NAMED_UNITS.get(found[2]) or seconds(found[2])) if found else None
        if found is None or per is None:
            help_ = "write it as 20/hour; per second, minute, hour, day, or a duration such as 15m"
            reading.error(Code.BAD_LIMIT, node.span, f"{quote(text)} is not a limit", help_)
            return None
        return Limit(max=Decimal(found[1]), per=per, span=node.span)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A rate, an object, or a name."""
        if "limit" not in definitions:
            definitions["limit"] = {}
            definitions["limit"] = _LIMIT.schema(definitions)
        kinds: list[Json] = [{"type": "string", "pattern": RATE_PATTERN}, {"$ref": "#/definitions/limit"}]
        return {"anyOf": [*kinds, Name().schema(definitions)] if self.named else kinds}


RULE_LIMITS: Final = ListOf(LimitShape(named=True), "a list of limits")
"""What stands in a rule's `limits`; each item a `Limit` or a name."""
