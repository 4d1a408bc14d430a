"""Pure: which hold rules are satisfied, as a set of texts that travels with a call from its approvers to policy.

It holds the rules' names, and beside each what it asked of approvers then (`demand`). So a rule that asks for something
else by now, or another one that bears the same name, is not satisfied by what people said of the first. A name without
any demand (in a test, in a recorded row) stands for whatever the rule asks. Limits that may be exceeded stand there too
(`decision.permission`). Must not know who approves (`approvals/`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import orjson

from policylayer.core.decision import HoldRule

_DEMAND: Final = "demand "
"""What begins a demand; no rule has such a name."""


def asks(rule: HoldRule) -> str:
    """The digest of what a rule asks of approvers, wherever it stands in its file, and whichever call it is about."""
    asked = [sorted(rule.approvers), rule.quorum, rule.note_required, rule.each_round]
    return sha256(orjson.dumps(asked)).hexdigest()


def demand(rule: HoldRule) -> str:
    """The rule and what it asks, as it stands in the set."""
    return f"{_DEMAND}{rule.ref.name} {asks(rule)}"


def by_these(rules: Iterable[HoldRule]) -> frozenset[str]:
    """What stands for these rules, satisfied as they are."""
    return frozenset(text for rule in rules for text in (rule.ref.name, demand(rule)))


def is_satisfied(name: str, hold: HoldRule | None, satisfied: frozenset[str]) -> bool:
    """Whether a rule of this name, which asks for that, is satisfied."""
    if name not in satisfied:
        return False
    if hold is None or demand(hold) in satisfied:
        return True
    begins = f"{_DEMAND}{name} "
    return not any(text.startswith(begins) for text in satisfied)


def without(satisfied: frozenset[str], names: Iterable[str]) -> frozenset[str]:
    """What is left when these rules are not satisfied any more."""
    gone = set(names)
    begins = tuple(f"{_DEMAND}{name} " for name in gone)
    return frozenset(text for text in satisfied if text not in gone and not text.startswith(begins))


def names(satisfied: Iterable[str]) -> frozenset[str]:
    """For people and rows: without the demands."""
    return frozenset(text for text in satisfied if not text.startswith(_DEMAND))
