"""What an approval is bound to: which call, by which key it is found again, and how its arguments are sealed.

The sealed arguments open only together with the row's own columns, so a row that was altered in the database does not
open, and is refused. Must not know the database (`rows.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from policylayer.core.call import Call, Caller, Json
from policylayer.core.canonical import canonical
from policylayer.core.immutable import immutable
from policylayer.keys import Keys, text, untext

SEALED_WITH: Final = (
    "id",
    "call_key",
    "created_us",
    "expires_us",
    "principal",
    "on_behalf_of",
    "grant_id",
    "server",
    "method",
    "target",
    "digest",
    "rules",
    "satisfied",
)
"""The columns that never change in an approval's life."""


@immutable
class Kept:
    """What was sealed: the arguments as the agent sent them, and the digest that they were judged by."""

    digest: bytes
    arguments: Mapping[str, Json]
    input: Mapping[str, Json]


def stored_digest(keys: Keys, call: Call) -> str:
    """The digest as rows keep it."""
    return text(keys.digest(call.digest))


def call_keys(keys: Keys, caller: Caller, call: Call) -> tuple[str, ...]:
    """The key under which identical calls find one approval; the current one first, then those before a rotation."""
    user = caller.on_behalf_of
    bound = canonical(
        [
            "approval",
            caller.subject.id,
            user.id if user else None,
            call.server,
            call.method,
            call.target,
            text(call.digest),
        ]
    )
    return tuple(text(each) for each in keys.digests(bound))


def seal_arguments(keys: Keys, call: Call, row: Mapping[str, Any]) -> bytes:
    """The arguments, sealed with the row that they are to be kept in."""
    plain = orjson.dumps([text(call.digest), dict(call.arguments), dict(call.input)])
    return keys.seal(plain, _context(row))


def open_arguments(keys: Keys, row: Mapping[str, Any]) -> Kept | None:
    """What was sealed, or None where row, content and digest do not belong together any more."""
    sealed = row["arguments_sealed"]
    plain = keys.open(sealed, _context(row)) if isinstance(sealed, bytes) else None
    if plain is None:
        return None
    digest, arguments, responses = orjson.loads(plain)
    raw = untext(digest) or b""
    if row["digest"] not in {text(each) for each in keys.digests(raw)}:
        return None
    return Kept(raw, arguments, responses)


def _context(row: Mapping[str, Any]) -> bytes:
    return canonical(["approval arguments", *(row[name] for name in SEALED_WITH)])
