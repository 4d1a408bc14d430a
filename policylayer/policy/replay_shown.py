"""Pure: a replay's report as JSON, as lines for people, and as Markdown for the summary of a pull request.

Lines and Markdown are made of the JSON, wherever that came from. Must not know how anything was counted (`tally`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from policylayer.core.decision import Effect, RuleRef
from policylayer.core.immutable import immutable
from policylayer.policy.recorded import moment
from policylayer.policy.tally import Group, Key, Tally
from policylayer.policy.written import instant

Json = Mapping[str, Any]

OPENNESS: Final = {Effect.DENY: 0, Effect.REQUIRE_APPROVAL: 1, Effect.ALLOW: 2}
SHOWN: Final = 20
"""Groups of each kind that people are shown; JSON has them all."""

NO_RULE: Final = "no rule"


@immutable
class About:
    """What was replayed: the set's revision; with which other set it was compared (None: with the record); when."""

    revision: str
    base: str | None = None
    since: str | None = None
    until: str | None = None
    limits: bool = False


def as_json(tally: Tally, about: About, failed: Sequence[str] = ()) -> dict[str, Any]:
    """Everything; the changes that open something come first, then those that are many."""
    changes = sorted(tally.changes.items(), key=_order)
    undecided = sorted(tally.undecided.items(), key=lambda item: (-item[1].count, item[0]))
    return {
        "revision": about.revision,
        "base": about.base,
        "since": about.since,
        "until": about.until,
        "rows": tally.rows,
        "same": tally.same,
        "changed": tally.changed,
        "undecidable": tally.undecidable,
        "not_compared": tally.skipped.total(),
        "turns": {str(turn): count for turn, count in sorted(tally.turns.items())},
        "changes": [_change(key, group) for key, group in changes],
        "undecided": [{"fields": list(fields), **_group(group)} for fields, group in undecided],
        "skipped": [{"why": why, "count": count} for why, count in sorted(tally.skipped.items())],
        "unlisted": tally.unlisted,
        "limits": about.limits,
        "failed": list(failed),
    }


def _order(item: tuple[Key, Group]) -> tuple[object, ...]:
    key, group = item
    opens = OPENNESS[key.turn.after] - OPENNESS[key.turn.before]
    return -opens, -group.count, key.after, key.before, key.principal or "", key.user or ""


def _change(key: Key, group: Group) -> dict[str, Any]:
    return {
        "from": str(key.turn.before),
        "to": str(key.turn.after),
        "principal": key.principal,
        "for": key.user,
        "rules_before": list(map(_ref, group.before)),
        "rules_after": list(map(_ref, group.after)),
        **_group(group),
    }


def _group(group: Group) -> dict[str, Any]:
    first, last = (instant(moment(at)) for at in (group.first_us, group.last_us))
    return {"count": group.count, "first": first, "last": last, "example": group.example._asdict()}


def _ref(ref: RuleRef) -> dict[str, Any]:
    return {"policy": ref.policy, "rule": ref.rule, "file": ref.file, "line": ref.line}


# --- lines ------------------------------------------------------------------------------------------------------------


def lines(report: Json) -> Iterator[str]:
    """For a terminal."""
    yield _head(report)
    for change in report["changes"][:SHOWN]:
        yield ""
        yield f"{change['count']:,} x {change['from']} -> {change['to']}  {_who(change)}"
        yield f"  before: {_rules(change['rules_before'])}"
        yield f"  after:  {_rules(change['rules_after'])}"
        yield f"  {_span(change)}, for example {_example(change['example'])}"
    yield from _more(report["changes"], "changes")
    for each in report["undecided"][:SHOWN]:
        yield ""
        yield f"{each['count']:,} x undecidable: the record does not hold {', '.join(each['fields'])}"
        yield f"  {_span(each)}, for example {_example(each['example'])}"
    yield from _more(report["undecided"], "kinds of undecidable rows")
    for each in report["skipped"]:
        yield ""
        yield f"{each['count']:,} x not compared: {each['why']}"
    yield from ("", *_notes(report))


def _head(report: Json) -> str:
    counts = ", ".join(
        f"{report[name]:,} {word}"
        for name, word in (
            ("same", "same"),
            ("changed", "changed"),
            ("undecidable", "undecidable"),
            ("not_compared", "not compared"),
        )
    )
    since = f" since {_moment(report['since'])}" if report["since"] else ""
    until = f" until {_moment(report['until'])}" if report["until"] else ""
    return f"{report['rows']:,} recorded decisions{since}{until}: {counts}"


def _notes(report: Json) -> Iterator[str]:
    against = "what was recorded" if report["base"] is None else f"what revision {_short(report['base'])} says"
    yield f"Revision {_short(report['revision'])}, compared with {against}."
    if report["limits"]:
        yield "Limits are not counted: what is compared is what rules say before any counter is asked."
    if report["unlisted"]:
        yield f"{report['unlisted']:,} rows are in none of these groups: there are too many."
    for wish in report["failed"]:
        yield f"Failed: {wish}."


def _more(groups: Sequence[Json], what: str) -> Iterator[str]:
    rest = groups[SHOWN:]
    if rest:
        yield ""
        yield f"and {len(rest):,} other {what} ({sum(each['count'] for each in rest):,} rows): --json has them all"


def _who(change: Json) -> str:
    return f"{change['principal'] or '-'}{' for ' + change['for'] if change['for'] else ''}"


def _rules(rules: Iterable[Json]) -> str:
    return ", ".join(f"{_name(rule)} ({_place(rule)})" for rule in rules) or NO_RULE


def _name(rule: Json) -> str:
    return f"{rule['policy']}/{rule['rule']}"


def _place(rule: Json) -> str:
    return f"{rule['file']}:{rule['line']}"


def _span(group: Json) -> str:
    first, last = _moment(group["first"]), _moment(group["last"])
    return first if first == last else f"{first} to {last}"


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")


def _example(example: Json) -> str:
    return f"{example['target'] or example['method']} on {example['server']}, {example['id']}"


def _short(revision: str) -> str:
    return revision.removeprefix("sha256:")[:12]


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(report: Json) -> Iterator[str]:
    """For the summary of a pull request."""
    yield "### Recorded decisions through these policies"
    yield ""
    yield f"{_head(report)}."
    if report["changes"]:
        yield ""
        yield "| effect | rows | principal | before | after | example |"
        yield "|---|--:|---|---|---|---|"
    for change in report["changes"][:SHOWN]:
        cells = (
            f"{change['from']} → **{change['to']}**",
            f"{change['count']:,}",
            _code(_who(change)),
            _codes(change["rules_before"]),
            _codes(change["rules_after"]),
            f"{_code(change['example']['target'] or change['example']['method'])} {_code(change['example']['id'])}",
        )
        yield f"| {' | '.join(cells)} |"
    yield from _more(report["changes"], "changes")
    if report["undecided"]:
        yield ""
        yield "| undecidable: not in the record | rows | example |"
        yield "|---|--:|---|"
    for each in report["undecided"][:SHOWN]:
        yield f"| {', '.join(map(_code, each['fields']))} | {each['count']:,} | {_code(each['example']['id'])} |"
    yield from _more(report["undecided"], "kinds of undecidable rows")
    yield ""
    yield " ".join(_notes(report))


def _codes(rules: Iterable[Json]) -> str:
    return "<br>".join(f"{_code(_name(rule))} {_code(_place(rule))}" for rule in rules) or NO_RULE


def _code(text: str) -> str:
    """As code in a cell of a table: nothing in it is Markdown, a new line or a new cell."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    fence = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    pad = " " if len(fence) > 1 else ""
    escaped = plain.replace("|", "\\|")
    return f"{fence}{pad}{escaped or '-'}{pad}{fence}"
