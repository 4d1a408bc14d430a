"""An approval as the API, the command line and the console show it: the JSON of the interface.

Approvers see the arguments as the agent sent them, while the approval is live. Must not know who asks: the API's role
table says who may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from policylayer.approvals import rows, waiver_rows, waivers
from policylayer.approvals.binding import open_arguments
from policylayer.approvals.rows import LIVE, Row
from policylayer.core.approval import State
from policylayer.core.decision import HoldRule
from policylayer.core.immutable import immutable
from policylayer.core.instants import when
from policylayer.core.satisfied import names
from policylayer.keys import Keys


@immutable
class Shown:
    """One approval with what is needed to show it: its votes, and the waivers that stand by it."""

    row: Row
    votes: Sequence[Row]
    waivers: Sequence[Row]


def view(keys: Keys, shown: Shown, waiters: int, now_us: int) -> dict[str, Any]:
    """The JSON of one approval."""
    row = shown.row
    state = rows.state_at(row, now_us)
    rules = rows.rules_of(row)
    waivable = [rule.ref.name for rule in waivers.waivable(row, rules)]
    kept = open_arguments(keys, row) if state in LIVE else None
    redacted = orjson.loads(row["arguments"]) if row["arguments"] else None
    return {
        "id": row["id"],
        "state": str(state),
        "created_at": when(row["created_us"]),
        "expires_at": when(row["expires_us"]),
        "principal": row["principal"],
        "for": row["on_behalf_of"],
        "grant": row["grant_id"],
        "server": row["server"],
        "method": row["method"],
        "target": row["target"],
        "arguments": kept.arguments if kept else redacted,
        "arguments_complete": kept is not None,
        "input": kept.input if kept and kept.input else None,
        "altered": state in LIVE and kept is None,
        "digest": row["digest"],
        "rules": [{**_rule(rule, shown.votes), "waivable": rule.ref.name in waivable} for rule in rules],
        "exceeds": sorted(rows.exceeded_of(row)),
        "satisfied": sorted(names(rows.carried_of(row))),
        "approvers": _approvers(rules),
        "quorum": max((rule.quorum for rule in rules), default=1),
        "note_required": any(rule.note_required for rule in rules),
        "votes": [_vote(vote) for vote in shown.votes],
        "waivers": [waiver_rows.view(waiver) for waiver in shown.waivers],
        "waiters": waiters,
        **_course(row, state),
    }


def _course(row: Row, state: State) -> dict[str, Any]:
    """How it went so far."""
    return {
        "note": row["note"],
        "decided_at": when(row["decided_us"]),
        "decided_by": row["decided_by"],
        "consumed_at": when(row["consumed_us"]),
        "consumed_by": row["consumed_by"],
        "reason": row["reason"],
        "revision": row["revision"],
        "decision_id": row["record_id"],
        "round": row["round"],
        "client": row["client"],
        "ip": row["ip"],
    }


def _rule(rule: HoldRule, votes: Iterable[Row]) -> dict[str, Any]:
    name = rule.ref.name
    approved = [v["principal"] for v in votes if v["decision"] == "approve" and name in orjson.loads(v["rules"])]
    return {
        "policy": rule.ref.policy,
        "rule": rule.ref.rule,
        "file": rule.ref.file,
        "line": rule.ref.line,
        "approvers": list(rule.approvers),
        "quorum": rule.quorum,
        "note_required": rule.note_required,
        "approved_by": approved,
    }


def _approvers(rules: Iterable[HoldRule]) -> list[str]:
    """Everyone that some rule names; empty where anyone with the approver role may."""
    return sorted({each for rule in rules for each in rule.approvers})


def _vote(vote: Row) -> dict[str, Any]:
    return {
        "principal": vote["principal"],
        "decision": vote["decision"],
        "note": vote["note"],
        "at": when(vote["time_us"]),
        "rules": orjson.loads(vote["rules"]),
    }
