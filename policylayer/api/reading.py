"""Reads what a request carries, strictly: headers once, declared query parameters, a small JSON body by its schema.

Must not know routes nor people. Messages name fields and what they should be, never what was sent.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

import jsonschema_rs
from starlette.types import Receive

from policylayer.api.problem import Problem
from policylayer.api.route import Parameter
from policylayer.api.schemas import standalone
from policylayer.core import strict_json
from policylayer.core.immutable import immutable
from policylayer.wire.limits import Limits

MAX_BODY: Final = 64 * 1024
MAX_QUERY: Final = 8 * 1024
BODY_LIMITS: Final = Limits(size=MAX_BODY, depth=16, nodes=5_000)


LIKE: Final = {"pattern": "a principal is written like `agent:dev` or `user:ada@example.com`"}
"""What to write instead, by the keyword of the schema that was not met."""


@immutable
class Fields:
    """A request's headers."""

    pairs: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, raw: Iterable[tuple[bytes, bytes]]) -> Fields:
        """From an ASGI scope, where names are in lower case."""
        return cls(tuple(raw))

    def one(self, name: str) -> bytes | None:
        """A header's value; one that is there twice is refused, because readers would differ."""
        found = [value for key, value in self.pairs if key == name.encode()]
        if len(found) > 1:
            raise Problem("bad_request", f"the header `{name}` is there twice")
        return found[0] if found else None

    def has(self, *names: str) -> bool:
        """Whether any of these headers is there."""
        wanted = {name.encode() for name in names}
        return any(key in wanted for key, _ in self.pairs)


def query(raw: bytes, declared: Iterable[Parameter]) -> dict[str, Any]:
    """The query parameters, each as its schema says."""
    if len(raw) > MAX_QUERY:
        raise Problem("bad_parameter", "the query is too long")
    known = {parameter.name: parameter for parameter in declared}
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), errors="strict")
    except ValueError:
        raise Problem("bad_parameter", "the query cannot be read") from None
    for name, text in pairs:
        if name not in known:
            raise Problem("bad_parameter", f"unknown parameter; known are: {', '.join(sorted(known)) or 'none'}")
        if name in values:
            raise Problem("bad_parameter", f"`{name}` is there twice")
        values[name] = _value(known[name], text)
    return values


def row_id(cursor: str | None) -> str | None:
    """A cursor that is the id of a row; one that is none is refused, so that a mistake is no empty page."""
    if cursor is None:
        return None
    try:
        return str(UUID(cursor))
    except ValueError:
        raise Problem("bad_cursor", "the cursor is not one that a page gave") from None


def _value(parameter: Parameter, text: str) -> str | int:
    schema = parameter.schema
    value: str | int = text
    if schema.get("type") == "integer":
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise Problem("bad_parameter", f"`{parameter.name}` must be a whole number")
        value = int(text)
    if "\x00" in text or not jsonschema_rs.is_valid(dict(schema), value, validate_formats=True):
        known = f"one of {', '.join(schema['enum'])}" if "enum" in schema else parameter.about
        raise Problem("bad_parameter", f"`{parameter.name}` is not as it should be: {known}")
    return value


async def body(receive: Receive, headers: Fields, schema: str | None) -> Mapping[str, Any]:
    """The body by the named schema. Where none is named, a body is not read; where one is, it may be left out if empty
    objects fit."""
    if schema is None:
        return {}
    data = await _read(receive)
    if data and _media_type(headers.one("content-type")) != b"application/json":
        raise Problem("unsupported_media_type", "send `Content-Type: application/json`")
    value = strict_json.parse(data, BODY_LIMITS) if data else {}
    if isinstance(value, strict_json.Fault):
        raise Problem("bad_body", value.message)
    return check(value, schema)


def check(value: Any, schema: str) -> Mapping[str, Any]:
    """A value that fits the named schema, or a `Problem`."""
    if (error := next(_validator(schema).iter_errors(value), None)) is not None:
        help = LIKE.get(_keyword(error))
        raise Problem("bad_body", _words(error), extra={"help": help} if help else None)
    assert isinstance(value, dict)
    return value


def _media_type(value: bytes | None) -> bytes:
    return (value or b"").partition(b";")[0].strip().lower()


async def _read(receive: Receive) -> bytes:
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem("bad_request", "the request ended early")
        data += message.get("body", b"")
        if len(data) > MAX_BODY:
            raise Problem("too_large", f"a body may have {MAX_BODY} bytes", headers={"connection": "close"})
        if not message.get("more_body"):
            return bytes(data)


@functools.cache
def _validator(name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(standalone(name), validate_formats=True)


def _words(error: Any) -> str:
    """Where and by which keyword, without what was sent."""
    path = "/".join(str(part)[:40] for part in error.instance_path if not isinstance(part, str) or part.isidentifier())
    return f"the body does not fit its schema at `/{path}` ({_keyword(error)})"


def _keyword(error: Any) -> str:
    return str(error.schema_path[-1]) if error.schema_path else "schema"
