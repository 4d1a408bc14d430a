"""Pure: what `mediate` asks of the shell, and what the shell answers.

The counterpart is `proxy/perform.py`, which does each of these and nothing else; neither side knows the other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

from policylayer.core.decision import Decision, ReasonCode
from policylayer.core.immutable import immutable


class Kind(StrEnum):
    """Row kinds of the decision log."""

    DECISION = "decision"
    ROUND = "round"
    RELEASE = "release"
    OUTCOME = "outcome"
    EVENT = "event"


class OutcomeState(StrEnum):
    """How a forwarded call ended. `never_sent`: the server saw no byte of it; `unknown`: it may have run."""

    EXECUTED = "executed"
    FAILED = "failed"
    UPSTREAM_REFUSED = "upstream_refused"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    NEVER_SENT = "never_sent"


@immutable
class Round:
    """A verified retry of a released call that the server answered with `input_required`.

    `approval_id` is None where no approval was needed; `rules` are the hold rules that it satisfied; `number` counts
    from 1; `nonce` is redeemed once, in the transaction that writes the row.
    """

    parent: str
    number: int
    nonce: str
    approval_id: str | None = None
    rules: frozenset[str] = frozenset()


# --- commands ---------------------------------------------------------------------------------------------------------


@immutable
class Decide:
    """Ask policy. `approved`: hold rules that are satisfied. Reply: `Decision` or `Undecided`."""

    approved: frozenset[str] = frozenset()


@immutable
class Seek:
    """Look for what is already known of this exact call's approval. Reply: `Found` or None."""

    decision: Decision


@immutable
class Record:
    """Write one row durably, with all that must happen in its transaction, or not at all.

    `charge`: reserve the decision's limits. `consume`: the approval that this row uses up. `redeem`: the round.
    `hold`: open or join the approval of this call. `approved`: the hold rules already satisfied, which a new approval
    keeps, and whose limits may be charged beyond their maximum. `approval_id`: the approval that a denial stands on.
    Reply: `Recorded` (with the approval's id where `hold`), `OverLimit`, `AlreadyConsumed` or `Unrecorded`. In the
    middle two a denial or nothing has been written, as each says.
    """

    kind: Kind
    decision: Decision
    parent: str | None = None
    charge: bool = False
    consume: str | None = None
    redeem: Round | None = None
    hold: bool = False
    approved: frozenset[str] = frozenset()
    approval_id: str | None = None


@immutable
class Hold:
    """Keep the call until its approval is settled or its waiting time is over. Reply: `Waited`."""

    approval_id: str
    decision: Decision


@immutable
class Forward:
    """Send the judged bytes, relay what comes back. Reply: `Outcome`. At most once per call.

    `approval_id` is the approval behind it, if any; `rules` the hold rules that later rounds may count as satisfied.
    """

    row_id: str
    decision: Decision
    approval_id: str | None = None
    rules: frozenset[str] = frozenset()


@immutable
class RecordOutcome:
    """Write how the forwarded row ended. Reply: `Recorded` or `Unrecorded`; the answer has already left."""

    row_id: str
    outcome: Outcome
    decision: Decision


Command: TypeAlias = "Decide | Seek | Record | Hold | Forward | RecordOutcome"


# --- replies ----------------------------------------------------------------------------------------------------------


@immutable
class Undecided:
    """No decision could be had: the engine failed or ran out of time."""

    reason_code: ReasonCode = ReasonCode.ENGINE_ERROR
    reason: str = "the policy engine failed"


@immutable
class Found:
    """An approval of exactly this call that is not over: approved and unused, pending, or denied, not expired.

    `approval_id` is None where waivers, which were used already, satisfied `rules`.
    """

    approval_id: str | None
    state: Literal["pending", "approved", "denied"]
    rules: frozenset[str] = frozenset()
    note: str | None = None


@immutable
class Waived:
    """A waiver that was used for this call: the hold rule that it satisfies, which one, the approval behind it, and
    what the rule asks (`satisfied.demand`)."""

    rule: str
    waiver_id: str
    approval_id: str
    demand: str


@immutable
class Recorded:
    """The row is durable."""

    row_id: str
    approval_id: str | None = None


@immutable
class OverLimit:
    """A limit would be exceeded. `decision` says so (a denial, or a hold); nothing was charged.

    A denial has been written as the row `row_id`; a hold has not been written yet (`row_id` is None).
    """

    decision: Decision
    row_id: str | None = None


@immutable
class AlreadyConsumed:
    """Someone else used the approval, or this round, first; nothing was written."""

    what: Literal["approval", "round"] = "approval"


@immutable
class Unrecorded:
    """The row could not be made durable, so nothing may happen."""

    reason: str = "the decision log cannot be written"


@immutable
class Waited:
    """How a hold ended. `gone`: the client went away (its wait ends, the approval stays). An approval that was
    cancelled was `withdrawn` by an operator, ended with a right (`frozen`, `revoked`), or `cancelled` otherwise."""

    state: Literal["approved", "denied", "expired", "withdrawn", "frozen", "revoked", "cancelled", "pending", "gone"]
    approval_id: str
    rules: frozenset[str] = frozenset()
    note: str | None = None


@immutable
class Outcome:
    """What became of a forwarded call. Latencies in microseconds, sizes in bytes; `digest` of the result as relayed.

    `succeeded`: this was its end, and nothing says that it failed; an answer that asks back, or a task, is no end.
    """

    state: OutcomeState
    detail: str = ""
    upstream_us: int = 0
    size: int = 0
    is_error: bool = False
    digest: bytes | None = None
    succeeded: bool = False

    def after(self, upstream_us: int) -> Outcome:
        """The same, having taken so long."""
        return Outcome(self.state, self.detail, upstream_us, self.size, self.is_error, self.digest, self.succeeded)


# --- verdicts ---------------------------------------------------------------------------------------------------------


@immutable
class Relayed:
    """The answer has been relayed, or the server's failure told."""

    row_id: str
    outcome: Outcome


@immutable
class Refused:
    """Policy (or a person) said no, or the answer is still pending: told to the agent as such."""

    decision: Decision
    row_id: str
    approval_id: str | None = None
    note: str | None = None


@immutable
class Unavailable:
    """Could not decide, or could not record: 503, and why."""

    reason_code: ReasonCode
    reason: str
    row_id: str | None = None


Verdict: TypeAlias = "Relayed | Refused | Unavailable"
