"""Pure: `unwrap` of a server: which of its tools call other tools, and where their arguments say so.

Stands in the configuration of a server and in the fixtures of policy tests. What is done with it is in
`core/unwrap.py` and `inside`.
"""

from __future__ import annotations

from typing import Any, Final

from policylayer.core.call import Json, Unwrap
from policylayer.core.text import LONGEST_NAME, is_name
from policylayer.policy.ast import Path
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.dotted import cut
from policylayer.policy.nodes import Node, Scalar, Sequence
from policylayer.policy.shapes import Definitions, Field, ListOf, Reading, Record, Shape, Values
from policylayer.policy.words import Choice, Parsed, text_of

ARGS: Final = "args"
ITEM: Final = "item"


class _ToolPath(Shape):
    """A path into the meta-tool's arguments, or into an element of its list; `whole`: it may be all of them."""

    def __init__(self, roots: tuple[str, ...], whole: bool = False) -> None:
        self.roots = roots
        self.whole = whole

    def read(self, node: Node, reading: Reading) -> Path | None:
        """The path."""
        text = text_of(node, reading, "a path")
        if text is None:
            return None
        path = cut(text)
        if path is None:
            help_ = "write `args.tool_name`: no wildcards and no indices, other signs stand in double quotes"
            reading.error(Code.BAD_PATH, node.span, f"{quote(text)} is not a path", help_)
        elif path[0] not in self.roots or (len(path) == 1 and not self.whole):
            help_ = f"it begins with {' or '.join(f'`{root}.`' for root in self.roots)}"
            reading.error(Code.UNKNOWN_PATH, node.span, f"there is no {quote(text)} here", help_)
            return None
        return path

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string of a pattern."""
        return {"type": "string", "pattern": rf"^({'|'.join(self.roots)})(\..+){'?' if self.whole else ''}$"}


def _tool(text: str, node: Scalar, reading: Reading) -> str | None:
    if is_name(text, LONGEST_NAME):
        return text
    help_ = f"visible characters, no space around them, at most {LONGEST_NAME}"
    reading.error(Code.BAD_NAME, node.span, f"{quote(text)} cannot be a tool's name", help_)
    return None


def _unwrap(values: Values, reading: Reading) -> Unwrap | None:
    if values.broken:
        return None
    name, arguments, each = values["name"], values["arguments"], values.get("each")
    items = [key for key in ("name", "arguments") if values[key][0] == ITEM]
    if each is None and items:
        help_ = "`item` is an element of the list at `each`"
        reading.error(Code.UNKNOWN_PATH, values.spans[items[0]], "there is no list to have items", help_)
        return None
    if each is not None and not items:
        help_ = "say with `item.…` where each element has its name or its arguments"
        reading.error(Code.UNKNOWN_PATH, values.spans["each"], "nothing is read of the elements of `each`", help_)
        return None
    return Unwrap(values["tool"], name, arguments, each, "arguments_as" in values)


META: Final = Record(
    "`unwrap`",
    {
        "tool": Field(Parsed(_tool, "a tool's name"), "the tool that calls others", required=True),
        "name": Field(_ToolPath((ARGS, ITEM)), "where its arguments name the other tool", required=True),
        "arguments": Field(_ToolPath((ARGS, ITEM), whole=True), "where the other tool's arguments are", required=True),
        "arguments_as": Field(Choice(("json",), "a form of arguments"), "json: they are a text of JSON"),
        "each": Field(_ToolPath((ARGS,)), "a list in its arguments, each element of which is a call: `item`"),
    },
    _unwrap,
)


class _Metas(Shape):
    """One declaration, or a list of them."""

    def __init__(self) -> None:
        self.list = ListOf(META, "a mapping, or a list of mappings")

    def read(self, node: Node, reading: Reading) -> tuple[Unwrap, ...] | None:
        """All of them; no tool is declared twice."""
        found: Any = self.list.read(node, reading) if isinstance(node, Sequence) else _alone(META.read(node, reading))
        names = [meta.tool for meta in found or ()]
        for name in sorted({name for name in names if names.count(name) > 1}):
            message = f"the tool {quote(name)} is declared twice"
            reading.error(Code.CONFLICTING_KEYS, node.span, message, "a server would not ask which of them is meant")
        return None if found is None else tuple(found)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object or an array."""
        return {"anyOf": [META.schema(definitions), self.list.schema(definitions)]}


def _alone(meta: Unwrap | None) -> tuple[Unwrap, ...] | None:
    return None if meta is None else (meta,)


UNWRAP: Final = _Metas()
