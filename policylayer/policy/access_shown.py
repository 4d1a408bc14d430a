"""Pure: access, and what changes in it, as JSON and as lines for people.

People see alike principals together, and alike tools: the table of a hundred agents in one group is one table. Must not
know how access is found (`access`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from policylayer.policy import names
from policylayer.policy.access import Access, Reason
from policylayer.policy.access_diff import Difference

NO_RULE: Final = "no rule"
SAID: Final = 100
"""Of what a rule asks, in a table."""
WIDTH: Final = 28
"""Of the names of tools, where they are not longer."""


def as_json(access: Access) -> dict[str, Any]:
    """One cell."""
    cell = access.cell
    return {
        "principal": cell.principal,
        "for": cell.user,
        "server": cell.server,
        "tool": cell.tool,
        "pattern": any(name is not None and names.is_glob(name) for name in _names(access)),
        "access": access.word,
        "effects": sorted(map(str, access.effects)),
        "depends_on": list(access.fields),
        "rules": [_reason(each) for each in access.reasons],
        "otherwise": "deny" if access.otherwise else None,
        "rego": list(access.rego),
        "observed": access.observed,
    }


def _names(access: Access) -> tuple[str | None, ...]:
    cell = access.cell
    return cell.principal, cell.user, cell.server, cell.tool


def _reason(reason: Reason) -> dict[str, Any]:
    ref = reason.ref
    return {
        "policy": ref.policy,
        "rule": ref.rule,
        "file": ref.file,
        "line": ref.line,
        "effect": str(reason.effect),
        "certain": reason.certain,
        "limits": list(reason.limits),
        "says": reason.said,
    }


def difference_json(found: Difference) -> dict[str, Any]:
    """One change."""
    before, after = as_json(found.before), as_json(found.after)
    names_of = {name: after[name] for name in ("principal", "for", "server", "tool", "pattern")}
    kept = ("access", "effects", "depends_on", "rules", "otherwise", "rego")
    return {
        **names_of,
        "kind": found.kind,
        "direction": found.direction,
        "before": {name: before[name] for name in kept},
        "after": {name: after[name] for name in kept},
    }


# --- lines ------------------------------------------------------------------------------------------------------------


def lines(found: Iterable[Access]) -> Iterator[str]:
    """Who may do what, principal by principal."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for (principal, user), of_one in groupby(found, lambda each: (each.cell.principal, each.cell.user)):
        table = tuple(_table(list(of_one)))
        tables.setdefault(table, []).append(f"{principal}{f' for {user}' if user else ''}")
    for number, (table, who) in enumerate(tables.items()):
        if number:
            yield ""
        yield ", ".join(who)
        yield from table


def _table(found: Sequence[Access]) -> Iterator[str]:
    """One principal's access, server by server, alike tools together."""
    if not any(each.is_open or each.reasons or each.observed for each in found):
        yield f"  nothing: {NO_RULE} is about {'this tool' if len(found) == 1 else f'any of these {len(found)} tools'}"
        return
    for server, of_server in groupby(found, lambda each: each.cell.server):
        alike: dict[object, list[Access]] = {}
        for each in of_server:
            alike.setdefault((each.word, each.fields, each.reasons, each.rego), []).append(each)
        observed = any(each.observed for one in alike.values() for each in one)
        yield f"  {server}{' (in observe mode: nothing is refused there)' if observed else ''}"
        for one in sorted(alike.values(), key=_shut):
            yield from _tools(one)


def _shut(alike: Sequence[Access]) -> tuple[bool, bool]:
    """What nobody opens comes last."""
    first = alike[0]
    return not first.is_open, not first.reasons


def _tools(alike: Sequence[Access]) -> Iterator[str]:
    first = alike[0]
    called = ", ".join(each.cell.tool for each in alike)
    if len(first.effects) == 1:
        yield f"    {called.ljust(WIDTH)}  {first.word.ljust(16)}  {_by(first)}"
        return
    yield f"    {called.ljust(WIDTH)}  depends on {', '.join(first.fields)}"
    yield from (f"      {line}" for line in _branches(first, SAID))


def _by(access: Access) -> str:
    return ", ".join(_rule(each) for each in access.reasons if each.certain) or NO_RULE


def _branches(access: Access, length: int | None = None) -> Iterator[str]:
    """What each rule may make of it."""
    by_rule: dict[object, list[Reason]] = {}
    for reason in access.reasons:
        by_rule.setdefault(reason.ref, []).append(reason)
    for reasons in by_rule.values():
        first = reasons[-1]  # what the rule is there for; a denial besides is one of malformed calls
        malformed = ", or deny" if len(reasons) > 1 else ""
        yield f"{(first.effect + malformed).ljust(16)}  {_rule(first)}{_say(first, length)}"
    if access.rego:
        yield f"{'any'.ljust(16)}  Rego: {', '.join(access.rego)}, which is not asked here"
    if access.otherwise:
        yield f"{'deny'.ljust(16)}  where none of these matches"


def _say(reason: Reason, length: int | None = None) -> str:
    said = reason.said if length is None or len(reason.said) <= length else f"{reason.said[: length - 1]}…"
    return f"  {said}" if said else ""


def _rule(reason: Reason) -> str:
    ref = reason.ref
    limited = f", limited by {', '.join(reason.limits)}" if reason.limits else ""
    return f"{ref.name} ({ref.file}:{ref.line}{limited})"


def difference_lines(found: Sequence[Difference]) -> Iterator[str]:
    """What opens, what closes, and what changes its terms; alike changes together."""
    if not found:
        yield "Access is the same."
        return
    for kind, title in (("added", "Opens"), ("removed", "Closes"), ("changed", "Changes")):
        alike: dict[object, list[Difference]] = {}
        for each in found:
            if each.kind == kind:
                alike.setdefault((each.direction, _terms(each.before), _terms(each.after)), []).append(each)
        for one in alike.values():
            yield from _difference(title, one)
            yield ""
    counts = [f"{sum(each.kind == kind for each in found)} {kind}" for kind in ("added", "removed", "changed")]
    yield f"{', '.join(counts)}; {sum(each.direction != 'narrower' for each in found)} wider, or perhaps wider."


def _terms(access: Access) -> object:
    return access.word, access.fields, access.reasons, access.rego, access.cell.server


def _difference(title: str, alike: Sequence[Difference]) -> Iterator[str]:
    first = alike[0]
    who = dict.fromkeys(f"{e.cell.principal}{f' for {e.cell.user}' if e.cell.user else ''}" for e in alike)
    tools = dict.fromkeys(each.cell.tool for each in alike)
    yield f"{title} ({first.direction}): {', '.join(tools)} on {first.cell.server}, for {', '.join(who)}"
    for word, access in (("before", first.before), ("after", first.after)):
        if len(access.effects) == 1:
            certain = [f"{_rule(each)}{_say(each)}" for each in access.reasons if each.certain]
            yield f"  {word}: {access.word}  {', '.join(certain) or NO_RULE}"
        else:
            yield f"  {word}: depends on {', '.join(access.fields)}"
            yield from (f"    {line}" for line in _branches(access))
