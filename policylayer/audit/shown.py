"""A row of the decision log, as far as it is legible (`legible.py`), as it is shown outside (docs/interface.md). Must
not know the database.

What a call came to is told by other rows: its outcome, or the row that released it. A call that was refused was never
sent, which no row needs to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import orjson

from policylayer.audit.legible import DAMAGED
from policylayer.core.commands import Kind, OutcomeState
from policylayer.core.decision import Effect, ReasonCode
from policylayer.policy.times import EPOCH

Stored = Mapping[Any, Any]
CALLS: Final = (Kind.DECISION.value, Kind.ROUND.value, Kind.RELEASE.value)
CODES: Final = frozenset(map(str, ReasonCode))
NAMES: Final = {"time_us": "time", "on_behalf_of": "for", "grant_id": "grant"}
"""Columns that are shown under another name."""


@dataclass(slots=True)
class Family:
    """Rows by their parent: `outcomes`, one each, and `calls` (releases, and holds anew), in order."""

    outcomes: dict[str, Stored] = field(default_factory=dict)
    calls: dict[str, list[Stored]] = field(default_factory=dict)

    def add(self, row: Stored) -> bool:
        """Take a row in; whether it is a call, and may have children itself."""
        if row["kind"] == Kind.OUTCOME.value:
            self.outcomes.setdefault(row["parent"], row)
            return False
        if row["kind"] not in CALLS:
            return False
        self.calls.setdefault(row["parent"], []).append(row)
        return True

    def last(self, row: Stored) -> Stored:
        """The row that says what a call came to: of a held one, the last of those that went on with it."""
        passed = set()
        while row["id"] not in self.outcomes and row["enforced"] == Effect.REQUIRE_APPROVAL.value:
            passed.add(row["id"])
            further = self.calls.get(row["id"], ())
            if not further or further[-1]["id"] in passed:  # a damaged row may be its own parent
                break
            row = further[-1]
        return row


def decision_json(row: Stored, family: Family) -> dict[str, Any]:
    """A decision, round or release, with what it came to."""
    outcome = family.outcomes.get(row["id"])
    split = {
        "decide_us": row["decide_us"],
        "record_us": outcome["record_us"] if outcome else None,
        "upstream_us": outcome["upstream_us"] if outcome else None,
    }
    ours = [split["decide_us"], split["record_us"]]
    return {
        "id": row["id"],
        "kind": row["kind"],
        "parent": row["parent"],
        "time": moment(row["time_us"]),
        "principal": row["principal"],
        "for": row["on_behalf_of"],
        "grant": row["grant_id"],
        "server": row["server"],
        "method": row["method"],
        "target": row["target"],
        "effect": row["effect"],
        "enforced": row["enforced"],
        "would": row["would"],
        "reason_code": row["reason_code"],
        "told": told(row, outcome),
        "reason": row["reason"],
        "rules": row["rules"] or [],
        "observed": row["observed"] or [],
        "revision": row["revision"],
        "arguments": row["arguments"],
        "arguments_mode": row["arguments_mode"],
        "input": row["input"],
        "digest": row["digest"],
        "approval_id": row["approval_id"],
        "session": row["session"],
        "protocol": row["protocol"],
        "client": row["client"],
        "ip": row["ip"],
        "labels": row["labels"] or [],
        "charges": row["charges"] or [],
        "detail": _detail(row, outcome),
        "outcome": outcome_json(row, family),
        "latency_us": sum(part for part in ours if part is not None) if any(p is not None for p in ours) else None,
        "latency": split,
        "chain": row["chain"],
        "seq": row["seq"],
    }


def told(row: Stored, outcome: Stored | None) -> str | None:
    """The reason code that the agent was told of this row: of a hold, how it ended. None: its call was let through, or
    is held, or went on in another row."""
    if row["enforced"] == Effect.DENY.value:
        return row["reason_code"] if row["reason_code"] in CODES else None
    held = row["enforced"] == Effect.REQUIRE_APPROVAL.value
    return outcome["reason"] if held and outcome is not None and outcome["reason"] in CODES else None


def outcome_json(row: Stored, family: Family) -> dict[str, Any] | None:
    """What a row came to; None: nothing yet. A held call that was released came to what its release did."""
    row = family.last(row)
    outcome = family.outcomes.get(row["id"])
    if outcome is not None:
        return {
            "state": outcome["state"],
            "at": moment(outcome["time_us"]),
            "latency_us": outcome["upstream_us"],
            "size": outcome["size"],
            "is_error": bool(outcome["is_error"]),
            "reason": outcome["reason"],
            "digest": outcome["result_digest"],
        }
    if row["enforced"] == Effect.DENY.value:
        return {"state": OutcomeState.NEVER_SENT.value, "at": moment(row["time_us"]), "latency_us": 0}
    return None


def event_json(row: Stored) -> dict[str, Any]:
    """An event."""
    return {
        "id": row["id"],
        "kind": row["kind"],
        "time": moment(row["time_us"]),
        "type": row["reason_code"],
        "actor": row["principal"],
        "detail": _detail(row),
        "chain": row["chain"],
        "seq": row["seq"],
    }


def _detail(row: Stored, outcome: Stored | None = None) -> dict[str, Any]:
    """What the other columns have no place for, and what of the row and of its outcome is damaged."""
    damaged = [NAMES.get(name, name) for name in row[DAMAGED]]
    damaged += [f"outcome.{NAMES.get(name, name)}" for name in outcome[DAMAGED]] if outcome else []
    detail: dict[str, Any] = row["detail"] or {}
    return {**detail, "damaged": damaged} if damaged else detail


def moment(time_us: int) -> str:
    """A time as RFC 3339 in UTC, to the microsecond."""
    return (EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def loaded(text: str | None) -> Any:
    """The value of a JSON column."""
    return None if text is None else orjson.loads(text)
