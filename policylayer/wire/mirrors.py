"""Pure: the `Mcp-*` fields with which a modern request repeats parts of its body, checked against that body.

They are never believed: policy reads the body, a field that says anything else is refused, and what is forwarded is
written again from the body (`headers`). A tool says by `x-mcp-header` in its inputSchema which arguments are repeated.

Must not know how a schema came to be known (`proxy/tools_seen.py`). A schema that is broken lets nothing through: a
server may check nothing then, and an intermediary behind us may still route by such a field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from policylayer.core.immutable import immutable
from policylayer.wire.fields import Headers, decode_value, encode_value, is_as_it_is
from policylayer.wire.methods import ROUTED
from policylayer.wire.rejection import HEADER_MISMATCH, Id, Rejection

if TYPE_CHECKING:
    from policylayer.wire.message import Message

METHOD: Final = "mcp-method"
NAME: Final = "mcp-name"
PARAM: Final = "mcp-param-"
ANNOTATION: Final = "x-mcp-header"
_WRITTEN: Final = f'"{ANNOTATION}"'.encode()

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_TYPES: Final = frozenset({"string", "integer", "boolean"})
_SAFE: Final = 2**53 - 1

# Where a JSON Schema 2020-12 holds further schemas; an annotation in any of these is not reachable from the arguments.
# `$ref` is not followed, and data (`const`, `enum`, `default`, `examples`) is not a schema.
_ONE: Final = (
    "items",
    "contains",
    "unevaluatedItems",
    "additionalItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
)
_SEVERAL: Final = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED: Final = ("patternProperties", "dependentSchemas", "$defs", "definitions", "dependencies")


@immutable
class Mirror:
    """One argument that is repeated: its path below `arguments`, its field's name, and its type."""

    path: tuple[str, ...]
    field: str
    type: str


# --- the request's method and target ----------------------------------------------------------------------------------


def check_routing(message: Message, headers: Headers) -> Rejection | None:
    """Compare `Mcp-Method` and `Mcp-Name` with the body. Handshake messages have none: theirs are dropped instead."""
    if message.era == "handshake" or message.kind == "response":
        return None
    required = message.kind == "request"
    fault = _compare(headers, METHOD, message.method, required)
    if fault is None and message.method in ROUTED:
        fault = _compare(headers, NAME, message.target, required, wrapped=True)
    elif fault is None and headers.repeated(NAME):
        fault = f"the {NAME} header is repeated"
    return None if fault is None else mismatch(fault, message.id)


def _compare(headers: Headers, name: str, expected: str | None, required: bool, wrapped: bool = False) -> str | None:
    said = headers.single.get(name)
    if said is not None and said == expected and is_as_it_is(said):
        return None
    values = headers.get_all(name)
    if not values:
        return f"the {name} header is missing" if required else None
    if len(values) > 1:
        return f"the {name} header is repeated"
    value = decode_value(values[0]) if wrapped else values[0]
    return None if value == expected else f"the {name} header does not match the body"


def mismatch(message: str, id: Id | None) -> Rejection:
    """The rejection of a header that says something else than the body."""
    return Rejection(400, HEADER_MISMATCH, "header_mismatch", message, id)


# --- arguments --------------------------------------------------------------------------------------------------------


def mirrors(schema: object) -> tuple[Mirror, ...] | None:
    """The arguments that a tool's inputSchema wants repeated, or None if an annotation is not allowed there."""
    if not _may_be_annotated(schema):
        return ()
    found: list[Mirror] = []
    names: set[str] = set()
    for path, node in _schemas(schema):
        if ANNOTATION not in node:
            continue
        token, kind = node[ANNOTATION], node.get("type")
        if not path or not _is_token(token) or type(kind) is not str or kind not in _TYPES or token.lower() in names:
            return None
        names.add(token.lower())
        found.append(Mirror(path, f"Mcp-Param-{token}", kind))
    return tuple(found)


def _may_be_annotated(schema: object) -> bool:
    """Whether the annotation's name is anywhere in a schema: one look at its text, since most have none."""
    try:
        return _WRITTEN in orjson.dumps(schema, default=str)
    except TypeError:  # nested too deep for that, or a number too large
        return True


def _is_token(token: object) -> bool:
    return type(token) is str and 0 < len(token) <= 128 and _TOKEN.issuperset(token)


def _schemas(root: object) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every schema within `root`, with the arguments' path to it; the path is empty where there is none."""
    stack: list[tuple[tuple[str, ...], object, bool]] = [((), root, True)]
    while stack:
        path, node, reachable = stack.pop()
        if type(node) is not dict:
            continue
        yield (path if reachable else ()), node
        properties = node.get("properties")
        if type(properties) is dict:
            stack.extend(((*path, name), below, reachable) for name, below in properties.items())
        stack.extend(((), below, False) for below in _elsewhere(node))


def _elsewhere(node: dict[str, Any]) -> Iterator[object]:
    for key in _ONE:
        yield node.get(key)
    for key in _SEVERAL:
        below = node.get(key)
        if type(below) is list:
            yield from below
    for key in _NAMED:
        below = node.get(key)
        if type(below) is dict:
            yield from below.values()


def param_fields(found: tuple[Mirror, ...], arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The `Mcp-Param-*` fields that belong to `arguments`."""
    rendered = ((mirror, _rendered(_at(arguments, mirror.path))) for mirror in found)
    return [(mirror.field, encode_value(text)) for mirror, text in rendered if text is not None]


def check_params(message: Message, headers: Headers, input_schema: object) -> Rejection | None:
    """Compare the `Mcp-Param-*` fields of a modern tools/call with its arguments, by the tool's inputSchema.

    Fields that the schema does not know are not compared: they are never forwarded. Where the tool's schema is unknown
    (None) or its annotations are not allowed, no such field is acceptable.
    """
    if message.era == "handshake" or message.method != "tools/call":
        return None
    found = None if input_schema is None else mirrors(input_schema)
    if found is None:
        if any(name.startswith(PARAM) for name in headers):
            return mismatch("the Mcp-Param headers cannot be compared: the tool's schema is unknown", message.id)
        return None
    for mirror in found:
        fault = _disagreement(mirror, headers, message.arguments)
        if fault is not None:
            return mismatch(fault, message.id)
    return None


def _disagreement(mirror: Mirror, headers: Headers, arguments: Mapping[str, Any]) -> str | None:
    values = headers.get_all(mirror.field.lower())
    if len(values) > 1:
        return f"the {mirror.field} header is repeated"
    argument = _at(arguments, mirror.path)
    text = _rendered(argument)
    if text is None:
        return f"the {mirror.field} header has no argument in the body" if values else None
    if not values:
        return f"the {mirror.field} header is missing"
    value = decode_value(values[0])
    if value == text or (value is not None and _same_integer(mirror, argument, value)):
        return None
    return f"the {mirror.field} header does not match the body"


def _at(arguments: Mapping[str, Any], path: tuple[str, ...]) -> object:
    node: object = arguments
    for key in path:
        node = node.get(key) if type(node) is dict else None
    return node


def _rendered(value: object) -> str | None:
    """How a client writes an argument into a field; None where it writes none."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    # The types allowed are integer, string and boolean; `1.0` is an integer too.
    if type(value) is float:
        return str(int(value)) if value.is_integer() and abs(value) <= _SAFE else repr(value)
    return None


def _same_integer(mirror: Mirror, argument: object, text: str) -> bool:
    """`42.0` is `42` where the schema says integer; no other spelling of a number is equal to another."""
    if mirror.type != "integer" or type(argument) not in (int, float):
        return False
    whole, point, fraction = text.partition(".")
    digits = whole.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20) or fraction.strip("0"):
        return False
    # Not `05` nor `-0`: what reads the field on the way might take those for something else.
    return str(int(whole)) == whole and bool(int(whole) == argument) and (not point or fraction != "")
