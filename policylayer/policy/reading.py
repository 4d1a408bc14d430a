"""Pure: which arguments rules look at: for a record that keeps no more than that, and for replaying from it."""

from __future__ import annotations

from collections.abc import Iterable

from policylayer.core.call import Call
from policylayer.policy.ast import Path
from policylayer.policy.rules import CompiledRule, Selector
from policylayer.policy.values import UNKNOWN_ROOTS


def argument_paths(rules: Iterable[CompiledRule], call: Call) -> frozenset[Path]:
    """The paths under `args` and `input` that the rules read of a call to this server, method and target."""
    found: set[Path] = set()
    for rule in rules:
        if rule.selector.target.truth(call) is False:
            continue
        found |= _read_by(rule.selector)
        for block in rule.excepts:
            if _may_excuse(block, call):
                found |= _read_by(block)
        for limit in rule.limits:
            found |= limit.reads
    return frozenset(path for path in found if path[0] in UNKNOWN_ROOTS)


def _may_excuse(block: Selector, call: Call) -> bool:
    if block.servers is not None and not block.servers.match(call.server):
        return False
    return block.target.truth(call) is not False


def _read_by(selector: Selector) -> frozenset[Path]:
    return selector.when.reads if selector.when is not None else frozenset()
