"""Pure: how a hold that was not released is told: reason code, effect, and whether a retry helps.

A person's "no" stands for the same call until the approval expires. One that was withdrawn or cancelled has no answer:
the same call opens another. What ended because the caller lost its right is told as that loss and not as anyone's
answer, whichever of the two was noticed first. Must not know who ended it (`approvals/`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from policylayer.core.decision import Decision, Effect, ReasonCode, Retry

WITHDRAWN: Final = "the request for approval was withdrawn"
CANCELLED: Final = "the request for approval was cancelled"
"""Reasons that are told in their own words; a rule's reason never reads like them."""

ENDINGS: Final[dict[str, tuple[ReasonCode, Retry, str | None]]] = {
    "denied": (ReasonCode.APPROVAL_DENIED, "never", None),
    "withdrawn": (ReasonCode.APPROVAL_DENIED, "same_call", WITHDRAWN),
    "cancelled": (ReasonCode.APPROVAL_DENIED, "same_call", CANCELLED),
    "expired": (ReasonCode.APPROVAL_EXPIRED, "same_call", None),
    "pending": (ReasonCode.PENDING, "same_call", None),
    "gone": (ReasonCode.PENDING, "same_call", None),
}
"""By the state of `Waited`; the reason is the rule's own where none is given."""

LOST: Final[dict[str, tuple[ReasonCode, str]]] = {
    "frozen": (ReasonCode.FROZEN, "frozen while it waited for approval"),
    "revoked": (ReasonCode.UNAUTHENTICATED, "the credential is no longer valid"),
}
"""Where the right to call ended while the call waited: what it would be told if it came now."""


def ended(decision: Decision, state: str) -> Decision:
    """What the caller of a held call is told, by how its wait ended."""
    if state in LOST:
        lost, why = LOST[state]
        return Decision(Effect.DENY, lost, Effect.DENY, decision.revision, reason=why)
    code, retry, reason = ENDINGS.get(state, ENDINGS["pending"])
    told = replace(decision, enforced=Effect.DENY, reason_code=code, retry=retry)
    return told if reason is None else replace(told, reason=reason)
