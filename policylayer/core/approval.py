"""Pure: the states of an approval and what may happen in each, as data first.

Must not know who may vote or how a transition is stored (`approvals/`). Every transition elsewhere is one conditional
update whose `WHERE state = ...` comes from this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where an approval stands. The last four are final."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CONSUMED = "consumed"


class Move(StrEnum):
    """What may happen to an approval."""

    APPROVE = "approve"
    DENY = "deny"
    EXPIRE = "expire"
    CANCEL = "cancel"
    CONSUME = "consume"


TRANSITIONS: Final[dict[State, dict[Move, State]]] = {
    State.PENDING: {
        Move.APPROVE: State.APPROVED,
        Move.DENY: State.DENIED,
        Move.EXPIRE: State.EXPIRED,
        Move.CANCEL: State.CANCELLED,
    },
    State.APPROVED: {
        Move.CONSUME: State.CONSUMED,
        Move.EXPIRE: State.EXPIRED,
        Move.CANCEL: State.CANCELLED,
    },
    State.DENIED: {},
    State.EXPIRED: {},
    State.CANCELLED: {},
    State.CONSUMED: {},
}


def after(state: State, move: Move) -> State | None:
    """The state that `move` leads to, or None where it is not allowed."""
    return TRANSITIONS[state].get(move)


def sources(move: Move) -> tuple[State, ...]:
    """The states from which `move` is allowed."""
    return tuple(state for state, moves in TRANSITIONS.items() if move in moves)
