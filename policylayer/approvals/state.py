"""The sealed `requestState` that a client carries between the rounds of one call (2026-07-28).

Two kinds: `waiting` (the approval is pending, this is the n-th poll) and `round` (a released call was answered with
`input_required`; the server's own state is inside). What is sealed opens only for the same caller, server, method,
target and arguments. It is no permission: the row it names is asked again, and its nonce is redeemed once in the
database (`rounds.py`). Must not know messages: `proxy/` splices the text in and out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, field
from hashlib import sha256
from typing import Any, Final, Literal

import orjson

from policylayer.core.call import Call, Caller, Json
from policylayer.core.canonical import canonical
from policylayer.core.immutable import immutable
from policylayer.keys import Keys, text, untext

MARK: Final = "pls1."
"""Begins every state of ours, so that it is not taken for a server's own."""

LIMIT: Final = 1_048_576
"""Characters of a state that are looked at; the wire's own limit on a message is lower."""


@immutable
class RequestState:
    """What a client carries. `expires_us` is when it stops being accepted, whatever the row says.

    `parent` is the row that forwarded the round before. `rules` are the hold rules that its approval satisfied.
    `asked` are the keys of the server's `inputRequests`, `asked_digest` is of their content.
    """

    kind: Literal["waiting", "round"]
    number: int
    nonce: str
    expires_us: int
    approval_id: str | None = None
    parent: str | None = None
    rules: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    asked_digest: str | None = None
    upstream_state: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def covers(self, responses: Collection[str]) -> bool:
        """Whether the keys of these `inputResponses` are exactly those that were asked for."""
        return set(responses) == set(self.asked)


def asked_digest(requests: Mapping[str, Json]) -> str:
    """The digest of what a server asked, keys and content."""
    return text(sha256(canonical(dict(requests))).digest())


def seal(keys: Keys, state: RequestState, caller: Caller, call: Call) -> str:
    """The text that the client is to send back."""
    plain = orjson.dumps(asdict(state))
    return MARK + text(keys.seal(plain, _context(caller, call)))


def open_state(keys: Keys, sealed: str, caller: Caller, call: Call, now_us: int) -> RequestState | None:
    """What was sealed for this caller and this call and is not over; None for anything else."""
    if not sealed.startswith(MARK) or len(sealed) > LIMIT:
        return None
    data = untext(sealed[len(MARK) :])
    plain = keys.open(data, _context(caller, call)) if data is not None else None
    if plain is None:
        return None
    state = _read(orjson.loads(plain))
    return state if state.expires_us > now_us else None


def is_ours(value: object) -> bool:
    """Whether a `requestState` looks like one of ours; says nothing about its being valid."""
    return isinstance(value, str) and value.startswith(MARK)


def _read(values: dict[str, Any]) -> RequestState:
    return RequestState(**{**values, "rules": tuple(values["rules"]), "asked": tuple(values["asked"])})


def _context(caller: Caller, call: Call) -> bytes:
    """Everything that must be the same in the next round. `inputResponses` are not: they are the answer."""
    user = caller.on_behalf_of
    return canonical(
        [
            "request state",
            caller.subject.id,
            user.id if user else None,
            caller.grant.id if caller.grant else None,
            call.server,
            call.method,
            call.target,
            text(call.asked_digest),
        ]
    )
