"""What a hold rule demands, as JSON in an approval's row and back.

Must not know how a rule came to match (`policy/`) nor who meets the demand (`voters.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import orjson

from policylayer.core.decision import Charge, HoldRule, RuleRef


def dumps(rules: Iterable[HoldRule], limited: Collection[str] = (), exceeds: Iterable[Charge] = ()) -> str:
    """The rules as one line of JSON. `limited` are the names of those with a limit that asks for approval; `exceeds`
    the limits that approvers are told of."""
    told: dict[str, list[str]] = {}
    for charge in exceeds:
        if charge.hold is not None:
            told.setdefault(charge.rule.name, []).append(charge.counter)
    return orjson.dumps(
        [
            {**_plain(rule), "limited": rule.ref.name in limited, "exceeds": sorted(set(told.get(rule.ref.name, ())))}
            for rule in rules
        ]
    ).decode()


def loads(line: str) -> tuple[HoldRule, ...]:
    """The rules of a row."""
    return tuple(_rule(each) for each in orjson.loads(line))


def limited(line: str) -> frozenset[str]:
    """The names of the rules of a row that have a limit which asks for approval."""
    return frozenset(_rule(each).ref.name for each in orjson.loads(line) if each["limited"])


def exceeds(line: str) -> frozenset[str]:
    """The limits that this row's approvers are told of."""
    return frozenset(counter for each in orjson.loads(line) for counter in each["exceeds"])


def limits_that_hold(charges: Iterable[Charge]) -> frozenset[str]:
    """The names of the rules whose limits, where exceeded, ask for approval."""
    return frozenset(charge.rule.name for charge in charges if charge.hold is not None)


def expiry_us(rules: Iterable[HoldRule], now_us: int, default_s: int) -> int:
    """When an approval of these rules is over: the shortest time that any of them gives."""
    return now_us + 1_000_000 * min(default_s if rule.expires is None else rule.expires for rule in rules)


def _plain(rule: HoldRule) -> dict[str, Any]:
    return {
        "policy": rule.ref.policy,
        "rule": rule.ref.rule,
        "file": rule.ref.file,
        "line": rule.ref.line,
        "approvers": list(rule.approvers),
        "quorum": rule.quorum,
        "expires": rule.expires,
        "note_required": rule.note_required,
        "each_round": rule.each_round,
        "bound": list(rule.bound),
    }


def _rule(plain: dict[str, Any]) -> HoldRule:
    return HoldRule(
        RuleRef(plain["policy"], plain["rule"], plain["file"], plain["line"]),
        tuple(plain["approvers"]),
        plain["quorum"],
        plain["expires"],
        plain["note_required"],
        plain["each_round"],
        tuple(plain["bound"]),
    )
