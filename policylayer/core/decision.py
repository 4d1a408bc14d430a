"""Pure: the answer to a question - effect, reason, matched rules, obligations.

Must not know how it was reached (`policy/decide.py`, `rego/`) nor what is done with it (`mediate.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from policylayer.core.immutable import immutable


class Effect(StrEnum):
    """What policy says of a call."""

    ALLOW = "allow"
    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"


class ReasonCode(StrEnum):
    """Why, as a closed list (interface.md). The first four are a policy's; the others the proxy's."""

    RULE = "rule"
    NOT_APPLICABLE = "not_applicable"
    INDETERMINATE = "indeterminate"
    OVER_LIMIT = "over_limit"
    PENDING = "pending"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    REJECTED = "rejected"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_METHOD = "unknown_method"
    FROZEN = "frozen"
    ENGINE_ERROR = "engine_error"
    AUDIT_UNAVAILABLE = "audit_unavailable"


Retry = Literal["never", "same_call", "changed", "after"]


@immutable
class RuleRef:
    """Where a rule stands: `file` is relative to the policy folder, `line` counts from 1."""

    policy: str
    rule: str
    file: str
    line: int

    @property
    def name(self) -> str:
        """The rule's name everywhere: `policy/rule`."""
        return f"{self.policy}/{self.rule}"


@immutable
class HoldRule:
    """What one matching require_approval rule asks for. `expires` is in seconds; None: the configured default.

    `approvers` are `group:x`, principals, `on_behalf_of`, `owner`; empty: anyone with the approver role. `bound` are
    arguments that say what is called, where an inner call is held: a standing permission is for their values only.
    """

    ref: RuleRef
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    expires: int | None = None
    note_required: bool = False
    each_round: bool = False
    bound: tuple[str, ...] = ()


@immutable
class Charge:
    """One counter that a call charges when it is forwarded.

    `counter` is `policy/limit` or `policy/rule#n`; `key` the canonical text of its `by` values; `window` seconds.
    `private`: some of these come from the call itself, so that the key is kept as a keyed digest.
    `hold` is the rule's own approval where the limit says `over: require_approval`, else None (over is a denial).
    Charges of one decision with equal `counter` and `key` are one counter that several rules name: it is charged once.
    """

    counter: str
    key: str
    amount: Decimal
    max: Decimal
    window: int
    rule: RuleRef
    hold: HoldRule | None = None
    private: bool = False

    @property
    def permission(self) -> str:
        """What stands among the satisfied rules where those who approved were told that this limit is exceeded."""
        return permission(self.counter)


def permission(counter: str) -> str:
    """`Charge.permission` of a counter's name; no rule has such a name."""
    return f"limit {counter}"


@immutable
class Mask:
    """One mask on results: a JSON path (with `*`, `**`), a named pattern, or an RE2 expression."""

    path: str | None = None
    pattern: str | None = None
    regex: str | None = None


@immutable
class Obligations:
    """What the proxy must also do. `redact` are argument paths of the record; the others concern result or grant.

    `cap` is a result's size in bytes; `earn` maps a label to seconds.
    """

    redact: tuple[str, ...] = ()
    mask: tuple[Mask, ...] = ()
    cap: int | None = None
    label: frozenset[str] = frozenset()
    earn: Mapping[str, int] = field(default_factory=dict)


@immutable
class Inner:
    """What policy says of one call inside a call: the tool that it is of, and why."""

    target: str
    effect: Effect
    reason_code: ReasonCode
    rules: tuple[RuleRef, ...] = ()


@immutable
class Decision:
    """What policy says of one question, and what the proxy is to enforce.

    `effect` is what policy says; `enforced` what is done: the same, but allow on a server in observe mode.
    `would` is what files in observe mode would have made of it (None: the same). `rules` are as the policy language's
    test section lists them. `reason` is one line for the record; `fields` the erring or unmet fields it names;
    `said` are the lines the agent reads between "Refused" and "Retry"; `retry_after` is in seconds. `inner` tells of
    the calls inside a meta-tool's, which are part of all the rest.
    """

    effect: Effect
    reason_code: ReasonCode
    enforced: Effect
    revision: str
    reason: str = ""
    rules: tuple[RuleRef, ...] = ()
    observed: tuple[RuleRef, ...] = ()
    would: Effect | None = None
    holds: tuple[HoldRule, ...] = ()
    charges: tuple[Charge, ...] = ()
    obligations: Obligations = Obligations()
    fields: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    retry: Retry = "never"
    retry_after: int | None = None
    inner: tuple[Inner, ...] = ()
