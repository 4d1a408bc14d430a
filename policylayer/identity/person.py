"""A person who administers or approves: principal, role, and which token says so.

Must not know which route needs which role (`api/`) nor how tokens are kept (`tokens.py`).
"""

from __future__ import annotations

from enum import StrEnum

from policylayer.core.immutable import immutable


class Role(StrEnum):
    """What a person may do; each may all that those before it may."""

    VIEWER = "viewer"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role is at least `needed`."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@immutable
class Person:
    """Who presented a token."""

    principal: str
    role: Role
    token_id: str
