"""The calls that the demo's scripted agent makes. Must not know how they are made (`demo_agent.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policylayer.core.immutable import immutable


@immutable
class Call:
    """One tool call."""

    about: str
    tool: str
    arguments: Mapping[str, Any]


@immutable
class Result:
    """What the agent reads; `pending`: nobody has answered yet, and the same call may be made again."""

    text: str
    pending: bool = False


CALLS: Final = (
    Call("a small refund", "create_refund", {"order": "ord_1", "amount": 20, "note": "arrived damaged"}),
    Call("deleting a customer", "delete_customer", {"id": "cus_1"}),
)
"""Allowed, and denied."""

HELD: Final = Call("a large refund", "create_refund", {"order": "ord_2", "amount": 900, "note": "never arrived"})
